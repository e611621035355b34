"""The collective calls over MPI, by mpi4py. Making a group starts MPI: train/ranks/launcher.py says when.

Nothing here blocks inside of MPI, which spins: a call is begun, and then asked after, at first at once and later every half
millisecond. So ranks that share a core leave it to each other, and hearts (train/ranks/heart.py) go on beating.
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
from train.ranks.group import Group
from train.ranks.heart import Heart
from train.ranks.nccl import NCCL

T = TypeVar("T")
EAGER = 0.002  # s in which a call is asked after without a pause
PAUSE = 0.0005  # s between two questions from then on
PROBES = 8
START = 120.0  # s that all ranks have to start


def give_way() -> None:
    """Leave this core to whoever else wants it, if anybody does."""
    os.sched_yield() if hasattr(os, "sched_yield") else time.sleep(0)


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


class MPIGroup(Group):
    """All processes of MPI's world. ImportError where there is no mpi4py, or no MPI that it finds."""

    def __init__(self) -> None:
        with started_within(START):
            from mpi4py import MPI  # which starts it

        world = self.world = MPI.COMM_WORLD
        self.comm, self.life = world.Dup(), world.Dup()
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
            sizes = np.empty(self.size, np.int64)
            self.wait(self.comm.Iallgather(np.array([own.size], np.int64), sizes))
            everything = np.empty(int(sizes.sum()), np.uint8)
            self.wait(self.comm.Iallgatherv(own, [everything, sizes]))
            ends = np.cumsum(sizes)
            return [pickle.loads(everything[end - size : end].tobytes()) for size, end in zip(sizes, ends, strict=True)]

    def exchange(self, parts: Sequence[Array], sizes: Sequence[int]) -> list[Array]:
        with self.timed():
            if self.nccl is not None and xp_of(parts[0]) is not np:
                return self.nccl.exchange(parts, sizes)
            xp, send = xp_of(parts[0]), [to_host(part) for part in parts]
            out, back = np.concatenate(send), np.empty(sum(sizes), send[0].dtype)
            counts = [part.size for part in send]
            self.move(lambda: self.comm.Ialltoallv([out, counts], [back, list(sizes)]))
            return [xp.asarray(part) for part in np.split(back, np.cumsum(sizes)[:-1])]

    def allgather(self, piece: Array, sizes: Sequence[int]) -> Array:
        with self.timed():
            if self.nccl is not None and xp_of(piece) is not np:
                return self.nccl.allgather(piece, sizes)
            own = np.ascontiguousarray(to_host(piece))
            everything = np.empty(sum(sizes), own.dtype)
            self.move(lambda: self.comm.Iallgatherv(own, [everything, list(sizes)]))
            return xp_of(piece).asarray(everything)

    def allreduce(self, array: Array) -> Array:
        with self.timed():
            if self.nccl is not None and xp_of(array) is not np:
                return self.nccl.allreduce(array)
            own = np.ascontiguousarray(to_host(array))
            total = np.empty_like(own)
            self.move(lambda: self.comm.Iallreduce(own, total))
            return xp_of(array).asarray(total)

    def wait(self, request: Any) -> None:
        """Until the call that was begun is done."""
        start = time.perf_counter()
        while not request.Test():
            if time.perf_counter() - start > EAGER:
                time.sleep(PAUSE)
            else:
                give_way()

    def move(self, begin: Callable[[], Any]) -> None:
        """A call that moves much: begun when all are there, and then asked after without a pause, for MPI moves a piece each time."""
        self.wait(self.comm.Ibarrier())
        request = begin()
        while not request.Test():
            give_way()

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Account for what a call takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start

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
            self.nccl = NCCL(self)

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
        self.world.Abort(code)
        os._exit(code)

    def close(self) -> None:
        """Wait for everybody, and part; the heart beats until then."""
        self.barrier()
        if self.heart is not None:
            self.heart.stop()
            self.heart = None
