"""Tile sizes measured on the GPU at hand, in place of the table's.

    from kernels.gpu import autotune as tuning
    tuning.start("tiles.json")        # once, ahead of the first step: what --tune FILE does

The table (`choose_tiles`) comes from a compiler and arithmetic. What it cannot know is how a particular GPU's caches and
clocks take it. From `start` on, the first time that a product of some shape and precision is made, each of its candidates
is replayed a few times (replays.py), and the fastest is kept in the file, under the GPU's name, Triton's version and the
kernel's source: whatever changes one of these is measured anew. A candidate that does not fit the GPU or spills is out.
A choice need not be one of tiles: a fused block's is whether it takes one launch or two (kernels/conv_norm_relu/gpu.py).

Same seed, same bits: tile sizes decide in which order sums are made, so this holds for runs that find their choices in the
file. The first run, which measures, agrees with later ones to rounding; run it once for a few steps, then keep the file.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kernels.device import get_device
from kernels.gpu.launch import hooks

IN_CACHE = "~/.cache/palindrome/tiles.json"
"""Where a user's choices are kept if no file is named."""

Tiles = dict[str, int]
Timer = Callable[[Callable[[], Any]], float]
ROUNDS, REPLAYS = 5, 5


def pick(
    kernel: Any,
    shape: Sequence[Any],
    tiles: Tiles,
    candidates: Callable[[Tiles], Sequence[Tiles]],
    attempt: Callable[[Tiles], Any],
) -> Tiles:
    """The table's `tiles`, or one of `candidates(tiles)`, of which they are the first, once `start` was called.

    `attempt` does the work with the tiles it is given.
    """
    return tiles if hooks.tuner is None else hooks.tuner.pick(kernel, shape, candidates(tiles), attempt)


def start(path: str | Path, gpu: str | None = None, timer: Timer | None = None) -> Tuner:
    """Measure from now on, in this process, and keep the choices in the file `path`.

    `gpu` and `timer` (seconds of one call) are those of CuPy's current device unless given. OSError where the file cannot
    be written.
    """
    import triton

    hooks.tuner = tuner = Tuner(
        Path(path), f"{gpu or gpu_name()}, Triton {triton.__version__}", timer or replay_timer()
    )
    return tuner


def file_called(name: str) -> Path:
    """The file that `--tune` names: "auto" is one in the user's cache folder."""
    return Path(IN_CACHE if name == "auto" else name).expanduser()


def stop() -> None:
    """The table's tiles again."""
    hooks.tuner = None


class Tuner:
    """The choices of one GPU, in memory and in a file that may hold other GPUs' too."""

    def __init__(self, path: Path, gpu: str, timer: Timer) -> None:
        self.path, self.gpu, self.timer = path, gpu, timer
        self.kept: dict[str, Any] = read(path).get(self.gpu, {})
        self.save()  # what cannot be written should be known before anything is measured

    def pick(
        self, kernel: Any, shape: Sequence[Any], candidates: Sequence[Tiles], attempt: Callable[[Tiles], Any]
    ) -> Tiles:
        """The kept choice if it is one of the candidates (a file may hold anything), else the fastest."""
        key = " ".join(map(str, (kernel.__name__, kernel.cache_key[:16], *shape)))
        kept = self.kept.get(key)
        if kept in candidates:
            return next(c for c in candidates if c == kept)
        if not hooks.run or hooks.capture is not None:  # nothing can be timed here
            return candidates[0]
        times = self.times(candidates, attempt)
        best = candidates[min(range(len(times)), key=times.__getitem__)]  # the earlier one of equals
        self.kept[key] = best
        self.save()
        return best

    def times(self, candidates: Sequence[Tiles], attempt: Callable[[Tiles], Any]) -> list[float]:
        """The median of each, in seconds. All take turns, so that a clock that changes meets every one."""
        fit = [self.fits(tiles, attempt) for tiles in candidates]
        samples: list[list[float]] = [[] for _ in candidates]
        for _ in range(ROUNDS):
            for tiles, own, may in zip(candidates, samples, fit, strict=True):
                own.append(self.timer(functools.partial(attempt, tiles)) if may else float("inf"))
        return [statistics.median(own) for own in samples]

    def fits(self, tiles: Tiles, attempt: Callable[[Tiles], Any]) -> bool:
        """Whether a candidate compiles, fits this GPU and spills no registers; compiles it on the way."""
        from triton import TritonError

        saved, spills = hooks.compiled, []
        hooks.compiled = lambda kernel: spills.append(getattr(kernel, "n_spills", 0) or 0)
        try:
            attempt(tiles)
        except (TritonError, RuntimeError):  # too much shared memory, too many registers
            return False
        finally:
            hooks.compiled = saved
        return not any(spills)

    def save(self) -> None:
        """Into the file, beside what other GPUs' runs have put there meanwhile; whole or not at all."""
        everything = read(self.path) | {self.gpu: self.kept}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
            os.replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """GPU -> product -> tiles. Nothing, with a warning, where the file is none of ours."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(choices, dict) for choices in found.values()):
        warnings.warn(f"{path} holds no tile sizes: measured anew, and the file written over", stacklevel=3)
        return {}
    return found


def gpu_name() -> str:
    """Of CuPy's current device."""
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def replay_timer() -> Timer:
    """The median of some replays on CuPy's current device: what the kernels take, without Python's way to them."""
    from kernels.gpu.replays import Replays

    replays = Replays(get_device("cuda"))

    def seconds(run: Callable[[], Any]) -> float:
        replays.capture(run)
        return statistics.median(replays.seconds() for _ in range(REPLAYS))

    return seconds
