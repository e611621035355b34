"""`python -m benchmarks scale`: its model of a step over ranks, what it predicts for GPUs, and what its worker measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale_gpus, scale_worker
from benchmarks.scale_model import Model, Parts, sent
from tests.test_ranks import on_ranks

ROOT = Path(__file__).parents[1]


def test_a_step_over_ranks_is_predicted_from_one_and_two() -> None:
    def parts(pair: float) -> Parts:
        return Parts(pair, gather=0.001, fakes=0.0001, sum=0.01, numbers=10**6, shares=[0.75, 0.25])

    def meet(n: int, work: Any) -> float:
        return 1.5 * sum(map(max, work))

    rate = sent(2, 2, 10**6) / (0.01 * 2)
    model = Model.fit({4: 0.22, 12: 0.62}, {1: parts(0.1), 2: parts(0.11)}, 4, meet)  # a core each
    assert (model.once, model.image) == pytest.approx((0.02, 0.05))
    assert model.step(1, 12) == pytest.approx(0.62)
    assert model.step(2, 12) == pytest.approx(0.32 * 1.1 + 6 * 0.001 + 0.0012 + sent(2, 12, 10**6) / (rate * 2))
    assert model.step(4, 12) == pytest.approx(0.17 * 1.3 + 6 * 0.002 + 0.0018 + sent(4, 12, 10**6) / (rate * 4))
    crowded = Model.fit({4: 0.22, 12: 0.62}, {1: parts(0.1), 2: parts(0.11), 3: parts(0.12)}, 2, meet)
    assert crowded.step(3, 12) == pytest.approx(1.5 * 0.22 * 1.2 + 4 * 0.001 + 0.0012 + 0.01)  # its own sum
    assert crowded.step(3, 10) == pytest.approx(
        1.5 * 0.22 * 1.2 + 4 * 0.001 + 0.001 + 0.01 * sent(3, 10, 1) / sent(3, 3, 1)
    )


def test_what_travels_and_what_gpus_are_predicted_to_do() -> None:
    assert sent(4, 4, 100) == 2 * 3 * 400  # the numbers of a ring allreduce: 2 (n - 1) of them
    assert sent(3, 12, 100) == 2 * 2 * 400  # shares of four are whole nodes
    assert sent(2, 6, 100) > 2 * 400  # shares of three are two nodes each
    assert scale_gpus.gpu_comm(1, 0.016) == (0, 0, 0)
    all_of_it, exposed, calls = zip(*(scale_gpus.gpu_comm(n, 0.016) for n in (8, 64, 512)), strict=True)
    for grows in (all_of_it, exposed, calls):
        assert list(grows) == sorted(grows)
    assert all(0 < hidden < whole for hidden, whole in zip(exposed, all_of_it, strict=True))
    assert scale_gpus.gpu_comm(512, 0.0)[1] == pytest.approx(all_of_it[2])  # beside nothing nothing is hidden
    page = (ROOT / "docs" / "ranks.md").read_text(encoding="utf-8")
    assert all(line in page for line in scale_gpus.predictions(0.016).splitlines()[1:])


def test_what_is_measured_once_ranks_are_there() -> None:
    """The worker, on threads."""
    small: Any = dict(load_size=24, crop_size=24, ngf=1, ndf=1, n_blocks=0, pool_size=2)
    assert all(own["met"] >= 0.001 for own in on_ranks(2, lambda group: scale_worker.meetings(group, [[0.001, 0.0]])))
    (found, _) = on_ranks(2, lambda group: scale_worker.steps(group, small, 2, 1))
    assert found["step"] >= max(found["comm"]) >= 0 and len(found["comm"]) == 2
    assert 0 < min(found["work"]) <= max(found["work"])
