"""Ctrl-C and SIGTERM as requests: the step at hand is finished and saved."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """Which signal asked the run to stop, 0 if none did."""

    asked = 0


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within this context Ctrl-C and SIGTERM only ask, once, so that the step at hand is finished and saved."""
    request = StopRequest()

    def ask(number: int, frame: FrameType | None) -> None:
        request.asked = number
        signal.signal(number, before[number])
        print("\nstopping after this step (once more to stop at once) …", file=sys.stderr)

    numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
