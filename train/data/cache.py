"""Images kept in memory, so that they are read and decoded once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

import numpy as np

from train.data.pixels import to_uint8


class Cache:
    """Keeps what `get` made, up to `megabytes` (millions of bytes) in all; beyond that, things are made anew each time.

    An image that 8 bits hold exactly, as nearly all files do, takes one byte a number, others take four. Either way what
    comes back is to the bit what was made, so that a cache changes nothing but the time. Nothing is ever thrown out: an
    epoch visits every image once, so a newcomer is no likelier to be wanted soon than what it would drive out.
    """

    def __init__(self, megabytes: float) -> None:
        self.room = int(megabytes * 1e6)  # bytes
        self.kept: dict[Hashable, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The image under `key`, float32 in [-1, 1], made by `make()` if it is not here. Threads may call this."""
        kept = self.kept.get(key)
        if kept is not None:
            return _from_uint8(kept) if kept.dtype == np.uint8 else kept
        image = make()
        if self.room > 0:
            small = to_uint8(image)
            kept = small if np.array_equal(_from_uint8(small), image) else image
            with self._lock:
                if key not in self.kept and kept.nbytes <= self.room:
                    self.kept[key] = kept
                    self.room -= kept.nbytes
        return image


def _from_uint8(pixels: np.ndarray) -> np.ndarray:
    """As train/data/images.py reads 8 bits, to the bit."""
    return pixels.astype(np.float32) / 255.0 * 2.0 - 1.0
