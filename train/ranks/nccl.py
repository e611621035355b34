"""The arrays of GPUs among ranks, by NCCL through CuPy; train/ranks/mpi.py takes it up where arrays are CuPy's.

MPI hands NCCL's id round, and carries all that is small. All is sent on a stream of its own, beside the backward that goes on. NCCL
knows no time-outs: it is asked whether it has failed while its work is waited for, and a rank that falls silent ends all
(train/ranks/heart.py). Not yet run on GPUs: the tests check every call against CuPy's signatures, and carry the bytes themselves.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from kernels.device import Array, xp_of
from train.errors import UserError
from train.ranks.group import Group, Pending

T = TypeVar("T")


class NCCL:
    """A communicator of all ranks of a group, each of which has a GPU of its own. `library`: cupy.cuda.nccl. UserError without it."""

    def __init__(self, ranks: Group, library: Any = None) -> None:
        self.rank, self.size = ranks.rank, ranks.size
        self.library = importlib.import_module("cupy.cuda.nccl") if library is None else library
        if not self.library.available:
            raise UserError('ranks on GPUs need NCCL, which CuPy does not find: pip install -e ".[nccl]"')
        number = ranks.broadcast(self.library.get_unique_id() if ranks.leads else None)
        self.communicator = self.library.NcclCommunicator(self.size, number, self.rank)
        self.cuda = importlib.import_module("cupy").cuda
        self.stream = self.cuda.Stream(non_blocking=True)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Within this context the GPU is given work for the stream of the calls, which waits for what it was given before."""
        self.stream.wait_event(self.cuda.get_current_stream().record())
        with self.stream:
            yield

    def exchange(self, parts: Sequence[Array], sizes: Sequence[int]) -> Pending[list[Array]]:
        """parts[r] goes to rank r; back comes what each has for this one, sizes[r] numbers from rank r. What comes is done as far
        as the stream is concerned: what is to follow there need not wait."""
        xp = xp_of(parts[0])
        stream, kind = xp.cuda.get_current_stream(), self.kind(parts[0])
        came = [xp.empty(size, parts[0].dtype) for size in sizes]
        came[self.rank] = parts[self.rank]
        self.library.groupStart()
        for rank, (out, back) in enumerate(zip(parts, came, strict=True)):
            if rank != self.rank and out.size:
                self.communicator.send(out.data.ptr, out.size, kind, rank, stream.ptr)
            if rank != self.rank and back.size:
                self.communicator.recv(back.data.ptr, back.size, kind, rank, stream.ptr)
        self.library.groupEnd()
        return Pending(came)

    def allgather(self, piece: Array, sizes: Sequence[int]) -> Pending[Array]:
        """Every rank's piece, one after the other. NCCL wants equal ones, so shorter ones are sent with an end that nobody reads."""
        xp, width = xp_of(piece), max(sizes)
        stream = xp.cuda.get_current_stream()
        own, everything = xp.empty(width, piece.dtype), xp.empty((self.size, width), piece.dtype)
        own[: piece.size] = piece
        self.communicator.allGather(own.data.ptr, everything.data.ptr, width, self.kind(piece), stream.ptr)
        found = xp.concatenate([row[:size] for row, size in zip(everything, sizes, strict=True)])
        return Queued(found, stream.record(), self.check)

    def allreduce(self, array: Array) -> Pending[Array]:
        """The sum of everybody's array, in an order that NCCL chooses."""
        xp = xp_of(array)
        stream, total = xp.cuda.get_current_stream(), xp.empty_like(array)
        plus = self.library.NCCL_SUM
        self.communicator.allReduce(array.data.ptr, total.data.ptr, array.size, self.kind(array), plus, stream.ptr)
        return Queued(total, stream.record(), self.check)

    def kind(self, array: Array) -> int:
        """NCCL's number for an array's type."""
        return {"float32": self.library.NCCL_FLOAT32, "float64": self.library.NCCL_FLOAT64}[array.dtype.name]

    def check(self) -> None:
        """RuntimeError where NCCL has failed, on this rank or another."""
        try:
            self.communicator.check_async_error()
        except Exception:
            self.communicator.abort()
            raise


class Queued(Pending[T]):
    """What a GPU has been given to do, up to an event of its stream."""

    def __init__(self, value: T, event: Any, check: Callable[[], None]) -> None:
        super().__init__(value)
        self.event, self.check = event, check

    def done(self) -> bool:
        if self.event.done:
            return True
        self.check()
        return False
