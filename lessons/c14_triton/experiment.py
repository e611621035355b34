"""A kernel run program by program, its reads and writes drawn; and what the compiler makes of three kernels, without a GPU."""

from __future__ import annotations

import importlib.util

import numpy as np

from lessons.parts import Part, Pictures, Table, Words


def show() -> list[Part]:
    """Pictures and tables; one sentence where there is no Triton."""
    if not importlib.util.find_spec("triton"):
        return [
            Words(
                "Triton is not installed here. It runs on Linux: `pip install triton`. The lesson below can be read without."
            )
        ]
    return [*interpreted(), compiled()]


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


def compiled() -> Table:
    from benchmarks.cubin import compile_launch
    from kernels.gpu.launch import launch, recorded
    from kernels.l1_loss import gpu as l1
    from lessons.c14_triton.kernels import mirror, scale

    x = np.zeros(1 << 20, np.float32)
    with recorded(run=False) as launches:
        launch(scale, (1024,), x, x.copy(), x.size, BLOCK=1024)
        launch(mirror, (1024,), x, x.copy(), 1018, 3, x.size, BLOCK=1024)
        l1.forward(x, x.copy())
    rows = []
    for found in launches[:3]:
        cubin = compile_launch(found, 90)
        rows.append(
            (
                found.name,
                cubin.registers,
                cubin.spills,
                cubin.shared,
                widths(cubin.loads),
                f"{found.bytes / 1e6:.1f}",
                f"{found.bytes / 3.35e12 * 1e6:.1f}",
            )
        )
    return Table(
        "The same, compiled for an H100 (sm_90) on this machine", ("kernel", "registers", "spills", "shared, bytes", "loads by width", "MB moved", "µs at 3.35 TB/s"), rows,
        "µs: bytes over the bandwidth of the data sheet, a floor and not a measurement.",
    )  # fmt: skip


def widths(loads: dict[int, int]) -> str:
    return ", ".join(f"{count} × {width} bytes" for width, count in sorted(loads.items())) or "-"
