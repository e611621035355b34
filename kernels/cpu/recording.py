"""A training step on the CPU as a list of loops: noted while it runs, then done again without its Python.

    recording = Recording()
    outputs = recording.capture(step)      # runs step, and notes its loops and NumPy's operations
    recording.replay()                     # does these again, to the same bits

In small networks Python takes as long as the loops do. What differs from step to step is said where it is made, as for a CUDA graph
(kernels/gpu/cuda_graph.py, which has the same methods): `from_host` and `repeated` of kernels/device.py. They are done in the order
of the step, so a check in the middle of it stops it there.

Arrays that only the step itself knows get new places in one block of memory, planned from who is needed when. Everything else
stays where it is: weights, gradients, losses, pictures that somebody keeps.

What cannot be noted makes the recording useless, and `why_not` says so; the step that was to be captured has run as usual.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from kernels.cpu import threads
from kernels.cpu.noted import Memory, Noted, Notes, Place, Step, here, leaves, noting
from kernels.device import Array, capture_in

T = TypeVar("T")
LINE = 64  # bytes of a cache line: no array begins in one where another ends


class Recording:
    """A function's loops and NumPy's operations, to be repeated without it."""

    runs = True  # what is captured is done at once

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.kept: list[Any] = []  # memory that is read or written
        self.why_not = ""
        self.replays = 0

    def capture(self, function: Callable[[], T]) -> T:
        """What `function` returns, which runs now. Arrays in it are written to by every replay."""
        notes = Notes(Step())
        with capture_in(self), noting(notes):
            result = function()
        gc.collect()  # what is left in circles would seem to be somebody's
        self.why_not = notes.step.why_not or made_outside(notes)
        if not self.why_not:
            self.kept.extend(notes.step.kept)
            self.calls = bound(notes, self.kept)
        threads.forget_scratch()
        return result

    def fed(self, make: Callable[[], Array]) -> Array:
        """See `from_host` in kernels/device.py."""
        array = np.array(unnoted(make))

        def take() -> None:
            value = make()
            if value.shape != array.shape:
                raise RuntimeError(
                    f"recording: {value.shape} numbers for a replay; the step was captured with {array.shape}"
                )
            array[...] = value

        self._note(take)
        return array.view(Noted)

    def asarray(self, data: Any, dtype: Any = None) -> Array:
        """See `Device.asarray`: what is done with it is noted."""
        array = data if isinstance(data, np.ndarray) else np.asarray(data, dtype)
        if here.notes is not None:
            array = array.view(Noted)
        return array if dtype is None or array.dtype == dtype else array.astype(dtype)

    def again(self, action: Callable[[], Any]) -> None:
        """See `repeated` in kernels/device.py."""
        unnoted(action)
        self._note(action)

    def looked(self) -> None:
        """The host has looked at an array."""
        if here.notes is not None:
            here.notes.refuse("it looks at a value (to_host)")

    @staticmethod
    def _note(action: Callable[[], Any]) -> None:
        assert here.notes is not None, "a thread that takes no notes"
        here.notes.done.append((unnoted, (action,), {}))

    def replay(self, wanted: Array | None = None) -> Array | None:
        """Do everything again; for the first time the capture did it. What `wanted` holds then."""
        if self.replays:
            play(self.calls)
        self.replays += 1
        return wanted


def unnoted(action: Callable[[], T]) -> T:
    """What the host does aside of the step's arrays."""
    with noting(None):
        return action()


def play(calls: Sequence[Callable[[], Any]]) -> None:
    """One after the other."""
    for call in calls:
        call()


def side_by_side(lanes: Sequence[Sequence[Callable[[], Any]]]) -> None:
    """Each by a thread of its own, if there are as many."""
    threads.together(play, lanes)


def made_outside(notes: Notes) -> str:
    """Why the next step would read other numbers than what was noted does: an array that nothing in the notes made belongs to
    nobody any more, so the step's Python had made it. "" where there is none."""
    for i in range(len(notes.step.foreign)):
        if sys.getrefcount(notes.step.foreign[i]) == 2:
            owner = notes.step.foreign[i]
            return f"an array {owner.dtype} {owner.shape} was made outside of what is noted"
    return ""


# -- the same again, on planned memory


def bound(notes: Notes, kept: list[Any]) -> list[Callable[[], Any]]:
    """What was noted as calls. Whose memory has to stay where it is is appended to `kept`, and so is the block for all others."""
    spans = Spans(notes)
    owners = {memory: memory.owner() for memory in spans.of}
    kept.extend(owner for owner in owners.values() if owner is not None)
    passing = [span for memory, span in spans.of.items() if owners[memory] is None]
    block = threads.empty(plan(passing) // 4).view(np.uint8)
    kept.append(block)
    bases = {memory: memory.held() for memory, owner in owners.items() if owner is not None}
    bases |= {span.memory: block[span.place :][: span.memory.size] for span in passing}
    return calls(notes, bases)


def calls(notes: Notes, bases: dict[Memory, np.ndarray]) -> list[Callable[[], Any]]:
    """Notes with arrays in the place of places."""

    def filled(value: Any) -> Any:
        if isinstance(value, Place):
            return value.on(bases[value.memory])
        if isinstance(value, tuple | list):
            parts = [filled(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return {key: filled(part) for key, part in value.items()} if isinstance(value, dict) else value

    made: list[Callable[[], Any]] = []
    for note in notes.done:
        if isinstance(note, list):
            made.append(functools.partial(side_by_side, [calls(lane, bases) for lane in note]))
        else:
            function, args, settings = note
            made.append(functools.partial(function, *filled(args), **filled(settings)))
    return made


@dataclass(eq=False)
class Span:
    """When some memory is in use: from which note to which one, counted through all lanes, one lane after the other. Where that
    begins in a lane: in which, of which lanes side by side; else 0."""

    memory: Memory
    first: int
    last: int
    fork: int = 0
    lane: int = 0
    place: int = 0  # in the block

    @property
    def size(self) -> int:
        """Bytes in the block, whole cache lines."""
        return -(-(self.memory.size + self.memory.address % LINE) // LINE) * LINE


class Spans:
    """Those of all memory that is noted."""

    def __init__(self, notes: Notes) -> None:
        self.of: dict[Memory, Span] = {}
        self.count = 0
        self.walk(notes.done, 0, 0, {})

    def walk(self, done: Sequence[Any], fork: int, lane: int, outside: dict[Memory, Span]) -> None:
        """`outside`: what is also used outside of the lane."""
        for note in done:
            self.count += 1
            if isinstance(note, list):
                self.side_by_side(note)
                continue
            for place in leaves(note[1:], Place):
                span = self.of.setdefault(place.memory, Span(place.memory, self.count, self.count, fork, lane))
                span.last = self.count
                if (span.fork, span.lane) != (fork, lane) and fork:
                    outside[place.memory] = span

    def side_by_side(self, lanes: Sequence[Notes]) -> None:
        """Nobody knows which lane is first: what they use and do not have for themselves stays while any of them runs."""
        first, outside = self.count, dict[Memory, Span]()
        for i, lane in enumerate(lanes):
            self.walk(lane.done, first, i, outside)
        for span in outside.values():
            span.last = self.count
            if span.fork == first:  # of another lane
                span.first, span.fork, span.lane = first, 0, 0


def plan(spans: Sequence[Span]) -> int:
    """A place for each, so that none is shared by two that are in use at a time; the bytes of all. The largest first, each at
    the lowest place where it fits."""
    at = np.zeros((6, len(spans)), np.int64)  # begin, end, first, last, fork, lane of those that have a place
    total = 0
    for i, span in enumerate(sorted(spans, key=lambda span: -span.size)):
        begin, end, first, last, fork, lane = at[:, :i]
        lanes = (fork == span.fork) & (lane != span.lane) & (fork > 0)
        beside = (first <= span.last) & (last >= span.first) | lanes
        order = np.argsort(begin[beside])
        begins, ends = begin[beside][order], np.maximum.accumulate(end[beside][order])
        room = np.append(begins, np.iinfo(np.int64).max) - np.append(0, ends)
        low = int(np.append(0, ends)[np.argmax(room >= span.size)])
        at[:, i] = low, low + span.size, span.first, span.last, span.fork, span.lane
        span.place, total = low + span.memory.address % LINE, max(total, low + span.size)
    return total
