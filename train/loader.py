"""Batches read ahead by threads, in an order that does not depend on the threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from train.data import UnpairedDataset, mixed_sizes


@dataclass(frozen=True)
class Batch:
    """Images of both domains, float32 [N,H,W,C] in [-1, 1], their names, and the batch's index in its epoch."""

    a: np.ndarray
    b: np.ndarray
    names_a: tuple[str, ...]
    names_b: tuple[str, ...]
    position: int


class Loader:
    """Batches of a data set; `num_threads` of them are prepared at a time and as many wait (0: all when asked for).

    Threads, not processes: Pillow decodes and resizes without Python's lock, and nothing must be picklable, so it
    is the same on every system. `waited` is the time spent waiting for images so far, seconds.
    """

    def __init__(self, dataset: UnpairedDataset, batch_size: int, num_threads: int) -> None:
        self.dataset, self.batch_size, self.num_threads = dataset, batch_size, num_threads
        self.waited = 0.0  # s

    @property
    def batches_per_epoch(self) -> int:
        """The last one may be smaller than the others."""
        return -(-len(self.dataset) // self.batch_size)

    def iterate(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from index `start` on. An error while reading is raised where its batch is due.

        Leaving early (break, an exception, close()) drops what was read ahead and leaves no thread behind.
        """
        positions = range(start, self.batches_per_epoch)
        if self.num_threads == 0:
            for position in positions:
                begin = time.perf_counter()
                batch = self._read(epoch, position)
                self.waited += time.perf_counter() - begin
                yield batch
            return
        pool = ThreadPoolExecutor(self.num_threads, thread_name_prefix="loader")
        ahead: deque[Future[Batch]] = deque()
        try:
            for position in positions:
                while len(ahead) < 2 * self.num_threads and position + len(ahead) < positions.stop:
                    ahead.append(pool.submit(self._read, epoch, position + len(ahead)))
                begin = time.perf_counter()
                batch = ahead.popleft().result()
                self.waited += time.perf_counter() - begin
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, epoch: int, position: int) -> Batch:
        first = position * self.batch_size
        samples = [self.dataset.sample(epoch, i) for i in range(first, min(first + self.batch_size, len(self.dataset)))]
        return Batch(
            self._stack([s.a for s in samples]),
            self._stack([s.b for s in samples]),
            tuple(s.name_a for s in samples),
            tuple(s.name_b for s in samples),
            position,
        )

    def _stack(self, images: Sequence[np.ndarray]) -> np.ndarray:
        if len({x.shape for x in images}) > 1:
            raise mixed_sizes(self.dataset.config)
        return np.stack(images)  # [N,H,W,C]
