"""What a launch asks of a GPU (benchmarks/prediction.py), from what is known without one: its grid and tiles, the arrays it was
given, and its machine code.

How often a loop runs is not written in machine code. It follows from what must be done: products by what one trip
multiplies, arrays by what one trip moves, partials by how many are merged at a time.
"""

from __future__ import annotations

import math
import re

from benchmarks.cubin import Cubin, Loop
from benchmarks.prediction import Demand
from kernels.gpu.launch import Launch

ITEMSIZE = {"*fp32": 4, "*bf16": 2, "*i32": 4, "*i64": 8, "*u8": 1}
# 16x8x16 and so on: multiply-adds of one instruction. HGMMA is made by four warps together, UTCHMMA by the whole program.
HMMA, HGMMA = re.compile(r"HMMA\.16(8)(4|8|16|32)\."), re.compile(r"HGMMA\.(\d+)x(\d+)x(\d+)\.")


def demand_of(launch: Launch, code: Cubin, target: int) -> Demand:
    """Of one launch, run with `code` that was compiled for sm_<target>."""
    programs, steps = max(math.prod(launch.grid), 1), reduction_steps(launch)
    flops, moved, merged = 0.0, float(launch.bytes), programs * merge_bytes(launch)
    if steps:
        c = launch.constexprs
        flops = 2.0 * programs * steps * c["BM"] * c["BN"] * c["BK"]
        read = programs * steps * (c["BM"] + c["BN"]) * c["BK"] * _itemsize(launch)
        moved = max(moved, read + moved - operand_bytes(launch))
    trips = [_trips(loop, launch, code, flops / programs) for loop in code.loops]
    passes = [(code.outside, 1.0), *zip(code.loops, trips, strict=True)]
    # A loop whose loads wait in registers goes to memory and back in each trip; one that prefetches does not wait.
    waiting = [
        (loop, n) for loop, n in passes[1:] if loop.waiting and not (steps and loop is _multiplying(launch, code))
    ]
    merging = sum(n for loop, n in waiting if _merges(loop, launch, code))
    return Demand(
        programs=programs,
        dram=launch.bytes,
        l2=moved + merged,
        flops=flops,
        products=code.products,
        issued=code.warps * sum(n * part.instructions for part, n in passes),
        resident=max(1, code.resident(target)),
        far=2 + sum(n for _, n in waiting) - merging,
        near=merging,
        exchanges=sum(n * (2 * part.barriers + part.shuffles / 4) for part, n in passes),
    )


def reduction_steps(launch: Launch) -> int:
    """How often a program of a matrix product adds BK products to its tile; 0 for other kernels."""
    c = launch.constexprs
    if not launch.flops or not {"BM", "BN", "BK"} <= c.keys():
        return 0
    kind = launch.name.rpartition("_")[2]
    length = launch.flops / math.prod(launch.grid) / (2 * c["BM"] * c["BN"])
    if {"R", "S", "C", "K"} <= c.keys():  # then tiles that stick out are seen for what they are
        if kind in ("fprop", "block"):
            length = c["R"] * c["S"] * c["C"]
        elif kind == "dgrad":
            length = c["R"] * c["S"] * c["K"] / c["STRIDE"] ** 2
        elif kind == "few":
            length = c["R"] * c["C"]
        elif kind == "wgrad":
            length = launch.flops / (2 * c["R"] * c["S"] * c["C"] * c["K"]) / launch.grid[2]
    return math.ceil(length / c["BK"])


def operand_bytes(launch: Launch) -> int:
    """Of the two arrays that are multiplied: the first two of a product's, for each layer if it is made for several."""
    first, layers = list(launch.shapes)[:2], launch.shapes.get("layers", (1,))[0]
    return layers * sum(math.prod(launch.shapes[name]) * ITEMSIZE[launch.signature[name]] for name in first)


def merge_bytes(launch: Launch) -> int:
    """Partials [N,T,2,C] that every program reads, BT at a time: all T of its channels, or SHARE of them."""
    channels = "BC" if "BC" in launch.constexprs else "BN"
    return _tiles(launch) * 2 * launch.constexprs[channels] * 4 if _merging(launch) else 0


def _tiles(launch: Launch) -> int:
    return min(launch.shapes["partials"][1], launch.constexprs.get("SHARE", math.inf))


def _merging(launch: Launch) -> bool:
    return "BT" in launch.constexprs and "partials" in launch.shapes


def _merges(loop: Loop, launch: Launch, code: Cubin) -> bool:
    """Whether this loop of a kernel that merges is one that does, or waits for others' partials; both read from L2."""
    return _merging(launch) and not loop.stores and not (launch.flops and loop is _multiplying(launch, code))


def _itemsize(launch: Launch) -> int:
    """Of what is multiplied, bytes."""
    return next(ITEMSIZE[kind] for kind in launch.signature.values() if kind in ("*fp32", "*bf16"))


def _trips(loop: Loop, launch: Launch, code: Cubin, flops: float) -> float:
    """How often a program goes round, if it makes so many `flops`."""
    if _merges(loop, launch, code):
        return math.ceil(_tiles(launch) / launch.constexprs["BT"])
    if flops:  # the loop that multiplies most, and nothing else
        multiplied = _multiplied(loop, launch, code)
        return max(1.0, flops / multiplied) if multiplied and loop is _multiplying(launch, code) else 1.0
    moving = 32 * code.warps * sum(one.bytes for one in code.loops if not _merges(one, launch, code))
    return max(1.0, launch.bytes / math.prod(launch.grid) / moving) if loop.bytes else 1.0


def _multiplying(launch: Launch, code: Cubin) -> Loop:
    return max(code.loops, key=lambda loop: _multiplied(loop, launch, code))


def _multiplied(loop: Loop, launch: Launch, code: Cubin) -> float:
    """Operations of one trip, of all warps of a program."""
    return sum(n * _instruction_flops(name, launch, code.warps) for name, n in loop.products.items())


def _instruction_flops(name: str, launch: Launch, warps: int) -> float:
    """Operations that all warps of a program make together with one such instruction each."""
    if found := HMMA.match(name):
        return 2 * 16 * int(found[1]) * int(found[2]) * warps
    if found := HGMMA.match(name):
        return 2 * math.prod(map(int, found.groups())) * max(1, warps // 4)
    if name.startswith("FFMA"):
        return (4 if name.startswith("FFMA2") else 2) * 32 * warps
    c = launch.constexprs
    return 2 * min(c["BM"], 128) * c["BN"] * (32 // _itemsize(launch))  # UTCHMMA: 32 bytes of the reduction
