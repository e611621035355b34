"""What Python takes to launch kernels, on a machine with or without a GPU: the time that a CUDA graph saves.

Calls go the whole way that they go on a GPU, over real CuPy arrays and through Triton's own launching code, up to a driver that
launches nothing (benchmarks/idle_driver.py); nothing is compiled. CUDA's part of a launch, some 2 to 4 µs, is not in it. Times
are those of the processor spent in this process, the least of several rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine, options, table
from benchmarks.harness import Row
from benchmarks.idle_driver import cupy_arrays, idle
from benchmarks.op_providers import OpWork
from kernels.gpu.launch import recorded

PICTURES = (4, 64, 64, 256)  # of a residual layer, as both directions' real and fake ones go through it
FILTER = (3, 3, 256, 256)
HOW: dict[str, Any] = dict(padding=1, padding_mode="reflect")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks host_cost`."""
    parser.add_argument("--rounds", type=int, default=9, help="of 100 calls each (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a smoke test; its numbers mean nothing")
    parser.add_argument("--json", metavar="FILE", help="write the rows here")


def run(args: argparse.Namespace) -> int:
    """Measure, print, write."""
    about = machine.describe()
    print(options.title(about), flush=True)
    rounds, count = (1, 5) if args.quick else (args.rounds, 100)
    with idle(), cupy_arrays():
        rows = [{**row(name, call, rounds, count), "machine": about} for name, call in calls().items()]
    print("\n" + show(rows))
    if args.json:
        options.save(Path(args.json), json.dumps(rows, indent=1))
    return 0


def calls() -> dict[str, Callable[[], Any]]:
    """What is timed: one kernel, a product, and a residual block's layer as networks call it. Inside `cupy_arrays` only."""
    import cupy

    from autograd import Tensor, ops
    from kernels.conv2d.fprop import fprop
    from kernels.conv2d.geometry import Geometry
    from kernels.device import Device
    from kernels.tanh import gpu as tanh

    dtype = OpWork(precision="bf16").dtype
    x, w, dy = (cupy.empty(shape, dtype) for shape in (PICTURES, FILTER, PICTURES))
    inputs = [Tensor(array, True, Device("cuda")) for array in (x, w)]

    def block() -> Tensor:
        return ops.conv_norm_relu(inputs[0], inputs[1], **HOW)

    def block_and_back() -> None:
        for tensor in inputs:
            tensor.grad = None
        block().backward(dy)

    return {
        "tanh, one kernel": lambda: tanh.forward(x),
        "convolution, one kernel": lambda: fprop(x, w, None, PICTURES[1:3], Geometry(**HOW)),
        "conv_norm_relu, forward": block,
        "conv_norm_relu, forward and backward": block_and_back,
    }


def row(name: str, call: Callable[[], Any], rounds: int, count: int) -> Row:
    """Seconds of processor time for one call, and how many launches that makes."""
    with recorded() as launches:
        call()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(count):
            call()
        times.append((time.process_time() - start) / count)
    return {"bench": "host_cost", "work": name, "launches": len(launches), "seconds": min(times), "samples": times}


def show(rows: list[Row]) -> str:
    """The table."""
    head = ["what Python does", "launches", "µs", "µs a launch"]
    lines = [(r["work"], r["launches"], 1e6 * r["seconds"]) for r in rows]
    return table.render(head, [[name, str(n), f"{us:.1f}", f"{us / n:.1f}"] for name, n, us in lines])
