"""The plain step with one thing broken, each as the lines that were changed. Used by chapters 0, 4 and 12."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lessons.points import Change, Run, train


@dataclass(frozen=True)
class Exhibit:
    """A name, what is changed, which number `tells`: "higher" or "lower" under every seed than in any sound run; and which of
    chapter 11's rules (lessons/solutions/c11_diagnosis.py) has `named` it under every seed."""

    name: str
    change: Change = field(default_factory=lambda: Change(()))
    settings: dict[str, Any] = field(default_factory=dict)
    tells: str = ""
    direction: str = "higher"
    named: str = "sound"

    def run(self, seed: int, **more: Any) -> Run:
        """One training with the change."""
        return train(seed, kind=self.change.kind(), **{**self.settings, **more})


SOUND = Exhibit("sound")

FREEZE = """        self.disc_a.requires_grad_(False)  # frozen: the gradient passes through them and changes nothing in them
        self.disc_b.requires_grad_(False)
"""
ZERO_D = """        self.adam_d.zero_grad()
"""
ZERO_G = """        self.adam_g.zero_grad()  # `backward` adds to gradients; this forgets those of the step before
"""
ZERO_D_LATE = """        self.adam_d.step()
        self.adam_d.zero_grad()
"""
MOVE_D = """        losses |= self.move_discriminators(a, b)
"""

GAN_A, GAN_B = "lsgan_loss(self.disc_b(fake_b), 1.0)", "lsgan_loss(self.disc_a(fake_a), 1.0)"

NO_CYCLE = Exhibit("no cycle", settings={"lambda_cycle": 0.0}, tells="round trip", named="nobody comes home")
LEAK = Exhibit(
    "neither frozen nor zeroed",
    Change(((FREEZE, ""), (ZERO_D, ""), ("        self.adam_d.step()\n", ZERO_D_LATE))),
    tells="G", direction="lower", named="believed too easily",
)  # fmt: skip
NO_ZERO_G = Exhibit(
    "generators' gradients never forgotten", Change(((ZERO_G, ""),)), tells="missed by", named="generators have lost"
)
STRONG = Exhibit(
    "discriminators ten steps per step",
    Change(((MOVE_D, "        for _ in range(10):\n            losses |= self.move_discriminators(a, b)\n"),)),
    tells="D", direction="lower", named="generators have lost",
)  # fmt: skip
SWAPPED = Exhibit(
    "discriminators swapped",
    Change(((GAN_A, "lsgan_loss(self.disc_a(fake_b), 1.0)"), (GAN_B, "lsgan_loss(self.disc_b(fake_a), 1.0)"))),
    tells="G", direction="lower", named="nobody plays",
)  # fmt: skip
NO_FAKES = Exhibit(
    "discriminators see no fakes",
    Change(tuple((f" + lsgan_loss(self.disc_{x}(old_{x}), 0.0, 0.5)", "") for x in "ba")),
    tells="missed by",
    named="nobody plays",
)
NO_GAN = Exhibit(
    "no adversarial loss",
    Change(((GAN_A, GAN_A[:-1] + ", 0.0)"), (GAN_B, GAN_B[:-1] + ", 0.0)"))),
    tells="missed by",
    named="nobody plays",
)
LARGE_CYCLE = Exhibit("cycle weight 1000", settings={"lambda_cycle": 1000.0}, tells="G", named="generators have lost")
IDENTITY = Exhibit(
    "identity loss, weight 5", settings={"lambda_identity": 0.5}, tells="missed by", named="generators have lost"
)
FAST = Exhibit(
    "learning rate ten times as high", settings={"lr": 4e-2}, tells="missed by", named="generators have lost"
)

# What is often said to break a run, and here does not: no number stands apart from the sound runs under all seeds.
NOT_FROZEN = Exhibit("discriminators not frozen", Change(((FREEZE, ""),)))
POOL = Exhibit("with a pool of 50 fakes, not without", settings={"pool_size": 50})
ONE_CYCLE = Exhibit(
    "one cycle only, A → B → A", Change((('            "cycle_B": l1_loss(rec_b, b, self.lambda_cycle),\n', ""),))
)

WEAK_CYCLE = Exhibit("cycle weight 1", settings={"lambda_cycle": 1.0})

MUSEUM = (NO_CYCLE, LEAK, NO_ZERO_G, STRONG, SWAPPED, NO_FAKES, NO_GAN, LARGE_CYCLE, IDENTITY, FAST)
SHELF = (NOT_FROZEN, POOL, ONE_CYCLE, WEAK_CYCLE)

NO_DETACH = Exhibit(
    "history not cut",
    Change(
        (
            ("Tensor(self.pool_b.query(self.fake_b.data))", "self.fake_b"),
            ("Tensor(self.pool_a.query(self.fake_a.data))", "self.fake_a"),
        )
    ),
)
