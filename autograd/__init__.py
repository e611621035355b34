"""A small reverse-mode autograd engine over NumPy and CuPy arrays. Read tensor.py, function.py, engine.py, then ops/."""

from autograd.double_backward import grad
from autograd.engine import no_grad
from autograd.gradcheck import gradcheck
from autograd.tensor import Tensor

__all__ = ["Tensor", "grad", "gradcheck", "no_grad"]
