"""What the compiler made of a launch: compiled for one GPU on a machine without any, then read back from the machine code.

Triton's wheel brings NVIDIA's `cuobjdump`, which tells registers and stack, and `nvdisasm`, which lists the instructions
(benchmarks/sass.py). Compute capabilities are written as in `sm_90`: 80 A100, 89 RTX 4090, 90 H100 and H200, 100 B200.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import importlib
import multiprocessing
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import sass
from kernels.gpu.launch import Launch

# Shared memory that one program may have, KB (CUDA C++ Programming Guide, table of features per compute capability).
SHARED_LIMIT = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}
TENSOR_CORES = {90: "HGMMA", 100: "UTC*MMA"}  # elsewhere HMMA
REGISTERS, THREADS, PROGRAMS = 65536, 2048, 32  # of one multiprocessor (sm_89: 1536 threads, 24 programs)

USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)")
FLOAT_ATOMIC = re.compile(r"\b(?:atom|red)\.[\w.:]*\.(?:bf16x2|f16x2|bf16|f16|f32|f64)\b")
WIDTHS = {
    "U8": 1,
    "S8": 1,
    "U16": 2,
    "S16": 2,
    "64": 8,
    "128": 16,
    "256": 32,
}  # bytes; 4 where an instruction says none

Work = Sequence[tuple[Launch, int]]
"""Launches and the targets that they are compiled for."""


@dataclass(frozen=True)
class Loop:
    """A loop, or what lies outside of all: how many instructions, its loads from DRAM by their width in bytes, those that go
    straight to shared memory while the product of earlier ones is made, and those that wait in registers. Its stores
    likewise, what it multiplies with by name, shuffles and barriers."""

    instructions: int
    straight: dict[int, int]
    waiting: dict[int, int]
    stores: dict[int, int] = dataclasses.field(default_factory=dict)
    products: dict[str, int] = dataclasses.field(default_factory=dict)
    shuffles: int = 0
    barriers: int = 0

    @property
    def bytes(self) -> int:
        """What one thread loads and stores in one trip."""
        return sum(width * n for kind in (self.straight, self.waiting, self.stores) for width, n in kind.items())


@dataclass(frozen=True)
class Cubin:
    """One kernel for one target. `loads` and `stores` count instructions on DRAM by their width in bytes."""

    registers: int
    stack: int  # bytes of local memory for each thread
    spills: int  # instructions that write to or read from local memory
    shared: int  # bytes for each program
    warps: int  # of each program
    tensor: dict[str, int]  # instructions of the tensor cores by name
    loads: dict[int, int]
    stores: dict[int, int]
    float_atomics: int
    products: (
        str  # how it multiplies matrices: "bf16", "tf32", "fp32" (in full, without tensor cores), or "" for not at all
    )
    instructions: int
    loop: Loop
    loops: tuple[Loop, ...] = ()  # all that have no other in them, in order
    outside: Loop = Loop(0, {}, {})  # of these

    def resident(self, target: int) -> int:
        """Programs that one multiprocessor of sm_<target> holds at a time; 0 where shared memory does not suffice.

        Registers come in units of 256 for a warp; of shared memory, 1 KB for each program is the system's.
        """
        by_registers = REGISTERS // (-(-self.registers * 32 // 256) * 256 * self.warps)
        by_shared = (SHARED_LIMIT[target] + 1) * 1024 // (self.shared + 1024)
        threads, most = (1536, 24) if target in (86, 89, 120) else (THREADS, PROGRAMS)
        return min(by_registers, by_shared, threads // (32 * self.warps), most)

    def problems(self, target: int, even: bool = False) -> list[str]:
        """What makes this kernel unfit for sm_<target>, in words. `even`: blocks divide channels, so that loads can be wide."""
        found = []
        if self.spills or self.stack:
            found.append(f"spills: {self.spills} accesses to local memory, {self.stack} bytes of stack")
        if self.shared > SHARED_LIMIT[target] * 1024:
            found.append(f"{self.shared / 1024:.0f} KB of shared memory, of {SHARED_LIMIT[target]}")
        if self.float_atomics:
            found.append(f"{self.float_atomics} atomics on floats: the order of additions is left to chance")
        wanted = TENSOR_CORES.get(target, "HMMA")
        if self.products not in ("", "fp32") and not fnmatch.filter(self.tensor, wanted):
            found.append(f"{self.products} product without {wanted} (found: {', '.join(self.tensor) or 'none'})")
        least = {"bf16": 16, "tf32": 4}.get(self.products, 0)  # tf32 is turned around on its way, number by number
        straight, waiting = self.loop.straight, self.loop.waiting
        narrow = sum(n for loads in (straight, waiting) for width, n in loads.items() if width < least)
        if target < 90:
            waiting = {}  # there an operand that is transposed is turned around in registers
        if even and least and (narrow or waiting):
            found.append(
                f"{narrow} loads under {least} bytes, {sum(self.loop.waiting.values())} that wait in registers, in the loop of "
                f"{self.loop.instructions} instructions around the product"
            )
        return found


@dataclass(frozen=True)
class Built:
    """A compiled kernel as its compiler leaves it, before its instructions are listed."""

    target: int
    code: bytes
    about: dict[str, Any]  # those of Cubin's fields that the instructions do not tell


def compile_launch(launch: Launch, target: int) -> Cubin:
    """Compile the kernel of `launch` for sm_<target> and read what came out."""
    (cubin,) = read([build(launch, target)])
    assert isinstance(cubin, Cubin)
    return cubin


def build(launch: Launch, target: int) -> Built:
    """The kernel of `launch`, compiled for sm_<target> (Triton keeps the result on disk)."""
    import triton
    from triton.backends.compiler import GPUTarget

    compiled = triton.compile(launch.source(), target=GPUTarget("cuda", target, 32), options=launch.options)
    registers, stack = _usage(compiled.asm["cubin"])
    about = dict(
        registers=registers,
        stack=stack,
        shared=compiled.metadata.shared,
        warps=compiled.metadata.num_warps,
        float_atomics=len(FLOAT_ATOMIC.findall(compiled.asm["ptx"])),
        products=_products(compiled.asm["ttir"]),
    )
    return Built(target, sass.machine_code(compiled.asm["cubin"]), about)


def read(built: Iterable[Built | str]) -> list[Cubin | str]:
    """Each with its instructions counted; what stopped the compiler stays as it is."""
    results: list[Any] = list(built)
    for target in {b.target for b in results if isinstance(b, Built)}:
        mine = [i for i, b in enumerate(results) if isinstance(b, Built) and b.target == target]
        for i, code in zip(mine, sass.instructions([results[i].code for i in mine], target), strict=True):
            results[i] = Cubin(**results[i].about, **_counted(code))
    return results


@contextlib.contextmanager
def compilers(jobs: int) -> Iterator[Callable[[Work], Iterator[Built | str]]]:
    """So many processes, and how to give them work: it begins at once, results come in order, what failed in words."""
    if jobs == 1:
        yield lambda work: map(_build, _portable(work))
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield lambda work: pool.map(_build, _portable(work))


def _portable(work: Work) -> list[tuple[str, str, dict[str, Any], int]]:
    """Launches without their kernels, which cannot be sent to another process; these are named instead."""
    described = [{f.name: getattr(launch, f.name) for f in dataclasses.fields(launch)} for launch, _ in work]
    kernels = [description.pop("kernel").fn for description in described]
    return [(k.__module__, k.__name__, d, target) for k, d, (_, target) in zip(kernels, described, work, strict=True)]


def _build(portable: tuple[str, str, dict[str, Any], int]) -> Built | str:
    from triton import TritonError

    module, name, described, target = portable
    try:
        return build(Launch(getattr(importlib.import_module(module), name), **described), target)
    except (TritonError, RuntimeError) as error:  # the other kernels should still be judged
        return f"does not compile: {' '.join(str(error).split())[-300:]}"


def _usage(cubin: bytes) -> tuple[int, int]:
    """Registers of a thread, and bytes of its stack."""
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        command = [knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage = USAGE.search(listing)
    assert usage, f"cuobjdump tells no registers: {listing}"
    registers, stack, local = map(int, usage.groups())
    return registers, stack + local


def _counted(code: Sequence[sass.Instruction]) -> dict[str, Any]:
    """The fields of Cubin that instructions tell."""
    kinds = Counter(instruction.kind for instruction in code)
    loops = sass.loops(code)
    inside = {one.address for loop in loops for one in loop}
    return dict(
        spills=kinds["STL"] + kinds["LDL"],
        tensor={name: n for name, n in kinds.items() if sass.TENSOR.fullmatch(name)},
        loads=_widths(code, "LDG", "LDGSTS"),
        stores=_widths(code, "STG"),
        instructions=len(code),
        loop=_loop(sass.product_loop(code)),
        loops=tuple(map(_loop, loops)),
        outside=_loop([one for one in code if one.address not in inside]),
    )


def _loop(code: Sequence[sass.Instruction]) -> Loop:
    kinds = Counter(one.kind for one in code)
    multiplying = Counter(one.name for one in code if sass.TENSOR.fullmatch(one.kind) or one.kind in ("FFMA", "FFMA2"))
    loads = _widths(code, "LDGSTS"), _widths(code, "LDG"), _widths(code, "STG")
    return Loop(len(code), *loads, dict(multiplying), kinds["SHFL"], kinds["BAR"])


def _products(code: str) -> str:
    """How the first matrix product in Triton's intermediate code is made."""
    if not (product := re.search(r"tt\.dot (.*) : tensor<[\dx]+x(\w+)>", code)):
        return ""
    if product[2] != "f32":
        return product[2]
    return "tf32" if "inputPrecision = tf32" in product[1] else "fp32"


def _widths(code: Sequence[sass.Instruction], *kinds: str) -> dict[int, int]:
    """Bytes for each thread -> how many such instructions, widest first."""
    found: Counter[int] = Counter()
    for instruction in code:
        if instruction.kind in kinds:
            found[next((WIDTHS[m] for m in instruction.name.split(".") if m in WIDTHS), 4)] += 1
    return dict(sorted(found.items(), reverse=True))
