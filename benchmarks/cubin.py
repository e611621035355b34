"""What the compiler made of a launch: compiled for one GPU on a machine without any, then read back from the machine code.

Triton's wheel brings NVIDIA's `cuobjdump`, which tells registers and stack and lists the instructions (SASS). Compute
capabilities are written as in `sm_90`: 80 A100, 89 RTX 4090, 90 H100 and H200, 100 B200.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import multiprocessing
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernels.launch import Launch

# Shared memory that one program may have, KB (CUDA C++ Programming Guide, table of features per compute capability).
SHARED_LIMIT = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}
TENSOR_CORES = {90: "HGMMA", 100: "UTC*MMA"}  # elsewhere HMMA
REGISTERS, THREADS, PROGRAMS = 65536, 2048, 32  # of one multiprocessor (sm_89: 1536 threads, 24 programs)

# "/*0100*/  @!P0 LDG.E.128 R4, ..." -> "LDG.E.128"
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([A-Z][\w.]*)", re.MULTILINE)
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


@dataclass(frozen=True)
class Cubin:
    """One kernel for one target. `loads` and `stores` count instructions on DRAM by their width in bytes."""

    registers: int
    stack: int  # bytes of local memory for each thread
    spills: int  # instructions that write to or read from local memory
    shared: int  # bytes for each program
    programs: int  # that one multiprocessor holds at a time
    tensor: dict[str, int]  # instructions of the tensor cores by name
    loads: dict[int, int]
    stores: dict[int, int]
    float_atomics: int
    products: (
        str  # how it multiplies matrices: "bf16", "tf32", "fp32" (in full, without tensor cores), or "" for not at all
    )
    instructions: int

    def problems(self, target: int) -> list[str]:
        """What makes this kernel unfit for sm_<target>, in words."""
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
        return found


def compile_launch(launch: Launch, target: int) -> Cubin:
    """Compile the kernel of `launch` for sm_<target> (Triton keeps the result on disk) and read what came out."""
    import triton
    from triton.backends.compiler import GPUTarget

    compiled = triton.compile(launch.source(), target=GPUTarget("cuda", target, 32), options=launch.options)
    listing = _listing(compiled.asm["cubin"])
    usage = USAGE.search(listing)
    assert usage, f"cuobjdump says nothing about {launch.name}"
    registers, stack, local = map(int, usage.groups())
    names = Counter(INSTRUCTION.findall(listing))
    kinds: Counter[str] = Counter()
    for name, count in names.items():
        kinds[name.split(".")[0]] += count
    return Cubin(
        registers=registers,
        stack=stack + local,
        spills=kinds["STL"] + kinds["LDL"],
        shared=compiled.metadata.shared,
        programs=_resident(registers, compiled.metadata.shared, 32 * compiled.metadata.num_warps, target),
        tensor={name: n for name, n in kinds.items() if re.fullmatch(r"HMMA|HGMMA|UTC[A-Z]*MMA", name)},
        loads=_widths(names, ("LDG", "LDGSTS")),
        stores=_widths(names, ("STG",)),
        float_atomics=len(FLOAT_ATOMIC.findall(compiled.asm["ptx"])),
        products=_products(compiled.asm["ttir"]),
        instructions=names.total(),
    )


def compile_all(work: Sequence[tuple[Launch, int]], jobs: int) -> Iterator[Cubin | str]:
    """compile_launch for every (launch, target), in order, in so many processes; in words what stopped the compiler."""
    portable = [(_module(launch), launch.kernel.fn.__name__, _described(launch), target) for launch, target in work]
    if jobs == 1:
        yield from map(_compile, portable)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_compile, portable)


def _compile(portable: tuple[str, str, dict[str, Any], int]) -> Cubin | str:
    from triton import TritonError

    module, name, described, target = portable
    try:
        return compile_launch(Launch(getattr(importlib.import_module(module), name), **described), target)
    except (TritonError, RuntimeError) as error:  # the other kernels should still be judged
        return f"does not compile: {' '.join(str(error).split())[-300:]}"


def _module(launch: Launch) -> str:
    return launch.kernel.fn.__module__


def _described(launch: Launch) -> dict[str, Any]:
    """All but the kernel itself, which cannot be sent to another process."""
    return {f.name: getattr(launch, f.name) for f in dataclasses.fields(launch) if f.name != "kernel"}


def _listing(cubin: bytes) -> str:
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        command = [knobs.nvidia.cuobjdump.path, "-res-usage", "-sass", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _products(code: str) -> str:
    """How the first matrix product in Triton's intermediate code is made."""
    if not (product := re.search(r"tt\.dot (.*) : tensor<[\dx]+x(\w+)>", code)):
        return ""
    if product[2] != "f32":
        return product[2]
    return "tf32" if "inputPrecision = tf32" in product[1] else "fp32"


def _widths(names: Counter[str], kinds: tuple[str, ...]) -> dict[int, int]:
    """Bytes for each thread -> how many such instructions, widest first."""
    found: Counter[int] = Counter()
    for name, count in names.items():
        kind, *modifiers = name.split(".")
        if kind in kinds:
            found[next((WIDTHS[m] for m in modifiers if m in WIDTHS), 4)] += count
    return dict(sorted(found.items(), reverse=True))


def _resident(registers: int, shared: int, threads: int, target: int) -> int:
    """Programs that fit on one multiprocessor: registers come in units of 256 for a warp, 1 KB is the system's."""
    by_registers = REGISTERS // (-(-registers * 32 // 256) * 256 * (threads // 32))
    by_shared = (SHARED_LIMIT[target] + 1) * 1024 // (shared + 1024)
    most = (1536, 24) if target in (86, 89, 120) else (THREADS, PROGRAMS)
    return min(by_registers, by_shared, most[0] // threads, most[1])
