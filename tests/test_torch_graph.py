"""Torch's step as it is captured in a CUDA graph, without one: the same step as torch's plain one. No peer may be slow for being wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import step
from benchmarks.providers import Work
from benchmarks.torch_graph import DevicePool, TorchGraph
from benchmarks.torch_providers import TorchJudge
from tests.torch_reference import TorchPool

WORK = Work(24, 4, 1)


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize("count", [1, 2])
def test_the_pool_on_the_device_gives_back_what_the_plain_one_does(size: int, count: int) -> None:
    plain, device = (kind(size, np.random.default_rng(5)) for kind in (TorchPool, DevicePool))
    returned = 0
    for _ in range(12):
        images = torch.rand(count, 3, 4, 5)
        device.advance(count, "cpu")
        wanted = plain.query(images)
        assert torch.equal(device.query(images), wanted)
        returned += int(not torch.equal(wanted, images))
    assert (returned > 0) == (size > 0)


def loaded(*contestants: Any, pool: int) -> Any:
    """With equal weights, and pools of so many pictures."""
    for contestant in contestants:
        contestant.load()
        for each in (contestant.model.pool_a, contestant.model.pool_b):
            each.size = pool
    return contestants


class Captured(TorchGraph):
    """With a graph that is none: what is captured is seen to be the whole step, and is not run before it is replayed."""

    captured = 0

    def capture(self) -> Any:
        self.captured += 1
        return super().capture()


def test_the_captured_step_is_torchs_step() -> None:
    contestants = loaded(Captured(WORK), TorchJudge(WORK), pool=2)  # swaps from the third step on
    for key in range(6):
        seen, wanted = (c.result(c.run(c.inputs(key))) for c in contestants)
        assert step.differ(seen, wanted) <= 1, key
    graph, _ = contestants
    assert graph.captured == 1 and graph.replay is not None and graph.names[0] == "G_A"
    assert all(group["fused"] and group["capturable"] for group in graph.model.opt_g.param_groups)
    # What a replay reads lies where it lay; pictures are copied there.
    before = [x.data_ptr() for x in graph.static]
    graph.run(graph.inputs(9))
    assert before == [x.data_ptr() for x in graph.static]
    assert torch.equal(graph.static[0], graph.inputs(9)[0])
    assert graph.static[0].is_contiguous(memory_format=torch.channels_last)


def test_a_step_whose_pools_swap_unasked_is_wrong() -> None:
    forgetful, truth = loaded(TorchGraph(WORK), TorchJudge(WORK), pool=1)
    forgetful.model.pool_a.decide = lambda count: np.array([[0, 1]])  # type: ignore[method-assign]
    worst = 0.0
    for key in range(6):
        worst = max(worst, step.differ(*(c.result(c.run(c.inputs(key))) for c in (forgetful, truth))))
    assert worst > 1
