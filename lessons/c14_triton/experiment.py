"""A kernel run program by program, its reads and writes drawn; and four ladders: two ways each, counted and compiled, without a GPU."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lessons.parts import Part, Pictures, Table, Words

if TYPE_CHECKING:
    from lessons.c14_triton.ladder import Seen


def show() -> list[Part]:
    """Pictures and tables; one sentence where there is no Triton."""
    if not importlib.util.find_spec("triton"):
        return [
            Words(
                "Triton is not installed here. It runs on Linux: `pip install triton`. The lesson below can be read without."
            )
        ]
    return [*interpreted(), *ladders()]


def interpreted() -> list[Part]:
    from kernels.gpu.launch import launch
    from lessons.c14_triton.kernels import mirror, scale
    from lessons.c14_triton.traced import traced

    x = np.arange(300, dtype=np.float32)
    y = np.zeros_like(x)
    with traced(x, y) as traffic:
        launch(scale, (5,), x, y, 300, BLOCK=64)
    owners = np.pad(traffic.programs[1], (0, 20), constant_values=-1).reshape(5, 64)
    rows = [
        (f"program {i}", f"{64 * i} … {64 * i + 63}", int((owners[i] == i).sum()), int((owners[i] != i).sum()))
        for i in range(5)
    ]
    picture = np.arange(12 * 16, dtype=np.float32).reshape(12, 16)
    padded = np.zeros((12, 22), np.float32)
    with traced(picture, padded) as mirrored:
        launch(mirror, (5,), picture, padded, 16, 3, padded.size, BLOCK=64)
    assert np.array_equal(padded, np.pad(picture, ((0, 0), (3, 3)), mode="reflect"))
    return [
        Table("scale on 300 numbers, BLOCK = 64, five programs", ("", "lanes own", "written", "masked away"), rows),
        Pictures("mirror: which program wrote each number; how often each was read", {"written by program 0 … 4": mirrored.programs[1].reshape(12, 22) / 4, "reads of the input: 1 or 2": mirrored.reads[0].reshape(12, 16) / 2}, scale=12),
    ]  # fmt: skip


def ladders() -> list[Part]:
    """Of each, which program writes what, and what the counts and the compiler say."""
    from lessons.c14_triton.ladder import LADDERS, climbed, interpreted

    parts: list[Part] = [Words(NOTE)]
    for ladder in LADDERS:
        print(f"{ladder.title} ...", file=sys.stderr)
        seen = [interpreted(rung, ladder.small) for rung in ladder.rungs]
        found = [climbed(rung, ladder.large) for rung in ladder.rungs]
        assert np.allclose(seen[0].y, seen[1].y, atol=1e-4), ladder.title
        columns = [
            (
                f"{len(f.launches)}",
                f"{f.programs:,}",
                f"{f.waves:.2g}",
                f"{f.registers}",
                f"{f.spills}",
                f"{f.shared / 1024:.3g}",
                widths(f.widths),
                "yes" if f.tensor else "no",
                ", ".join(f"{reads.mean():.3g}" for reads in s.reads),
                *(f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in (f.once / 1e6, f.asked / 1e6, 1e6 * f.seconds)),
            )
            for s, f in zip(seen, found, strict=True)
        ]
        names = [rung.name for rung in ladder.rungs]
        parts.append(
            Pictures(
                f"{ladder.title.partition(',')[0]}: which program writes what, how often the input is read",
                {**dict(zip(names, told_apart(seen), strict=True)), **reads_of(seen[1])},
                scale=6,
                note="Each shade is a program; neighbours differ. The last picture: the brighter, the more often read.",
            )
        )
        parts.append(Table(ladder.title, ("", *names), list(zip(MEASURES, *columns, strict=True))))
    return parts


MEASURES = (
    "launches", "programs", "waves", "registers", "spills", "shared memory, KB", "loads by width", "tensor cores",
    "reads of each input's number, in the small picture", "MB, each number once", "MB asked for", "predicted µs",
)  # fmt: skip
NOTE = (
    "**Four ladders**, compiled for an H100 (sm_90) on this machine. *Asked for* is counted in sectors of 32 bytes, of a few programs, times all. Times are predicted, not "
    "measured: the longest of memory (2.9 TB/s), what is asked of the L2 cache (7.2 TB/s), instructions, products, and round trips that too few "
    "programs hide (benchmarks/prediction.py; where these rates were measured: benchmarks/gpus.py); the 1.5 µs from one launch to the next not counted."
)


def told_apart(seen: Sequence[Seen]) -> list[np.ndarray]:
    """The programs of each result [1,H,W,C] as shades: of its first channel, or pixels down and channels across where these differ."""
    planes = [s.owner.reshape(-1, s.owner.shape[-1]) for s in seen]
    across = any(len(np.unique(p[0])) > 1 for p in planes) and planes[0].shape[1] > 3
    pictures = [p[:64] if across else s.owner[0, :, :, 0] for p, s in zip(planes, seen, strict=True)]
    return [0.15 + 0.85 * (picture * 0.618 % 1) for picture in pictures]


def reads_of(seen: Seen) -> dict[str, np.ndarray]:
    """How often each pixel of the first input was read by the rung that trains."""
    reads = seen.reads[0][0, :, :, 0]
    return {f"reads by the one that trains: {reads.min()} to {reads.max()}": reads / reads.max()}


def widths(loads: dict[int, int]) -> str:
    return ", ".join(f"{count} × {width} bytes" for width, count in sorted(loads.items())) or "-"
