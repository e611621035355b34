"""The collective calls over MPI, by mpi4py. Making a group starts MPI: train/ranks/launcher.py says when.

Nothing here blocks inside of MPI, which spins: a call is begun, and then asked after, at first at once and later with pauses. So
ranks that share a core leave it to each other, and hearts (train/ranks/heart.py) go on beating.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np

from kernels.device import Array, to_host, xp_of
from train.errors import UserError
from train.ranks.group import Group, Pending
from train.ranks.heart import Heart
from train.ranks.nccl import NCCL

T = TypeVar("T")
SLOT = 4096  # bytes in which all tell each other something small, by one call
HEAD = 8  # of them, to say how many are used
PROBES = 8
START = 120.0  # s that all ranks have to start
HEARD = 0.2  # s in which a launcher passes on a rank's last words: it may drop what is on its way when one aborts


@contextlib.contextmanager
def started_within(seconds: float) -> Iterator[None]:
    """Within this context the process ends where it takes longer: MPI's start waits for every rank, for ever."""

    def end() -> None:
        print(
            f"error: MPI has not started within {seconds:.0f} s: another rank does not come",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Begun(Pending[T]):
    """A call of MPI. `buffer` is what it sends, kept until it has."""

    def __init__(self, request: Any, buffer: np.ndarray, came: Callable[[], T]) -> None:
        self.request, self.buffer, self.came = request, buffer, came

    @property
    def value(self) -> T:  # type: ignore[override]
        return self.came()

    def done(self) -> bool:
        return bool(self.request.Test())


class MPIGroup(Group):
    """All processes of MPI's world. ImportError where there is no mpi4py, or no MPI that it finds."""

    def __init__(self) -> None:
        with started_within(START):
            from mpi4py import MPI  # which starts it

        world = self.world = MPI.COMM_WORLD
        self.comm, self.exchanges, self.allgathers, self.life = (world.Dup() for _ in range(4))
        self.rank, self.size = world.Get_rank(), world.Get_size()
        host = world.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = host.Get_rank(), host.Get_size()
        host.Free()
        self.hosts = self.gather(platform.node())
        self.seconds = 0.0
        self.heart: Heart | None = None
        self.nccl: NCCL | None = None  # where the ranks have GPUs

    # -- the calls

    def gather(self, value: T) -> list[T]:
        with self.timed():
            own = np.frombuffer(pickle.dumps(value), np.uint8)
            slot, slots = np.zeros(SLOT, np.uint8), np.empty((self.size, SLOT), np.uint8)
            slot[:HEAD].view(np.int64)[0] = own.size
            if own.size <= SLOT - HEAD:
                slot[HEAD : HEAD + own.size] = own
            self.wait(self.comm.Iallgather(slot, slots))
            sizes = slots[:, :HEAD].copy().view(np.int64).ravel()
            if max(sizes) <= SLOT - HEAD:
                return [pickle.loads(row[HEAD : HEAD + size].tobytes()) for row, size in zip(slots, sizes, strict=True)]
            everything = np.empty(int(sizes.sum()), np.uint8)
            self.wait(self.comm.Iallgatherv(own, [everything, sizes]))
            ends = np.cumsum(sizes)
            return [pickle.loads(everything[end - size : end].tobytes()) for size, end in zip(sizes, ends, strict=True)]

    def exchange(self, parts: Sequence[Array], sizes: Sequence[int]) -> Pending[list[Array]]:
        if self.nccl is not None and xp_of(parts[0]) is not np:
            return self.nccl.exchange(parts, sizes)
        xp, send = xp_of(parts[0]), [to_host(part) for part in parts]
        out, back = np.concatenate(send), np.empty(sum(sizes), send[0].dtype)
        counts = [part.size for part in send]
        request = self.exchanges.Ialltoallv([out, counts], [back, list(sizes)])
        return Begun(request, out, lambda: [xp.asarray(part) for part in np.split(back, np.cumsum(sizes)[:-1])])

    def allgather(self, piece: Array, sizes: Sequence[int]) -> Pending[Array]:
        if self.nccl is not None and xp_of(piece) is not np:
            return self.nccl.allgather(piece, sizes)
        own = np.ascontiguousarray(to_host(piece))
        everything = np.empty(sum(sizes), own.dtype)
        request = self.allgathers.Iallgatherv(own, [everything, list(sizes)])
        return Begun(request, own, lambda: xp_of(piece).asarray(everything))

    def allreduce(self, array: Array) -> Pending[Array]:
        if self.nccl is not None and xp_of(array) is not np:
            return self.nccl.allreduce(array)
        own = np.ascontiguousarray(to_host(array))
        total = np.empty_like(own)
        return Begun(self.exchanges.Iallreduce(own, total), own, lambda: xp_of(array).asarray(total))

    def aside(self) -> contextlib.AbstractContextManager[None]:
        return self.nccl.aside() if self.nccl is not None else super().aside()

    def wait(self, request: Any) -> None:
        """Until the call that was begun is done."""
        start = time.perf_counter()
        while not request.Test():
            self.pause(time.perf_counter() - start)

    def take_gpu(self) -> None:
        if self.size > 1 and self.nccl is None:
            cupy = importlib.import_module("cupy")
            cupy.cuda.runtime.setDevice(self.local_rank % cupy.cuda.runtime.getDeviceCount())
            mine = self.hosts[self.rank], cupy.cuda.runtime.deviceGetPCIBusId(cupy.cuda.runtime.getDevice())
            taken = self.gather(mine)
            if len(set(taken)) < self.size:
                error = UserError(
                    f"{self.size} ranks have {len(set(taken))} GPUs between them, and each needs one of its own: as many ranks as GPUs "
                    "(mpiexec -n), or --device cpu"
                )
                error.everywhere = True
                raise error
            self.nccl, self.unasked = NCCL(self), True

    # -- life and death

    def watch(self, patience: float) -> None:
        if self.size > 1 and self.heart is None:
            self.heart = Heart(self, patience, self.mourn)
            self.heart.start()
        elif self.heart is not None:
            self.heart.patience = patience

    def beat(self) -> None:
        self.life.Isend(np.zeros(1, np.uint8), (self.rank + 1) % self.size).Free()  # one byte: MPI has it at once

    def heard(self) -> bool:
        found, before, byte = False, (self.rank - 1) % self.size, np.empty(1, np.uint8)
        for _ in range(PROBES):  # MPI takes in what has come when it is asked, and may have to be asked again
            while self.life.Iprobe(before):
                self.life.Recv(byte, before)
                found = True
        return found

    def mourn(self, seconds: float) -> NoReturn:
        before = (self.rank - 1) % self.size
        print(
            f"error: rank {before} of {self.size} on {self.hosts[before]} has not been heard of for {seconds:.0f} s "
            f"(--rank_timeout), as {self.name} tells; all ranks end, what was saved last is kept",
            file=sys.stderr,
            flush=True,
        )
        self.abort(1)

    def abort(self, code: int) -> NoReturn:
        sys.stdout.flush()
        time.sleep(HEARD)
        self.world.Abort(code)
        os._exit(code)

    def close(self) -> None:
        """Wait for everybody, and part; the heart beats until then."""
        self.barrier()
        if self.heart is not None:
            self.heart.stop()
            self.heart = None
