"""The plain step with one thing broken, each as the lines that were changed. Used by chapters 0, 4 and 12."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lessons.points import Change, Run, train


@dataclass(frozen=True)
class Exhibit:
    """A name, what is changed, and which number tells: "higher" or "lower" than in every sound run, or "same"."""

    name: str
    change: Change = field(default_factory=lambda: Change(()))
    settings: dict[str, Any] = field(default_factory=dict)
    tells: str = ""
    direction: str = "higher"

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

NOT_FROZEN = Exhibit("not frozen", Change(((FREEZE, ""),)))
LEAK = Exhibit(
    "neither frozen nor zeroed", Change(((FREEZE, ""), (ZERO_D, ""), ("        self.adam_d.step()\n", ZERO_D_LATE)))
)
NO_ZERO_G = Exhibit("generators' zero_grad forgotten", Change(((ZERO_G, ""),)))
STRONG = Exhibit(
    "discriminators ten times as eager",
    Change(((MOVE_D, "        for _ in range(10):\n            losses |= self.move_discriminators(a, b)\n"),)),
)
NO_CYCLE = Exhibit("no cycle", settings={"lambda_cycle": 0.0})
SWAPPED = Exhibit(
    "discriminators swapped",
    Change(
        (
            ("lsgan_loss(self.disc_b(fake_b), 1.0)", "lsgan_loss(self.disc_a(fake_b), 1.0)"),
            ("lsgan_loss(self.disc_a(fake_a), 1.0)", "lsgan_loss(self.disc_b(fake_a), 1.0)"),
        )
    ),
)
NO_FAKES = Exhibit(
    "discriminators see no fakes",
    Change(
        (
            (" + lsgan_loss(self.disc_b(old_b), 0.0, 0.5)", ""),
            (" + lsgan_loss(self.disc_a(old_a), 0.0, 0.5)", ""),
        )
    ),
)
NO_GAN = Exhibit(
    "no discriminator's word",
    Change(
        (
            ("lsgan_loss(self.disc_b(fake_b), 1.0)", "lsgan_loss(self.disc_b(fake_b), 1.0, 0.0)"),
            ("lsgan_loss(self.disc_a(fake_a), 1.0)", "lsgan_loss(self.disc_a(fake_a), 1.0, 0.0)"),
        )
    ),
)
LARGE_CYCLE = Exhibit("cycle weight 1000", settings={"lambda_cycle": 1000.0})
POOL = Exhibit("pool of 50", settings={"pool_size": 50})
IDENTITY = Exhibit("identity 0.5", settings={"lambda_identity": 0.5})
FAST = Exhibit("rate ten times as high", settings={"lr": 4e-2})
ONE_CYCLE = Exhibit("one cycle only", Change((('            "cycle_B": l1_loss(rec_b, b, self.lambda_cycle),\n', ""),)))
NO_DETACH = Exhibit(
    "detach forgotten",
    Change(
        (
            ("self.fake_b.detach()", "self.fake_b"),
            ("self.pool_b.query(fake_b.data)", "fake_b"),
            ("Tensor(fake_b)", "fake_b"),
        )
    ),
)
