"""What is so for one thread and not for others: whether ops record the graph, who takes the gradients of leaves, who watches them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from autograd.tensor import Tensor


class Watcher(Protocol):
    """Who wants to know of every leaf when its gradient is complete, while the backward goes on; see engine.py."""

    def expect(self, leaves: Collection[Tensor]) -> None:
        """A backward begins that will reach these leaves; to others nothing will come."""

    def complete(self, leaf: Tensor) -> None:
        """The last gradient has come for this leaf, and is in its `.grad`."""


class State(threading.local):
    """Every thread has its own."""

    no_grad_depth = 0
    take: Callable[[Any], None] | None = None  # instead of the leaves; see lanes.py
    watcher: Watcher | None = None


state = State()


def grad_enabled() -> bool:
    """Whether ops record the graph in this thread."""
    return not state.no_grad_depth


class no_grad(contextlib.ContextDecorator):
    """Within this context (or a function decorated with it) ops compute values only and keep nothing."""

    def __enter__(self) -> None:
        state.no_grad_depth += 1

    def __exit__(self, *exc: object) -> None:
        state.no_grad_depth -= 1


@contextlib.contextmanager
def watched(watcher: Watcher | None) -> Iterator[None]:
    """Within this context this thread's backwards tell the watcher of every leaf; with None, nobody."""
    before, state.watcher = state.watcher, watcher
    try:
        yield
    finally:
        state.watcher = before
