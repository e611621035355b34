"""Attacks on files that it reads and on runs that it makes.

    python -m tests.attack [files|crashes|kills|ranks] [--seed S] [--count N] …

files     mutated files of every kind through everything that reads them
crashes   a short run of each system, stopped at every change that it makes to the disk, and continued
kills     real processes of one run, killed at random moments, and started again
ranks     real ranks of one run under mpiexec, of which one comes to grief
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.attack import crashes, files, kills, ranks
from tests.attack.mutate import KINDS
from tests.attack.runs import SYSTEMS


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.attack", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("what", nargs="?", choices=("files", "crashes", "kills", "ranks"), default="files")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="what is random follows from it (default: the time)"
    )
    parser.add_argument("--count", "--tries", type=int, help="mutations of each kind (default: 1000); states of each system that are gone on\nfrom (default: all); kills (default: 100); runs of ranks (default: 200)")  # fmt: skip
    parser.add_argument(
        "--kind", choices=sorted(KINDS), action="append", help="files: only this kind; may be given again"
    )
    parser.add_argument(
        "--system", choices=SYSTEMS, action="append", help="crashes: only this system; may be given again"
    )
    given = parser.parse_args()
    print(f"seed {given.seed}\n", flush=True)
    match given.what:
        case "files":
            faults = files.report(given.count or 1000, given.seed, given.kind or [*KINDS])
        case "crashes":
            faults = crashes.report(given.count, given.seed, given.system or [*SYSTEMS])
        case "ranks":
            faults = ranks.report(given.count or 200, given.seed)
        case _:
            faults = kills.report(given.count or 100, given.seed)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
