"""How GPUs are timed: the Python of a call runs while it is captured, and what is timed is its replays, on a cold cache."""

from __future__ import annotations

import contextlib
import inspect
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu, worker
from benchmarks.op_providers import OpWork, OursOps, ReferenceTruth
from benchmarks.race import wrong
from benchmarks.worker import Desk
from kernels import dispatch
from kernels.device import Device
from kernels.dispatch import implementation
from kernels.gpu import replays

CASE = "instance_norm-ragged"
WORK = OpWork("interpret", full=False)


class Told:
    """An event, stream or graph that says what it was asked for."""

    def __init__(self, told: list[str], name: str) -> None:
        self.told, self.name = told, name

    def __getattr__(self, word: str) -> Any:
        return lambda *given, **more: self.told.append(f"{self.name}.{word}")

    def __enter__(self) -> None:
        self.told.append(f"with {self.name}")

    def __exit__(self, *_: object) -> None: ...


def test_our_replay_is_timed_behind_a_flush_on_the_graphs_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    events = iter(("start", "stop"))
    cuda = SimpleNamespace(Event=lambda: Told(told, next(events)), get_elapsed_time=lambda begin, end: 5.0)
    xp = SimpleNamespace(cuda=cuda, empty=lambda size, dtype: Told(told, f"{size >> 20} MB"))

    class Graph:
        def __init__(self, device: Any) -> None:
            self.stream, self.graph = Told(told, "stream"), Told(told, "graph")

        def capture(self, run: Any) -> Any:
            return run()

        def replay(self) -> None:
            told.append("replay")

    monkeypatch.setattr(replays, "Graph", Graph)
    clock = replays.Replays(SimpleNamespace(name="cuda", xp=xp))  # type: ignore[arg-type]
    assert clock.capture(lambda: 7) == 7 and clock.least == 10
    assert clock.seconds() == 0.005
    timed = ["with stream", "512 MB.fill", "start.record", "graph.launch", "stop.record", "stop.synchronize"]
    assert told == ["replay", *timed]


def test_torchs_replay_is_timed_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    events = iter(("start", "stop"))

    @contextlib.contextmanager
    def graph(made: Any, stream: Any) -> Any:
        told.append(f"capture on {stream.name}")
        yield

    cuda = SimpleNamespace(
        Stream=lambda: Told(told, "stream"), stream=lambda own: own, synchronize=lambda: told.append("synchronize"),
        Event=lambda enable_timing: Told(told, next(events)), CUDAGraph=lambda: Told(told, "graph"), graph=graph,
    )  # fmt: skip
    empty = lambda size, dtype, device: Told(told, f"{size >> 20} MB")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, uint8=1, empty=empty))
    clock = gpu.TorchClock()
    clock.start.elapsed_time = lambda stop: 5.0
    with clock.stream():
        assert clock.capture(lambda: 7) == 7
        assert clock.seconds() == 0.005
    timed = ["512 MB.zero_", "start.record", "graph.replay", "stop.record", "stop.synchronize"]
    assert told == ["with stream", "synchronize", "capture on stream", *timed]


def test_torch_has_what_is_asked_of_it() -> None:
    torch = pytest.importorskip("torch")
    inspect.signature(torch.cuda.graph.__init__).bind(None, None, stream=None)
    inspect.signature(torch.cuda.Event.__new__).bind(None, enable_timing=True)
    for name in ("CUDAGraph", "Stream", "stream", "synchronize", "max_memory_reserved"):
        assert hasattr(torch.cuda, name)
    assert hasattr(torch.cuda.CUDAGraph, "replay") and hasattr(torch.cuda.Event, "elapsed_time")


def test_python_runs_once_for_the_clock_and_the_replays_output_is_what_is_judged() -> None:
    """A measurement on the interpreter: other data in the same arrays, and the result is right in the very replay that was timed."""
    ran: list[str] = []

    class Counts(OursOps):
        def run(self, inputs: Any) -> Any:
            ran.append("run")
            return super().run(inputs)

    keys = [(CASE, "both", seed) for seed in (0, 1)]
    with pytest.MonkeyPatch.context() as patch:  # the truth computes with references, to the end of its process
        patch.setattr(dispatch, "PREFERENCE", dict(dispatch.PREFERENCE))
        truths = [Desk(ReferenceTruth(WORK)).result(key)[0] for key in keys]
    implementation.cache_clear()
    desk = Desk(Counts(WORK))
    assert desk.clock is not None and desk.clock.least == 1
    for key, truth in zip(keys, truths, strict=True):
        assert len(desk.time(key, 0.0)) == 1
        assert wrong(CASE, desk.timed(), truth, WORK) == ""
    assert ran == ["run"] * 2
    desk.clock.compiles = True  # type: ignore[misc]
    desk.time(keys[0], 0.0)
    assert ran == ["run"] * 4  # once to compile, once to be captured


def test_what_only_python_does_is_missing_from_the_replays() -> None:
    """So whoever computes outside of kernels, or hands out what was computed before, is wrong on other data."""
    desk = Desk(OursOps(WORK))
    desk.time(("tanh-real", "forward", 0), 0.0)
    first = desk.timed()["y"]
    leaf = desk.contestant.leaves("tanh-real", 0)["x"]  # type: ignore[attr-defined]
    leaf.data[...] = 0.0
    assert desk.clock is not None and np.array_equal(desk.timed()["y"], first)
    desk.clock.seconds()
    assert not desk.timed()["y"].any()


def test_a_measurement_has_enough_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(gpu.CupyClock):
        def __init__(self) -> None:
            super().__init__("interpret")
            self.least = 10

    monkeypatch.setitem(worker.CLOCKS, "interpret", Clock)
    assert len(Desk(OursOps(WORK)).time(("tanh-real", "forward", 0), 0.0)) == 10
    assert Device("interpret") == Clock().device


def test_the_control_multiplies_numbers_that_differ() -> None:
    """A GPU multiplies zeros and ones faster than what networks hold."""
    some = gpu.normal((4, 1 << 19))
    assert some.shape == (4, 1 << 19) and some.dtype == np.float32 and np.array_equal(some[0], some[2])
    assert len(np.unique(some)) > 900_000 and abs(some.std() - 1) < 0.01
