"""The launches of one real training step, each measured by itself: with the arrays that it was given, replayed from a graph of its own."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.harness import Row
from kernels.device import Device
from kernels.gpu import launch as launching
from kernels.gpu.launch import Launch, Pointer, hooks, recorded
from kernels.gpu.replays import Replays


@dataclass
class Call:
    """A launch, how to make it again, and how often the step makes one like it. `kept`: arrays that it may know by their address
    alone, from a table."""

    launch: Launch
    again: Callable[[], None]
    kept: list[Any] = field(repr=False)
    count: int = 1


def form(launch: Launch) -> str:
    """Equal for launches of one compiled kernel over one grid and arrays of the same shapes."""
    return repr((launch.key, launch.grid, sorted(launch.shapes.items())))


@contextlib.contextmanager
def kept_calls() -> Iterator[dict[str, Call]]:
    """The different launches made inside, by their form. Their arrays live as long as they do."""
    described, allocate = launching._describe, hooks.allocate
    calls: dict[str, Call] = {}
    kept: list[Any] = []

    def describe(
        kernel: Any, grid: Any, arguments: tuple, constexprs: dict, settings: dict, *more: Any, **also: Any
    ) -> Launch:
        launch = described(kernel, grid, arguments, constexprs, settings, *more, **also)
        if (name := form(launch)) in calls:
            calls[name].count += 1
        else:
            again = functools.partial(launched, kernel, grid, arguments, constexprs, settings)
            calls[name] = Call(launch, again, kept)
        return launch

    def keep(*wanted: Any) -> Any:
        kept.append(allocate(*wanted))
        return kept[-1]

    with (
        mock.patch.object(launching, "_describe", describe),
        mock.patch.object(hooks, "allocate", keep),
        recorded(),
    ):
        yield calls


def launched(kernel: Any, grid: Any, arguments: tuple, constexprs: dict, settings: dict) -> None:
    """A launch with the very same arguments, as `launch` makes it."""
    pointers = [Pointer(a) if launching._is_array(a) else a for a in arguments]
    if any(isinstance(p, Pointer) and isinstance(p.array, np.ndarray) for p in pointers):
        interpreter = importlib.import_module(f"{launching.__package__}.interpreter")
        programs = itertools.product(*map(range, grid))
        together = settings.get("launch_cooperative_grid", False)
        hooks.perform(lambda: interpreter.run(kernel, programs, grid, pointers, constexprs, together))
    else:
        kernel[grid](*pointers, **constexprs, **settings)


def measure(calls: dict[str, Call], device: Device, count: int = 20) -> Iterator[Row]:
    """A row for each launch, dearest first by bytes and products: seconds of so many replays on a cold cache."""
    replays = Replays(device)
    order = sorted(calls.items(), key=lambda item: -item[1].count * (item[1].launch.flops + 100 * item[1].launch.bytes))
    for name, call in order:
        launch = call.launch
        row = {"kernel": launch.name, "form": name, "grid": launch.grid, "launches": call.count}
        row |= {"bytes": launch.bytes, "flops": launch.flops, "options": launch.options}
        row["shape"] = next(iter(launch.shapes.values()), ())  # of the first array
        try:
            replays.capture(call.again)
            times = [replays.seconds() for _ in range(count)]
            yield {**row, "seconds": statistics.median(times), "least": min(times)}
        except Exception as error:  # noqa: BLE001  the others are still worth measuring
            yield {**row, "error": f"{type(error).__name__}: {error}"}
