"""A rank that hangs is noticed by its neighbour: every rank's heart beats, and each listens to the one before it in a ring."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

BEAT = 1.0  # s


class Line(Protocol):
    """What a heart needs of its group."""

    def beat(self) -> None:
        """Tell the next rank that this one lives."""

    def heard(self) -> bool:
        """Whether the rank before has told so since it was last asked."""


class Heart(threading.Thread):
    """Beats once a second, in a thread of its own, whatever the rank is busy with. `silent(seconds)` is called where the rank
    before has not been heard for `patience` seconds.

    Seconds are those in which this thread itself was awake: where a whole machine or job was suspended, nobody is blamed, and a
    second in which this rank was too busy to listen counts as one.
    """

    def __init__(self, line: Line, patience: float, silent: Callable[[float], None]) -> None:
        super().__init__(name="heart", daemon=True)
        self.line, self.patience, self.silent = line, patience, silent
        self.stopped = threading.Event()

    def run(self) -> None:
        quiet, then = 0.0, time.monotonic()
        while not self.stopped.wait(BEAT):
            now = time.monotonic()
            quiet += min(now - then, BEAT)
            then = now
            self.line.beat()
            if self.line.heard():
                quiet = 0.0
            elif quiet > self.patience:
                return self.silent(quiet)

    def stop(self) -> None:
        """Beat no more."""
        self.stopped.set()
        self.join()
