"""Batches read ahead by threads, in an order that does not depend on the threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from train.data.dataset import UnpairedDataset
from train.data.phases import mixed_sizes
from train.errors import shown

FLAT = 0.02
"""Standard deviation of a nearly flat image in [-1, 1]: 2.5 of 255 levels. A first layer with the paper's initial weights
gives it a deviation of about 0.005, so the norm's eps of 1e-5 (a deviation of 0.003) and rounding begin to matter, and
dither and compression noise are amplified two hundredfold."""


@dataclass(frozen=True)
class Batch:
    """Images of both domains, float32 [N,H,W,C] in [-1, 1], their names as they are printed, and the batch's index in its epoch.

    `samples`: how many the whole batch has, of which these may be a rank's.
    `pairs`: as many of A and of B that belong together, or none.
    `flat` names those that are nearly one colour, which an instance norm turns into noise.
    """

    a: np.ndarray
    b: np.ndarray
    names_a: tuple[str, ...]
    names_b: tuple[str, ...]
    position: int
    samples: int = 0
    flat: tuple[str, ...] = ()
    pairs: tuple[np.ndarray, ...] = ()


class Loader:
    """Batches of a data set; `num_threads` of them are prepared at a time and as many wait (0: all when asked for).

    Threads, not processes: Pillow decodes and resizes without Python's lock, and nothing must be picklable, so it
    is the same on every system. `waited` is the time spent waiting for images so far, seconds. `own` says which samples of a
    batch of so many are read here: all, or a rank's.
    """

    own: Callable[[int], Sequence[int]] = staticmethod(range)

    def __init__(self, dataset: UnpairedDataset, batch_size: int, num_threads: int) -> None:
        self.dataset, self.batch_size, self.num_threads = dataset, batch_size, num_threads
        self.waited = 0.0  # s

    @property
    def batches_per_epoch(self) -> int:
        """The last one may be smaller than the others."""
        return -(-len(self.dataset) // self.batch_size)

    def iterate(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
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
        count = min(self.batch_size, len(self.dataset) - first)
        samples = [self.dataset.sample(epoch, first + i) for i in self.own(count)]
        a, b = [(s.name_a, s.a) for s in samples], [(s.name_b, s.b) for s in samples]
        flat = tuple(
            f"{shown(name)} ({d})" for d, own in (("A", a), ("B", b)) for name, image in own if image.std() < FLAT
        )
        names_a, names_b = tuple(shown(name) for name, _ in a), tuple(shown(name) for name, _ in b)
        known = [s.pair for s in samples if s.pair]
        of_pairs = ([(p.name_a, p.a) for p in known], [(p.name_b, p.b) for p in known]) if known else ()
        pairs = tuple(self._stack(images) for images in of_pairs)
        return Batch(self._stack(a), self._stack(b), names_a, names_b, position, count, flat, pairs)

    def _stack(self, images: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
        if len({x.shape for _, x in images}) > 1:
            raise mixed_sizes(self.dataset.config, {shown(name): x.shape[1::-1] for name, x in images})
        return np.stack([x for _, x in images]) if images else np.empty((0, 1, 1, 1), np.float32)  # [N,H,W,C]
