"""A reader in a process of its own, which may be killed: what became of each file, in how many seconds and bytes.

python -m tests.attack.measure READER FILE…
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MOST = 6 << 30  # bytes of address space: the machine must outlive what is tested
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Result:
    """Outcome "refused" (a UserError of one line), "sound" or "FAULT", and what was said."""

    outcome: str
    said: str
    seconds: float = 0.0  # of the processor
    peak: int = 0  # bytes beyond what was held before
    kept: int = 0  # bytes held afterwards beyond that


def outcome_of(reader: str, file: Path) -> Result:
    """One file through one reader, here."""
    from tests.attack.readers import READERS
    from train.errors import UserError

    CLEAR.write_text("5")  # the peak begins anew
    before, start = held("VmRSS"), time.process_time()
    try:
        READERS[reader](file)
        outcome, said = "sound", ""
    except UserError as error:
        outcome, said = ("FAULT" if "\n" in str(error) else "refused"), str(error)
    except BaseException:  # noqa: BLE001  whatever else comes out is what is looked for
        outcome, said = "FAULT", traceback.format_exc()
    return Result(outcome, said, time.process_time() - start, held("VmHWM") - before, held("VmRSS") - before)


def held(what: str) -> int:
    """Bytes of memory of this process: VmRSS now, VmHWM at most."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) << 10


def measured(reader: str, files: Sequence[Path], timeout: float = 120) -> list[Result]:
    """Each file through a reader, all in one other process. What kills or hangs it is a fault of the file it was at."""
    command = [sys.executable, "-m", "tests.attack.measure", reader, *map(str, files)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        out, why = done.stdout, f"died with {done.returncode}: {done.stderr[-2000:]}"
    except subprocess.TimeoutExpired as error:
        out, why = bytes(error.stdout or b"").decode(), f"not done within {timeout} s"
    results = [Result(**json.loads(line)) for line in out.splitlines()]
    if len(results) == len(files):
        return results
    return [*results, Result("FAULT", why), *measured(reader, files[len(results) + 1 :], timeout)]


def main() -> None:
    reader, *files = sys.argv[1:]
    from tests.attack.readers import READERS  # noqa: F401  loaded before the first file is timed

    resource.setrlimit(resource.RLIMIT_AS, (MOST, MOST))
    for file in files:
        print(json.dumps(asdict(outcome_of(reader, Path(file)))), flush=True)


if __name__ == "__main__":
    main()
