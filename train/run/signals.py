"""Ctrl-C, and the signals by which systems and queues end a process, as requests: the step at hand is finished and saved."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from train.run.exit_code import say

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Ctrl-C; the end of a job or of the machine; of the terminal; and of a job's time, as queues announce it."""


class StopRequest:
    """Which signal asked the run to stop, 0 if none did."""

    asked = 0


@contextlib.contextmanager
def stop_request(tell: bool = True) -> Iterator[StopRequest]:
    """Within this context these signals only ask, so that the step at hand is finished and saved.

    A second Ctrl-C stops at once. The others may come twice for one cause (`timeout` sends SIGTERM to a process and to its
    group, a terminal that closes SIGHUP by way of the shell too) and ask no more than once. What was ignored before, as
    SIGHUP is under nohup, stays so. `tell`: whether to say so.
    """
    request = StopRequest()

    def ask(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(number, before[number])
        if not request.asked:
            request.asked = number
            if tell:
                say("\nstopping after this step (Ctrl-C once more: at once) …", sys.stderr)

    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]  # Windows knows two of them
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
