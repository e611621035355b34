"""Ranks on GPUs: every call of NCCL has CuPy's own signature, and arrays go where the same calls of one process would put them.

The communicator alone is a double: it reads and writes the bytes at the addresses that it is given.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from types import SimpleNamespace
from typing import Any

import cupy
import numpy as np
import pytest

from kernels import device as devices
from tests import missing
from tests.cupy_calls import signature
from tests.cupy_stand_in import Array, Library
from tests.test_ranks import Threads, on_ranks
from train.errors import UserError
from train.ranks.nccl import NCCL, Queued
from train.ranks.shards import shard
from train.ranks.sums import Node, Tree, allreducing, cover, finish, summing

rng = np.random.default_rng(0)


@functools.cache
def real() -> Any:
    """CuPy's module, with the library behind it."""
    from cupy.cuda import nccl as found

    if not found.available:
        missing.lacking("NCCL", 'pip install "nvidia-nccl-cu13>=2.27.7,<3"')
    return found


def memory(address: int, count: int) -> np.ndarray:
    """The float32 numbers that lie there."""
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address)) if count else np.empty(0, np.float32)


class Double:
    """An NcclCommunicator. Calls between groupStart and groupEnd are carried out at the end, as in NCCL."""

    def __init__(self, library: Doubled, size: int, number: Any, rank: int) -> None:
        assert number == b"id"
        self.ranks, self.rank, self.size, self.waiting = library.ranks, rank, size, []  # type: ignore[var-annotated]
        library.communicator = self

    def send(self, sendbuf: int, count: int, datatype: int, peer: int, stream: int) -> None:
        self.waiting.append(("send", sendbuf, count, datatype, peer))

    def recv(self, recvbuf: int, count: int, datatype: int, peer: int, stream: int) -> None:
        self.waiting.append(("recv", recvbuf, count, datatype, peer))

    def finish(self) -> None:
        calls, self.waiting = self.waiting, []
        sent = {(self.rank, peer): memory(at, n).copy() for what, at, n, _, peer in calls if what == "send"}
        every = {key: value for theirs in self.ranks.gather(sent) for key, value in theirs.items()}
        for what, at, n, _, peer in calls:
            if what == "recv":
                assert every[peer, self.rank].size == n, "NCCL would hang"
                memory(at, n)[:] = every.pop((peer, self.rank))

    def allGather(self, sendbuf: int, recvbuf: int, count: int, datatype: int, stream: int) -> None:
        memory(recvbuf, count * self.size)[:] = np.concatenate(self.ranks.gather(memory(sendbuf, count).copy()))

    def allReduce(self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int) -> None:
        memory(recvbuf, count)[:] = np.sum(self.ranks.gather(memory(sendbuf, count).copy()), axis=0)

    def check_async_error(self) -> None: ...

    def abort(self) -> None: ...


class Doubled:
    """The module: each call is bound to the real one's signature first."""

    available, NCCL_FLOAT32, NCCL_FLOAT64, NCCL_SUM = True, 7, 8, 0

    def __init__(self, ranks: Threads) -> None:
        self.ranks, self.module = ranks, real()
        self.communicator: Double | None = None

    def get_unique_id(self) -> bytes:
        signature(self.module.get_unique_id).bind()
        return b"id"

    def groupStart(self) -> None:
        signature(self.module.groupStart).bind()

    def groupEnd(self) -> None:
        signature(self.module.groupEnd).bind()
        assert self.communicator is not None
        self.communicator.finish()

    def NcclCommunicator(self, *arguments: Any) -> Any:
        made, of = Double(self, *arguments), self.module.NcclCommunicator

        def checked(name: str) -> Any:
            def call(*given: Any) -> Any:
                signature(getattr(of, name)).bind(made, *given)
                assert all(isinstance(x, int) for x in given), (name, given)
                assert name in ("check_async_error", "abort") or given[-1] != DEFAULT.ptr, "not beside the backward"
                return getattr(made, name)(*given)

            return call

        return SimpleNamespace(**{name: checked(name) for name in ("send", "recv", "allGather", "allReduce", "check_async_error", "abort")})  # fmt: skip


class Event:
    def __init__(self) -> None:
        self.asked = 0

    @property
    def done(self) -> bool:
        self.asked += 1
        return self.asked > 2


class Stream:
    def __init__(self, non_blocking: bool) -> None:
        assert non_blocking
        self.ptr, self.given = id(self), []  # type: ignore[var-annotated]

    def record(self) -> Event:
        return Event()

    def wait_event(self, event: Event) -> None:
        self.given.append(event)

    def __enter__(self) -> None:
        current[threading.get_ident()] = self

    def __exit__(self, *error: object) -> None:
        del current[threading.get_ident()]


current: dict[int, Stream] = {}
DEFAULT = Stream(True)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of a stand-in for CuPy, and its streams, which note what they are given."""
    real()  # before its package is hidden
    library = Library()
    assert all(hasattr(cupy.cuda.Stream.null, name) for name in vars(Stream(True)) if name != "given")
    for made, own in ((cupy.cuda.Stream, Stream), (cupy.cuda.Event, Event)):
        assert all(hasattr(made, name) for name in vars(own) if not name.startswith("_") or name == "__enter__")
    signature(cupy.cuda.Stream.__init__).bind(None, non_blocking=True)
    cuda = SimpleNamespace(get_current_stream=lambda: current.get(threading.get_ident(), DEFAULT), Stream=Stream)
    xp = SimpleNamespace(cuda=cuda, empty=library.empty, empty_like=library.empty_like, concatenate=library.concatenate, zeros=library.zeros)  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy", xp)  # type: ignore[arg-type]
    assert devices.xp_of(Array(np.zeros(1))) is xp


class OnGPUs(Threads):
    """Threads whose arrays NCCL carries, as train/ranks/mpi.py has it."""

    def __init__(self, ranks: Threads) -> None:
        super().__init__(ranks.rank, ranks.size, ranks.table)
        self.calls = ranks.calls
        self.nccl = NCCL(self, Doubled(self))
        self.exchange, self.allgather, self.allreduce = self.nccl.exchange, self.nccl.allgather, self.nccl.allreduce  # type: ignore[method-assign]
        self.aside = self.nccl.aside  # type: ignore[method-assign]


@pytest.mark.parametrize("size", [2, 3])
def test_gradients_on_gpus_are_summed_to_the_bit_as_on_the_host(size: int, gpus: None) -> None:
    x = rng.standard_normal((5, 101)).astype(np.float32)
    wanted = Tree(Node(i, 0, row.copy()) for i, row in enumerate(x)).total()

    def total(threads: Threads) -> Any:
        covers = [cover(shard(5, rank, size)) for rank in range(size)]
        nodes = Tree(Node(place, 0, Array(x[place].copy())) for place in shard(5, threads.rank, size)).nodes
        group = OnGPUs(threads)
        found = finish(group, [summing(group, nodes, covers, 101, Array(x))], {})[0]
        assert group.nccl.stream.given, "it does not wait for what was computed"
        return found

    for found in on_ranks(size, total):
        assert isinstance(found, Array) and np.array_equal(found.host, wanted)


def test_a_rank_without_samples_takes_part(gpus: None) -> None:
    x = rng.standard_normal((1, 7)).astype(np.float32)

    def total(threads: Threads) -> Any:
        nodes = [Node(0, 0, Array(x[0].copy()))] if threads.rank == 0 else []
        group = OnGPUs(threads)
        return finish(group, [summing(group, nodes, [[(0, 0)], [], []], 7, Array(x))], {})[0]

    assert all(np.array_equal(found.host, x[0]) for found in on_ranks(3, total))


def test_the_fast_sum_is_nccls_own(gpus: None) -> None:
    def total(threads: Threads) -> Any:
        group = OnGPUs(threads)
        return finish(group, [allreducing(group, Array(np.full(3, 1.0 + threads.rank, np.float32)))], {})[0]

    found = on_ranks(2, total)
    assert all(np.array_equal(total.host, [3, 3, 3]) for total in found)


def test_sizes_that_do_not_meet_are_seen(gpus: None) -> None:
    def wrong(threads: Threads) -> str:
        parts = [Array(np.zeros(3, np.float32))] * 2
        group = OnGPUs(threads)
        try:
            with group.aside():
                group.exchange(parts, [3, 3] if threads.rank else [3, 4])
        except AssertionError as error:
            return str(error)
        return ""

    assert "NCCL would hang" in on_ranks(2, wrong)[0]


def test_where_nccl_is_missing_or_has_failed_it_says_so(gpus: None) -> None:
    with pytest.raises(UserError, match=r'pip install -e ".\[nccl\]"'):
        NCCL(Threads(0, 2, {}), SimpleNamespace(available=False))

    class Failed:
        aborted = False

        def check_async_error(self) -> None:
            raise RuntimeError("NCCL_ERROR_REMOTE_ERROR: remote process exited")

        def abort(self) -> None:
            self.aborted = True

    carrier = NCCL.__new__(NCCL)
    carrier.communicator = Failed()
    with pytest.raises(RuntimeError, match="remote process exited"):
        Queued(None, Event(), carrier.check).done()
    assert carrier.communicator.aborted


def test_the_numbers_of_the_double_are_nccls() -> None:
    found = real()
    assert [getattr(found, name) for name in ("NCCL_FLOAT32", "NCCL_FLOAT64", "NCCL_SUM")] == [7, 8, 0]
