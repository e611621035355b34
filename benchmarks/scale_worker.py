"""One rank of `python -m benchmarks scale`: times steps, and the collective calls by themselves. Rank 0 prints JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np

from kernels.cpu import threads
from train.config.settings import Config
from train.models.cyclegan import CycleGAN
from train.models.data_parallel import DataParallel
from train.ranks.launcher import join, leave
from train.ranks.shards import shard
from train.ranks.sums import Node, cover, finish, summing

CALLS, SUMS = 40, 6  # how often the collective calls are timed by themselves


def main(settings: dict[str, Any], batch: int, steps: int, exact: bool) -> dict[str, Any]:
    """Times of this rank's group, s: medians of a step's parts by rank, of a small gather, of a sum of one gradient a rank."""
    ranks = join()
    threads.use(1)  # a rank's compute is then the same work, whatever the others do
    model = CycleGAN(Config(device="cpu", batch_size=batch, **settings))
    parallel = DataParallel(model, ranks, exact)
    rng, side = np.random.default_rng(ranks.rank), int(model.config.crop_size)
    own = parallel.places(batch)
    a, b = (rng.uniform(-1, 1, (len(own), side, side, 3)).astype(np.float32) for _ in "ab")
    parallel.step(batch, a, b)  # compiles
    parts = []
    for _ in range(steps):
        ranks.barrier()
        start, talked = time.perf_counter(), ranks.seconds
        parallel.step(batch, a, b)
        parts.append((time.perf_counter() - start, ranks.seconds - talked))
    length = sum(p.size for optimizer in model.optimizers.values() for p in optimizer.parameters)
    covers = [cover(shard(ranks.size, rank, ranks.size)) for rank in range(ranks.size)]
    gradient = np.ones(length, np.float32)
    gathers = timed(lambda: ranks.gather(0.5), CALLS)
    sums = timed(
        lambda: finish([summing(ranks, [Node(ranks.rank, 0, gradient.copy())], covers, length, gradient)]), SUMS
    )
    told = ranks.gather(([step for step, _ in parts], [comm for _, comm in parts]))
    return {
        "ranks": ranks.size, "batch": batch, "numbers": length,
        "step": statistics.median(max(times) for times in zip(*(steps for steps, _ in told), strict=True)),
        "comm": [statistics.median(comm) for _, comm in told],
        "gather": gathers, "sum": sums,
    }  # fmt: skip


def timed(call: Any, count: int) -> float:
    """The median seconds of a call, which all ranks make at a time."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    found = main(**asked)
    if join().leads:
        print(json.dumps(found), flush=True)
    leave()
