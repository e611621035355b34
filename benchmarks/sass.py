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
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

# "        /*0100*/              @!P0 LDG.E.128 R4, ..." -> "0100", "LDG.E.128"
INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?\w+\s+)?([A-Z][\w.]*)", re.MULTILINE)


def instructions(codes: Sequence[bytes], target: int) -> list[Counter[str]]:
    """For each kernel, of whose machine code for sm_<target> `codes` has the bytes: its instructions, counted by name."""
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        Path(file.name).write_bytes(b"".join(codes))
        command = [knobs.nvidia.nvdisasm.path, "--binary", f"SM{target}", file.name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: list[Counter[str]] = [Counter() for _ in codes]
    ends = list(accumulate(map(len, codes)))
    index = 0
    for address, name in INSTRUCTION.findall(listing):
        while int(address, 16) >= ends[index]:
            index += 1
        found[index][name] += 1
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
