"""A small reverse-mode autograd engine over NumPy and CuPy arrays. Read tensor.py, function.py, engine.py, then ops/."""

import importlib
from typing import TYPE_CHECKING, Any

from autograd import engine, ops  # they set Tensor.backward, and what Tensor's operators call
from autograd.mode import no_grad
from autograd.tensor import Tensor

if TYPE_CHECKING:
    from autograd.double_backward import grad
    from autograd.finite_differences import gradcheck

__all__ = ["Tensor", "engine", "grad", "gradcheck", "no_grad", "ops"]


def __getattr__(name: str) -> Any:
    """What few programs need is loaded when it is used first."""
    if name in ("grad", "gradcheck"):
        module = {"grad": "double_backward", "gradcheck": "finite_differences"}[name]
        return getattr(importlib.import_module(f"{__package__}.{module}"), name)
    raise AttributeError(f"module 'autograd' has no attribute {name!r}")
