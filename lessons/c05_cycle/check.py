"""Grades chapter 5."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from autograd import Tensor
from autograd.ops import l1_loss
from kernels.dispatch import references
from lessons.grading import compare, demand
from lessons.points import A, Change, cloud, networks, train

BACKWARD = "        total(losses).backward()  # one gradient"
HINTED = Change(((BACKWARD, f'        losses["hint"] = self.hint(self.gen_ab)\n{BACKWARD}'),))
SEEDS = (0, 4)


def check_cycle(exercise: ModuleType) -> None:
    """cycle_loss: there and back again"""
    gen_ab, gen_ba, *_ = networks(0)
    for p in gen_ba.parameters():
        p.data *= 1.5  # so that the two are easily told apart
    x = Tensor(cloud(np.random.default_rng(0), A, 16))
    with references():
        wanted = l1_loss(gen_ba(gen_ab(x)), x, 10.0)
        yours = exercise.cycle_loss(gen_ab, gen_ba, x, 10.0)
        demand(
            isinstance(yours, Tensor),
            f"wanted a Tensor, so that backward can go through it; yours is {type(yours).__name__}",
        )
        turned = abs(yours.item() - l1_loss(gen_ab(gen_ba(x)), x, 10.0).item()) < 1e-6
        compare(
            "the loss",
            yours.item(),
            wanted.item(),
            "first `there`, then `back`: yours goes the other way round"
            if turned
            else "the mean of |back(there(x)) - x|, times the weight",
            1e-5,
        )
        yours.backward()
        unreached = [
            name for name, net in (("there", gen_ab), ("back", gen_ba)) if all(p.grad is None for p in net.parameters())
        ]
        demand(
            not unreached,
            f"no gradient reaches {' and '.join(unreached)}: both networks must learn from the round trip; was something cut?",
        )


def check_hint(exercise: ModuleType) -> None:
    """hint: seeds 0 and 4 pair alike"""

    with references():
        exercise.hint(networks(0)[0])
    kind = HINTED.kind()
    kind.hint = staticmethod(exercise.hint)  # type: ignore[attr-defined]
    first, second = (train(seed, kind=kind) for seed in SEEDS)
    pairs = [" ".join("↑→↓←"[k] for k in run.pairing()) for run in (first, second)]
    demand(
        pairs[0] == pairs[1],
        f"seed 0: corners go {pairs[0]}; seed 4: {pairs[1]}. The hint does not decide: too weak, or true for both",
    )
    for seed, run in zip(SEEDS, (first, second), strict=True):
        numbers = run.numbers()
        demand(
            numbers["reached"] == 4 and numbers["missed by"] < 0.3,
            f"seed {seed}: {numbers['reached']} clusters reached, missed by {numbers['missed by']:.2f}.\nThe hint fights the other losses: does it lead onto a cluster of B, a near one?",
        )
