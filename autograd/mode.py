"""What is so for one thread and not for others: whether ops record the graph, and who takes the gradients of leaves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any


class State(threading.local):
    """Every thread has its own."""

    no_grad_depth = 0
    take: Callable[[Any], None] | None = None  # instead of the leaves; see lanes.py


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
