"""A process group: the handful of collective calls that training on several ranks is made of. Here that of one process.

What is small is gathered, and waited for. Arrays are sent by calls that only begin: `exchange`, `allgather` and `allreduce` return
something `Pending`, so that a rank may compute meanwhile. Every rank makes the same calls in the same order; between the exchanges
and the allgathers the order does not matter.

train/ranks/mpi.py makes them with MPI, train/ranks/nccl.py carries the arrays of GPUs. Which group this process belongs to says
train/ranks/launcher.py.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from typing import Generic, NoReturn, TypeVar

from kernels.device import Array

T = TypeVar("T")


EAGER = 0.002  # s in which a call is asked after without a pause
SHORTEST, LONGEST = (
    0.00002,
    0.001,
)  # s between two questions from then on, or a two hundredth of what has been waited for


class Pending(Generic[T]):
    """A call that has begun. `value` holds when `done`; the arrays that it was given are not to be touched before."""

    def __init__(self, value: T) -> None:
        self.value = value

    def done(self) -> bool:
        """Whether it is over. To ask is what makes it go on, in MPI."""
        return True


class Group:
    """A process by itself: each call is what it is among one."""

    rank = 0
    size = 1
    local_rank = 0  # among those on this host
    local_size = 1  # how many are on this host
    unasked = False  # whether what has begun to travel goes on by itself, so that it pays to begin before the end of a backward
    seconds = 0.0  # spent in these calls so far, waiting for others included

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes files and speaks."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """Which rank this is and where, as errors name it; "" for a process by itself."""
        return f"rank {self.rank} of {self.size} on {platform.node()}" if self.size > 1 else ""

    def gather(self, value: T) -> list[T]:
        """Everybody's value, by rank; for anything small that can be pickled."""
        return [value]

    def broadcast(self, value: T) -> T:
        """Rank 0's value."""
        return self.gather(value if self.leads else None)[0]  # type: ignore[return-value]

    def barrier(self) -> None:
        """Return when everybody has come here."""
        self.gather(None)

    def exchange(self, parts: Sequence[Array], sizes: Sequence[int]) -> Pending[list[Array]]:
        """parts[r], flat, goes to rank r; back comes what each rank has for this one, sizes[r] numbers from rank r."""
        return Pending(list(parts))

    def allgather(self, piece: Array, sizes: Sequence[int]) -> Pending[Array]:
        """Every rank's flat piece, one after the other; sizes[r] numbers are rank r's."""
        return Pending(piece)

    def allreduce(self, array: Array) -> Pending[Array]:
        """The sum of everybody's flat array, in an order that the library chooses."""
        return Pending(array)

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Within this context a GPU works beside what it was given before, once that is done; the calls above belong there."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Account for what calls take."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start

    def pause(self, waited: float) -> None:
        """Let others compute, before asking again after what has been waited for so many seconds.

        A pause is short beside the wait, and so is what it adds. MPI does nothing unasked, and takes several rounds: with pauses of
        up to a millisecond, four ranks on two cores waited for a third of a step.
        """
        if waited < EAGER:
            give_way()
        else:
            time.sleep(min(max(waited / 200, SHORTEST), LONGEST))

    def take_gpu(self) -> None:
        """Compute on a GPU that is no other rank's from here on, and carry arrays from GPU to GPU. UserError where there are too few."""

    def watch(self, patience: float) -> None:
        """From here on a rank that gives no sign of life for `patience` seconds ends all."""

    def close(self) -> None:
        """Wait for everybody, and part."""

    def abort(self, code: int) -> NoReturn:
        """End every rank now, with this exit status."""
        raise SystemExit(code)


def give_way() -> None:
    """Leave this core to whoever else wants it, if anybody does."""
    os.sched_yield() if hasattr(os, "sched_yield") else time.sleep(0)


ALONE = Group()
