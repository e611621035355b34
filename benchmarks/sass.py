"""Machine code of NVIDIA's GPUs (SASS) as instructions with their names, many kernels at a time.

The disassembler spends half a second on starting and next to nothing on a kernel. So the code of many kernels for one GPU
is laid end to end in one file, taken apart in one go, and shared out again by address. A compiled kernel (a cubin) is an ELF
file; its instructions lie in the section ".text.<name of the kernel>".
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

# "        /*0100*/              @!P0 BRA 0x80 ;" -> "0100", "BRA", "80"; "... LDG.E.128 R4, ..." -> "0100", "LDG.E.128", ""
INSTRUCTION = re.compile(
    r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?\w+\s+)?([A-Z][\w.]*)(?: +(?:\w+, )?0x([0-9a-f]+) *;)?", re.MULTILINE
)
TENSOR = re.compile(r"HMMA|HGMMA|UTC[A-Z]*MMA")


class Instruction(NamedTuple):
    """Its address, its name with all modifiers, and the address that it may jump to."""

    address: int
    name: str
    jump: int | None

    @property
    def kind(self) -> str:
        """Its name without modifiers."""
        return self.name.partition(".")[0]


def loops(code: Sequence[Instruction]) -> list[Sequence[Instruction]]:
    """The loops that have no other in them, in order: from where a branch jumps back to up to that branch."""
    at = {instruction.address: i for i, instruction in enumerate(code)}
    found: list[range] = []
    for i, one in enumerate(code):
        back = one.kind == "BRA" and one.jump is not None and one.jump < one.address
        if back and one.jump in at and not any(at[one.jump] <= other.start for other in found):
            found.append(range(at[one.jump], i + 1))
    return [code[span.start : span.stop] for span in found]


def product_loop(code: Sequence[Instruction]) -> Sequence[Instruction]:
    """The innermost loop that has an instruction of the tensor cores in it; where all loops are unrolled, what lies between the
    first and the last of these; empty where there are none."""
    products = [i for i, one in enumerate(code) if TENSOR.fullmatch(one.kind)]
    unrolled = code[products[0] : products[-1] + 1] if products else ()
    found = (loop for loop in loops(code) if any(TENSOR.fullmatch(one.kind) for one in loop))
    return min(found, key=len, default=unrolled)


def instructions(codes: Sequence[bytes], target: int) -> list[list[Instruction]]:
    """For each kernel, of whose machine code for sm_<target> `codes` has the bytes: its instructions in order."""
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        Path(file.name).write_bytes(b"".join(codes))
        command = [knobs.nvidia.nvdisasm.path, "--binary", f"SM{target}", file.name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: list[list[Instruction]] = [[] for _ in codes]
    ends = list(accumulate(map(len, codes)))
    index = 0
    for address, name, jump in INSTRUCTION.findall(listing):
        while int(address, 16) >= ends[index]:
            index += 1
        found[index].append(Instruction(int(address, 16), name, int(jump, 16) if jump else None))
    return found


def machine_code(cubin: bytes) -> bytes:
    """The instructions of the one kernel in a cubin. ValueError where there is not exactly one.

    Offsets are those of an ELF file of 64 bits (System V ABI): a header, sections, a table of the sections.
    """
    (table,) = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    sections = [
        struct.unpack_from("<IIQQQQ", cubin, table + size * i) for i in range(count)
    ]  # name, ..., offset, bytes
    strings = sections[names][4]
    kernels = [s for s in sections if cubin[strings + s[0] :].startswith(b".text.")]
    if len(kernels) != 1:
        raise ValueError(f"{len(kernels)} kernels in a cubin; wanted one")
    offset, length = kernels[0][4:6]
    return cubin[offset : offset + length]
