"""Somebody else on some of the cores: programs that spin while contestants are timed.

What is cut into equal parts waits for the part on the busy core; what is taken in pieces loses that core's share only.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

SPIN = """
import os, sys
core, parent = int(sys.argv[1]), os.getppid()
if hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1 - core % len(cores)]})
print("spinning", flush=True)
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""


@contextlib.contextmanager
def burning(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many programs spin meanwhile, each bound to a core of its own, from the last one on, where the system can bind."""
    programs: list[subprocess.Popen[str]] = []
    try:
        for core in range(count):
            command = [sys.executable, "-c", SPIN, str(core)]
            programs.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        for program in programs:
            assert program.stdout is not None
            program.stdout.readline()
        yield programs
    finally:
        for program in programs:
            program.kill()
            program.communicate()
