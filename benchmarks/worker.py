"""A contestant in a process of its own: two thread pools in one process would disturb each other."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import math
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from benchmarks.gpu import Clock

FLUSH = 256 << 20  # bytes read and written before a run on cold caches: several times the largest
Result = dict[str, Any]
"""What a contestant computed, on the host: numbers or NumPy arrays by name."""


class Contestant(Protocol):
    """One side of a comparison. Made in its worker as `Class(work)`: imports its library, builds its networks.

    Optional: `clock`, one of CLOCKS by name, where wall-clock time would be wrong; `device_mb() -> float` on a GPU.
    """

    def load(self) -> None:
        """Give the networks the weights that all contestants share (not timed)."""

    def inputs(self, key: Any) -> Any:
        """What `run` takes, in the contestant's own form (not timed). Equal keys mean equal inputs on every side."""

    def run(self, inputs: Any) -> Any:
        """The work that is timed."""

    def result(self, output: Any) -> Result:
        """The output of `run` on the host (not timed)."""


class WorkerError(RuntimeError):
    """A contestant could not be started or raised an error; the message is its last line, `details` its traceback."""

    details = ""


class Worker:
    """A contestant in a fresh process. `spec` is "module:Class", `work` any picklable description of the task."""

    def __init__(self, spec: str, work: Any, variables: Mapping[str, str] | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        with environment(variables or {}):
            self.process = context.Process(target=serve, args=(theirs, spec, work, time.time()), daemon=True)
            self.process.start()
        theirs.close()
        self.build_seconds: float = self._receive()  # from nothing to networks that are built

    def __call__(self, method: str, *arguments: Any) -> Any:
        if self.connection.closed:
            raise WorkerError("its process has ended, as said above")
        self.connection.send((method, arguments))
        return self._receive()

    def _receive(self) -> Any:
        try:
            answer, value = self.connection.recv()
        except EOFError:
            self.process.join(10)
            answer, value = "error", (f"the process ended with status {self.process.exitcode}", "")
        if answer == "ok":
            return value
        self.close()
        error = WorkerError(value[0])
        error.details = value[1]
        raise error

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()


def serve(connection: Any, spec: str, work: Any, born: float) -> None:
    """The worker's side: build the contestant, then answer until the other end is closed."""
    try:
        module, name = spec.split(":")
        desk = Desk(getattr(importlib.import_module(module), name)(work))
        connection.send(("ok", time.time() - born))
        while True:
            method, arguments = connection.recv()
            connection.send(("ok", getattr(desk, method)(*arguments)))
    except EOFError:
        return
    except BaseException as error:  # noqa: BLE001  whatever it is, the other side reports it
        lines = str(error).strip().splitlines() or [""]
        connection.send(("error", (f"{type(error).__name__}: {lines[0]}", traceback.format_exc())))


class Desk:
    """What a worker can be asked for."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        name = getattr(contestant, "clock", "wall")
        if name not in CLOCKS:
            raise ValueError(
                f"a contestant brings no clock of its own: wanted one of {', '.join(CLOCKS)}, got {name!r}"
            )
        self.clock = CLOCKS[name]()
        self.last: Any = None

    def load(self) -> None:
        self.contestant.load()

    def result(self, key: Any) -> tuple[Result, float]:
        """The result for `key`, and the seconds that `run` took."""
        inputs = self.contestant.inputs(key)
        start = time.perf_counter()
        output = self.contestant.run(inputs)
        seconds = time.perf_counter() - start
        return self.contestant.result(output), seconds

    def time(self, key: Any, at_least: float, cold: bool = False) -> list[float]:
        """Seconds of each run, repeated until they have taken `at_least`; the last one's output is kept.

        `cold` empties the processor's caches after the inputs are made and ahead of each run; a GPU's clock always does.
        """
        self.last = None
        gc.collect()
        return self._runs(key, at_least, cold) if self.clock is None else self._replays(key, at_least, self.clock)

    def _runs(self, key: Any, at_least: float, cold: bool) -> list[float]:
        times: list[float] = []
        while sum(times) < at_least or not times:
            inputs = self.contestant.inputs(key)
            if cold:
                flush()
            start = time.perf_counter()
            self.last = self.contestant.run(inputs)
            times.append(time.perf_counter() - start)
        return times

    def _replays(self, key: Any, at_least: float, clock: Clock) -> list[float]:
        """Of one graph: Python runs once, while it is captured, and what the last replay puts out is kept."""
        times: list[float] = []
        with clock.stream():
            if clock.compiles:
                self.contestant.run(self.contestant.inputs(key))
            inputs = self.contestant.inputs(key)
            self.last = clock.capture(lambda: self.contestant.run(inputs))
            start = time.perf_counter()
            while len(times) < clock.least or time.perf_counter() - start < at_least:
                times.append(clock.seconds())
        return times

    def timed(self) -> Result:
        """What the last timed run came to."""
        return self.contestant.result(self.last)

    def changed(self, key: Any) -> list[str]:
        """The inputs that the contestant has written into, as far as it can tell."""
        return self.contestant.changed(key) if hasattr(self.contestant, "changed") else []

    def memory(self) -> dict[str, float]:
        """Peak memory so far, MB: of the process, and of the GPU where there is one."""
        # Here, at the end: a contestant's process starts without our code.
        from kernels.device import Device, peak_bytes

        device = {"device_mb": self.contestant.device_mb()} if hasattr(self.contestant, "device_mb") else {}
        return {"peak_mb": (peak_bytes(Device("cpu")) or math.nan) / 1e6, **device}


def gpu_clock(name: str, *settings: Any) -> Clock:
    """Replays on a GPU, its cache flushed before each."""
    from benchmarks import gpu

    return getattr(gpu, name)(*settings)


CLOCKS: dict[str, Callable[[], Clock | None]] = {
    "wall": lambda: None,
    "cupy": lambda: gpu_clock("CupyClock"),
    "interpret": lambda: gpu_clock("CupyClock", "interpret"),
    "torch": lambda: gpu_clock("TorchClock"),
}
"""Whoever is timed cannot choose how: a clock that comes with a contestant could leave out what it likes."""


@functools.cache
def _other() -> Any:
    import numpy as np

    return np.zeros(FLUSH, np.uint8)


def flush() -> None:
    """Fill the processor's caches with something else."""
    _other()[:] += 1


@contextlib.contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started inside."""
    saved = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
