"""Programs that wait for each other, run in Triton's interpreter: all of a cooperative launch at once, taking turns.

The interpreter runs one program after the other, so the first to wait would wait for ever. Here each has a thread of its own,
of which one runs at a time, as far as it comes: a turn ends when the program looks at a counter (an atomic operation that
changes nothing), or ends. So it is the kernel's own barrier that runs, over a real counter, in the same order every time; without it
the first program would end before the second begins. Programs that only look, while nothing changes, are an error and no hang.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from triton.runtime.interpreter import InterpreterBuilder

Body = Callable[[tuple], None]
IDLE = 3  # rounds in which everybody has looked and nobody has changed anything or ended


class Stopped(BaseException):
    """Ends the thread of a program that nobody needs any more."""


class Program:
    """One program in its thread. `done`, and `error` where it was one that ended it."""

    def __init__(self, index: tuple, body: Body, resume: Body) -> None:
        self.index, self.body, self.resume = index, body, resume
        self.go, self.back = threading.Semaphore(0), threading.Semaphore(0)
        self.done, self.stopped = False, False
        self.error: BaseException | None = None
        self.thread: threading.Thread | None = None

    def turn(self) -> None:
        """Let it run until it looks at a counter, or ends."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, daemon=True)
            self.thread.start()
        self.go.release()
        self.back.acquire()

    def pause(self) -> None:
        """Called in its thread: the end of a turn, until the next begins."""
        self.back.release()
        self.go.acquire()
        if self.stopped:
            raise Stopped
        self.resume(self.index)

    def stop(self) -> None:
        """End it, wherever it is."""
        self.stopped = True
        if self.thread is not None and not self.done:
            self.turn()

    def _run(self) -> None:
        self.go.acquire()
        try:
            self.resume(self.index)
            self.body(self.index)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001  raised again by who started it
            self.error = error
        self.done = True
        self.back.release()


def run_together(indices: Iterable[tuple], body: Body, resume: Body, resident: int | None = None) -> None:
    """Run `body(index)` for each, in turns; `resume(index)` comes ahead of every turn.

    Only the first `resident` of those that have not ended take part in a round, as on a GPU that has no room for more. Raises
    what a program raises, and RuntimeError where they wait for each other for ever.
    """
    programs = [Program(index, body, resume) for index in indices]
    atomic, current, changed = InterpreterBuilder.create_atomic_rmw, None, False

    def watched(builder: Any, operation: Any, pointer: Any, value: Any, *rest: Any) -> Any:
        nonlocal changed
        if value.data.any():
            changed = True
        elif current is not None:
            current.pause()
        return atomic(builder, operation, pointer, value, *rest)

    InterpreterBuilder.create_atomic_rmw = watched
    idle = 0
    try:
        while programs:
            changed = False
            for current in programs[:resident]:
                current.turn()
                if current.error is not None:
                    raise current.error
            alive = [program for program in programs if not program.done]
            idle = 0 if changed or len(alive) < len(programs) else idle + 1
            if idle == IDLE:
                raise RuntimeError(f"{len(programs)} programs of a launch wait for each other for ever")
            programs = alive
    finally:
        InterpreterBuilder.create_atomic_rmw = atomic
        for program in programs:
            program.stop()
