"""A small reverse-mode autograd engine over NumPy and CuPy arrays. Read tensor.py, function.py, engine.py, then ops/."""

from autograd import ops  # sets what Tensor's operators call
from autograd.double_backward import grad
from autograd.gradcheck import gradcheck
from autograd.mode import no_grad
from autograd.tensor import Tensor

__all__ = ["Tensor", "grad", "gradcheck", "no_grad", "ops"]
