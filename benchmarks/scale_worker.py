"""One rank of `python -m benchmarks scale`: times steps, or what a step over ranks is made of by itself. Rank 0 prints JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np

from kernels.cpu import threads
from train.config.settings import Config
from train.models.cyclegan import CycleGAN
from train.models.data_parallel import DataParallel
from train.ranks.group import ALONE, Group
from train.ranks.launcher import join, leave
from train.ranks.shards import shard
from train.ranks.sums import Node, cover, finish, summing

CALLS, SUMS, MEETINGS = 40, 6, 12  # how often what is timed by itself is repeated
FAKES = 12  # images of both domains that are told to all at a time, to find what one costs
PAIR = 2  # images of the step whose processor time is taken
BUSY = 2.0  # s for which all ranks compute, each by itself


def made(settings: dict[str, Any], batch: int, group: Group) -> tuple[DataParallel, Callable[[], dict[str, float]]]:
    """A model on a group, and a step of a batch of it, which compiles and finds the buckets' order first."""
    parallel = DataParallel(CycleGAN(Config(device="cpu", batch_size=batch, **settings)), group)
    rng, side, own = np.random.default_rng(group.rank), int(settings["crop_size"]), len(parallel.places(batch))
    a, b = (rng.uniform(-1, 1, (own, side, side, 3)).astype(np.float32) for _ in "ab")

    def step() -> dict[str, float]:
        return parallel.step(batch, a, b)

    for _ in range(2):
        step()
    return parallel, step


def steps(ranks: Group, settings: dict[str, Any], batch: int, count: int) -> dict[str, Any]:
    """Of a step of so many images: the median seconds of the slowest rank; of each rank those of its processor and of collective calls."""
    _, step = made(settings, batch, ranks)
    parts = []
    for _ in range(count):
        ranks.barrier()
        start, began, talked = time.perf_counter(), time.thread_time(), ranks.seconds
        step()
        work = time.thread_time() - began
        ranks.gather(0.5)  # as a run does, of times
        parts.append((time.perf_counter() - start, work, ranks.seconds - talked))
    told = ranks.gather(parts)
    return {
        "step": statistics.median(max(step for step, *_ in together) for together in zip(*told, strict=True)),
        "work": [statistics.median(work for _, work, _ in own) for own in told],
        "comm": [statistics.median(comm for *_, comm in own) for own in told],
    }


def alone(ranks: Group, settings: dict[str, Any]) -> dict[str, Any]:
    """What the parts cost by themselves, s: processor time of a step of a pair of images while every rank makes such steps and
    none talks, how it is shared among the players; while none computes a small gather, what is more of one for an image's fakes, and a sum
    of one gradient a rank."""
    parallel, step = made(settings, PAIR, ALONE)
    spent, turns = [], dict.fromkeys(parallel.model.optimizers, 0.0)
    turn = parallel.turn

    def timed_turn(player: str, *rest: Any) -> Any:
        start = time.thread_time()
        found = turn(player, *rest)
        turns[player] += time.thread_time() - start
        return found

    ranks.barrier()
    end = time.perf_counter() + BUSY
    with mock.patch.object(parallel, "turn", timed_turn):
        while time.perf_counter() < end:
            start = time.thread_time()
            step()
            spent.append(time.thread_time() - start)
    lengths = [sum(p.size for p in optimizer.parameters) for optimizer in parallel.model.optimizers.values()]
    covers = [cover(shard(ranks.size, rank, ranks.size)) for rank in range(ranks.size)]
    gradients = [np.ones(length, np.float32) for length in lengths]

    def total() -> None:
        for x in gradients:  # a player's when all are there
            ranks.gather(None)
            finish(ranks, [summing(ranks, [Node(ranks.rank, 0, x)], covers, x.size, x)], {})

    side = int(settings["crop_size"])
    fakes = np.zeros((-(-FAKES // ranks.size), 2, side, side, 3), np.float32)
    gather = timed(lambda: ranks.gather(0.5), CALLS)
    return {
        "pair": statistics.mean(ranks.gather(statistics.median(spent))), "numbers": sum(lengths), "gather": gather,
        "fakes": (timed(lambda: ranks.gather(fakes), SUMS) - gather) / FAKES,
        "sum": timed(total, SUMS) - len(gradients) * gather, "shares": [turns["g"] / sum(turns.values()), turns["d"] / sum(turns.values())],
    }  # fmt: skip


def meetings(ranks: Group, work: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Median seconds until all ranks have done work[0][rank] s of processor time and have met, then work[1][rank] s, and so on."""

    def met() -> None:
        for seconds in work:
            burn(seconds[ranks.rank])
            ranks.gather(0.5)

    ranks.barrier()
    return {"met": statistics.median(ranks.gather(timed(met, MEETINGS)))}


def burn(seconds: float) -> None:
    """Compute something, within a core's own cache."""
    x, end = np.ones(4096, np.float32), time.thread_time() + seconds
    while time.thread_time() < end:
        np.sqrt(x, out=x)


def beside(ranks: Group, settings: dict[str, Any], count: int) -> dict[str, Any]:
    """Median seconds of a step of an image a rank, its gradients sent beside the backward, and after it."""
    _, step = made(settings, ranks.size, ranks)
    times: dict[bool, list[float]] = {True: [], False: []}
    for i in range(2 * count):
        hidden = bool(i % 2)
        ranks.barrier()
        start = time.perf_counter()
        ranks.unasked = hidden
        step()
        times[hidden].append(max(ranks.gather(time.perf_counter() - start)))
    return {"beside": statistics.median(times[True]), "after": statistics.median(times[False])}


def timed(call: Callable[[], Any], count: int) -> float:
    """The median seconds of a call, which all ranks make at a time."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    what, asked = sys.argv[1], json.loads(sys.argv[2])
    group = join()
    threads.use(1)  # a rank's compute is then the same work, whatever the others do
    kinds: dict[str, Callable[..., dict[str, Any]]] = {
        "steps": steps,
        "alone": alone,
        "meetings": meetings,
        "beside": beside,
    }
    answer = kinds[what](group, **asked)
    if group.leads:
        print(json.dumps(answer), flush=True)
    leave()
