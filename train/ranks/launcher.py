"""Whether a launcher started this process as one of several, and what ends all of them when one cannot go on.

mpi4py is imported where a launcher's variables are there, and nowhere else: MPI's start can end a plain process that runs inside
of a job. Where the launcher and MPI disagree on how many there are, each process would be rank 0 of 1 and all would write the
same run: that is refused, with the line to type.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from types import TracebackType

from train.errors import UserError
from train.ranks.group import ALONE, Group

RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
"""What an MPI's own launcher sets: mpiexec of MPICH and of Intel, srun --mpi=pmi2, srun --mpi=pmix, mpiexec of Open MPI."""
SIZES = (
    ("PMI_SIZE", "PMI_RANK", "mpiexec"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "mpiexec"),
    ("SLURM_NTASKS", "SLURM_PROCID", "Slurm"),
    ("WORLD_SIZE", "RANK", "torchrun"),
)
"""Who says how many there are, beside the variable that says which of them this is. The first that is set counts."""
PATIENCE = 60.0  # s without a sign of life of a rank until --rank_timeout counts: loading and compiling leave a heart little room
GRACE = 0.5  # s that rank 0 has to say the same before another rank says it

_group: Group = ALONE


def group() -> Group:
    """The process group that `join` found; that of one process before."""
    return _group


def join(environment: Mapping[str, str] | None = None) -> Group:
    """Become one of the processes that a launcher started, if it was one. From here on an exception on one rank ends all.

    Raises UserError where the launcher and MPI disagree, or where mpi4py is missing.
    """
    global _group
    environment = os.environ if environment is None else environment
    if _group is not ALONE:
        return _group
    said, by = launched(environment)
    if not any(name in environment for name in RANKS):
        check(said, by, 1)
        return _group
    from train.ranks.mpi import MPIGroup

    try:
        found = MPIGroup()
    except (ImportError, RuntimeError) as error:
        if said == 1:
            return _group
        raise UserError(
            f'{by} started {said} processes, and mpi4py cannot be loaded ({error}): pip install -e ".[mpi]" brings it and an MPI'
        ) from error
    try:
        check(said, by, found.size)
    except UserError as error:
        error.everywhere = True
        raise
    _group = found
    if found.size > 1:
        found.watch(PATIENCE)
        share_cores(found)
        sys.excepthook = end_all
        threading.excepthook = lambda it: end_all(it.exc_type, it.exc_value, it.exc_traceback)
    return found


def launched(environment: Mapping[str, str]) -> tuple[int, str]:
    """How many processes a launcher says it started, and which launcher; 1 and "" where there is none."""
    for size, rank, by in SIZES:
        if size in environment and rank in environment and environment[size].isdigit():
            return int(environment[size]), by
    return 1, ""


def check(said: int, by: str, size: int) -> None:
    """UserError unless the launcher and MPI agree."""
    if said == size or not by:
        return
    slurm = f"srun --mpi=pmi2 -n {said} {command()}" if by == "Slurm" else ""
    raise UserError(
        f"{by} started {said} processes, but MPI knows of {size}: each would train by itself, into one folder. Type\n"
        f"  {slurm or f'mpiexec -n {said} {command()}'}\nwith the mpiexec of the MPI that mpi4py loads "
        f'(pip install -e ".[mpi]" brings both); for one process: '
        + (f"srun -n 1 {command()}" if by == "Slurm" else f"{command()}, without {by}")
    )


def command() -> str:
    """What was typed, without a launcher."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = f"-m {spec.name.removesuffix('.__main__')}" if spec else shlex.quote(sys.argv[0])
    return f"python {program} {shlex.join(sys.argv[1:])}".strip()


def end_all(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """The exception hook of a rank: say what happened, and where, and end every rank."""
    text = "".join(traceback.format_exception(kind, error, trace))
    print(f"{text}error: {_group.name}: {kind.__name__}; all ranks end", file=sys.stderr, flush=True)
    _group.abort(1)


@contextlib.contextmanager
def rehearsing() -> Iterator[None]:
    """Within this context this rank stands for all: its group has everybody's size, and talks to nobody."""
    global _group
    before, alone = _group, Group()
    alone.size = before.size
    _group = alone
    try:
        yield
    finally:
        _group = before


def leave() -> None:
    """Wait for the other ranks, and part, as the end of every command."""
    _group.close()


def share_cores(found: Group) -> int:
    """Leave to the other ranks of this host their part of the cores; how many threads this rank takes."""
    from kernels.cpu import threads  # which sets the whole process up for computing on the CPU

    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    told = [cores for node, cores in found.gather((platform.node(), own)) if node == platform.node()]
    cores = sum(1 / sum(core in cores for cores in told) for core in own)
    threads.use(int(cores))
    return threads.COUNT


def give_up(text: str, code: int) -> None:
    """Tell why this rank cannot go on, once for what all have in common, and end every rank with this exit status."""
    if not _group.leads:
        time.sleep(GRACE * (1 + _group.rank / _group.size))  # what befell all is rank 0's to tell, and ends this one
    print(text, file=sys.stderr, flush=True)
    _group.abort(code)
