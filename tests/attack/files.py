"""Mutated files of every kind through everything that reads them, and what became of them.

refused   a UserError of one line
sound     read, and what came of it is as it should be
FAULT     anything else: another exception, a crash, too much time or memory. Files that did so are kept and named
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.attack.measure import Result, measured
from tests.attack.mutate import KINDS, mutations

LIMITS = {"weights": (1.0, 200 << 20), "picture": (20.0, 3 << 30), "unzip": (1.0, 200 << 20), "untar": (1.0, 200 << 20)}
"""Seconds of the processor, and bytes beyond twice the file. A picture may have Pillow's 89 million pixels."""


def verdict(reader: str, file: Path, result: Result) -> str:
    """The outcome; FAULT too for what took longer or more than it may."""
    seconds, room = LIMITS[reader]
    slow = result.seconds > seconds or result.peak > 2 * file.stat().st_size + room
    return "FAULT" if slow else result.outcome


def attack(kind: str, count: int, seed: int, folder: Path) -> tuple[dict[str, int], list[tuple[Path, Result]]]:
    """Counts of the outcomes, and the faults."""
    reader = KINDS[kind][0]
    counts, faults = {"refused": 0, "sound": 0, "FAULT": 0}, []
    files = mutations(kind, count, seed, folder)
    for start in range(0, len(files), 500):
        some = files[start : start + 500]
        for file, result in zip(some, measured(reader, some), strict=True):
            outcome = verdict(reader, file, result)
            if file == files[0]:
                assert outcome == "sound", f"a sound {kind} is not read: {result.said}"
                continue
            counts[outcome] += 1
            if outcome == "FAULT":
                faults.append((file, result))
    return counts, faults


def report(count: int, seed: int, kinds: Sequence[str]) -> int:
    """Print what became of `count` mutations of each kind; the number of faults."""
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    print(f"{'kind':14}{'refused':>9}{'sound':>9}{'FAULT':>9}", flush=True)
    total, bad = 0, 0
    for kind in kinds:
        counts, faults = attack(kind, count, seed, folder / kind.replace(" ", "_"))
        print(f"{kind:14}" + "".join(f"{n:9,}" for n in counts.values()), flush=True)
        for file, result in faults:
            print(f"  {file}: {result.said.strip().splitlines()[-1] if result.said else ''} {result.seconds:.1f} s, {result.peak >> 20} MB")  # fmt: skip
        total, bad = total + sum(counts.values()), bad + len(faults)
    print(f"\n{total:,} files, {bad} faults")
    if not bad:
        shutil.rmtree(folder)
    return bad
