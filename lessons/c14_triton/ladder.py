"""Four ladders of two rungs, the first that one would write and the one that trains: run in the interpreter, where reads and writes
are counted, and compiled for an H100 without one, where registers are. Importing this needs Triton.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np

from benchmarks.cubin import compile_launch
from benchmarks.demand import demand_of
from benchmarks.gpus import GPUS
from benchmarks.prediction import predict
from kernels.conv2d import gpu as conv
from kernels.conv2d.geometry import geometry
from kernels.gpu.launch import Launch, hooks, launch, recorded
from kernels.instance_norm import gpu as norm
from kernels.instance_norm.settings import NormSettings
from kernels.l1_loss import gpu as l1
from kernels.reflection_pad import gpu as pad
from lessons.c14_triton.kernels import conv_pixel, l1_alone, norm_channel, pad_numbers
from lessons.c14_triton.traced import traced

H100, TARGET = GPUS["H100"], 90
SAMPLES = 7
Run = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Rung:
    """A way to compute `run(*inputs)`, and what it is called."""

    name: str
    run: Run


@dataclass(frozen=True)
class Ladder:
    """Two rungs that give the same; `small` and `large` are the shapes of their inputs, for pictures and for a real layer."""

    title: str
    rungs: tuple[Rung, Rung]
    small: tuple[tuple[int, ...], ...]
    large: tuple[tuple[int, ...], ...]


@dataclass
class Found:
    """What a rung needs at its large shape. Times in seconds, a prediction and not a measurement."""

    launches: list[Launch]
    asked: float  # bytes that programs ask the caches for, in sectors of 32
    once: int
    programs: int
    waves: float
    registers: int
    spills: int
    shared: int
    widths: dict[int, int]
    tensor: bool
    seconds: float


def padded_by_numbers(x: np.ndarray) -> np.ndarray:
    _, H, W, C = x.shape
    y = np.zeros((1, H + 6, W + 6, C), np.float32)
    launch(pad_numbers, (-(-y.size // 1024),), x, y, H, W, C, 3, y.size, BLOCK=1024)
    return y


def loss_alone(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx, loss = np.zeros_like(x), np.zeros((), np.float32)
    launch(l1_alone, (1,), x, y, dx, loss, x.size, BLOCK=1024)
    return dx


def normed_by_channel(x: np.ndarray) -> np.ndarray:
    _, H, W, C = x.shape
    y = np.zeros_like(x)
    launch(norm_channel, (C,), x, y, H * W, C, 1e-5, BP=1024)
    return y


def convolved_by_pixel(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    _, H, W, C = x.shape
    y = np.zeros((1, H, W, w.shape[3]), np.float32)
    launch(conv_pixel, (H * W,), x, w, y, H, W, flops=2 * H * W * w.size, C=C, K=w.shape[3], BC=16)
    return y


LADDERS = (
    Ladder(
        "Reflection padding, 256×256, 3 channels, 3 pixels",
        (Rung("a program for 1024 numbers", padded_by_numbers), Rung("that trains: a run of a row", lambda x: pad.forward(x, pad=3))),
        ((1, 24, 24, 3),), ((1, 256, 256, 3),),
    ),
    Ladder(
        "L1 loss and its gradient, 196,608 numbers",
        (Rung("one program for all", loss_alone), Rung("that trains: blocks, then their sums", lambda x, y: l1.forward(x, y)[1])),
        ((1, 40, 40, 3),) * 2, ((1, 256, 256, 3),) * 2,
    ),
    Ladder(
        "Instance norm, 64×64, 256 channels",
        (
            Rung("a program for a channel", normed_by_channel),
            Rung("that trains: tiles, twice", lambda x: norm.forward(x, norm=NormSettings())[0]),
        ),
        ((1, 16, 16, 24),), ((1, 64, 64, 256),),
    ),
    Ladder(
        "3×3 convolution, 64×64, 256 → 256 channels, products in TF32",
        (
            Rung("a program for a pixel", convolved_by_pixel),
            Rung("that trains: tiles of products", lambda x, w: conv.forward(x, w, geometry=geometry(1, 1, "reflect"))),
        ),
        ((1, 16, 16, 16), (3, 3, 16, 16)), ((1, 64, 64, 256), (3, 3, 256, 256)),
    ),
)  # fmt: skip


def inputs(shapes: Iterable[tuple[int, ...]]) -> list[np.ndarray]:
    return [np.random.default_rng(i).standard_normal(shape).astype(np.float32) for i, shape in enumerate(shapes)]


def climbed(rung: Rung, shapes: Iterable[tuple[int, ...]]) -> Found:
    """Of each launch a few programs run, spread over the grid, and count for all; then the kernels are compiled."""
    ran: list[int] = []
    with traced() as traffic, recorded() as launches:

        def few(programs: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
            every = list(programs)
            picked = sorted({len(every) * (2 * i + 1) // (2 * SAMPLES) for i in range(SAMPLES)})
            traffic.sectors.append(0)
            ran.append(len(picked))
            return [every[i] for i in picked]

        with patch.object(hooks, "order", few):
            rung.run(*inputs(shapes))
    found = Found(launches, 0.0, 0, 0, 0.0, 0, 0, 0, {}, False, 0.0)
    for one, sectors, count in zip(launches, traffic.sectors, ran, strict=True):
        programs, cubin = int(np.prod(one.grid)), compile_launch(one, TARGET)
        asked = 32 * sectors * programs / count
        found.seconds += predict(H100, replace(demand_of(one, cubin, TARGET), l2=asked)).seconds
        found.asked += asked
        found.once = max(found.once, one.bytes)
        if programs >= found.programs:
            found.programs, found.waves = programs, programs / H100.multiprocessors / cubin.resident(TARGET)
        found.registers, found.shared = max(found.registers, cubin.registers), max(found.shared, cubin.shared)
        found.spills += cubin.spills
        found.tensor |= bool(cubin.tensor)
        found.widths = {w: found.widths.get(w, 0) + cubin.loads.get(w, 0) for w in {*found.widths, *cubin.loads}}
    return found


@dataclass
class Seen:
    """What a rung does at its small shape: its result, which program wrote each number of it, how often each input was read."""

    y: np.ndarray
    owner: np.ndarray
    reads: list[np.ndarray]


def interpreted(rung: Rung, shapes: Iterable[tuple[int, ...]]) -> Seen:
    """Run all programs, and count."""
    given = inputs(shapes)
    with traced(*given) as traffic:
        y = rung.run(*given)
    return Seen(y, traffic.owner(y), [n.reshape(x.shape) for n, x in zip(traffic.reads, given, strict=True)])
