"""Whether ops record the graph, thread by thread."""

from __future__ import annotations

import contextlib
import threading

_state = threading.local()


def grad_enabled() -> bool:
    """Whether ops record the graph in this thread."""
    return not getattr(_state, "no_grad_depth", 0)


class no_grad(contextlib.ContextDecorator):
    """Within this context (or a function decorated with it) ops compute values only and keep nothing."""

    def __enter__(self) -> None:
        _state.no_grad_depth = getattr(_state, "no_grad_depth", 0) + 1

    def __exit__(self, *exc: object) -> None:
        _state.no_grad_depth -= 1
