"""A process group: the handful of collective calls that training on several ranks is made of. Here that of one process.

train/ranks/mpi.py makes them with MPI, train/ranks/nccl.py carries the arrays of GPUs. Every rank makes the same calls in the
same order. Which group this process belongs to says train/ranks/launcher.py.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import NoReturn, TypeVar

from kernels.device import Array

T = TypeVar("T")


class Group:
    """A process by itself: each call is what it is among one."""

    rank = 0
    size = 1
    local_rank = 0  # among those on this host
    local_size = 1  # how many are on this host
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

    def exchange(self, parts: Sequence[Array], sizes: Sequence[int]) -> list[Array]:
        """parts[r], flat, goes to rank r; back comes what each rank has for this one, sizes[r] numbers from rank r."""
        return list(parts)

    def allgather(self, piece: Array, sizes: Sequence[int]) -> Array:
        """Every rank's flat piece, one after the other; sizes[r] numbers are rank r's."""
        return piece

    def allreduce(self, array: Array) -> Array:
        """The sum of everybody's flat array, in an order that the library chooses."""
        return array

    def take_gpu(self) -> None:
        """Compute on a GPU that is no other rank's from here on, and carry arrays from GPU to GPU. UserError where there are too few."""

    def watch(self, patience: float) -> None:
        """From here on a rank that gives no sign of life for `patience` seconds ends all."""

    def close(self) -> None:
        """Wait for everybody, and part."""

    def abort(self, code: int) -> NoReturn:
        """End every rank now, with this exit status."""
        raise SystemExit(code)


ALONE = Group()
