"""How far each element of a result may lie from the truth: tests/tolerances.py, and what bf16 and tf32 cost on top.

The truth is computed in float64 from the inputs as they are stored. Sums are float32 in every precision, so what remains are
the roundings that a precision asks for: a result is rounded when it is stored, which is relative to itself; operands of a
product are cut to what tensor cores read; and what an op leaves in memory on its way is rounded there. The last two are
followed to the results they reach: an error e in z is at most e |w| in z w, so their bound is the same op on absolute
values. That bound holds for every element; no share of them may be anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.cases import Case
from tests.tolerances import tolerance, within
from tests.torch_ops import TORCH

PRECISIONS = {"cpu": ("fp32", "fp64"), "interpret": ("fp32", "tf32", "bf16"), "cuda": ("fp32", "tf32", "bf16")}
STORED = {"bf16": 2.0**-8}  # relative to a number of 8 digits: half the distance to the next
READ = {"tf32": 2.0**-9}  # relative to a product: 11 digits of each operand are read, the rest is cut off
SUMMED = 2.0**-20  # float32, relative to the sum of the terms' absolute values

BLOCKS = {
    "conv_norm_relu": "conv2d",
    "conv_transpose_norm_relu": "conv_transpose2d",
}  # and the convolution that each begins with
PARAMETERS = ("w", "b", "scale", "shift")  # float32 beside maps in bf16, as networks hold them
LOSSES = (
    "lsgan_loss",
    "l1_loss",
    "bce_with_logits",
    "hinge_loss",
    "mean",
)  # float32; the gradient is made with the value

Leaves = dict[str, Tensor | None]
Arrays = dict[str, np.ndarray]


def dtype_of(case: Case, name: str, precision: str) -> str:
    """What the output "y" or the gradient "d<input>" is stored in; an input as its gradient."""
    if precision == "fp64":
        return "float64"
    float32 = name.removeprefix("d") in PARAMETERS or (name == "y" and case.op in LOSSES)
    return "bfloat16" if precision == "bf16" and not float32 else "float32"


def bounds(case: Case, precision: str, leaves: Leaves, expected: Arrays, dy: np.ndarray, longer: float = 1) -> Arrays:
    """The largest |result - expected| of each element of each result. Leaves are the inputs as stored, in float64.

    `longer`: how many times the tolerance for sums of the small cases' length."""
    rtol, atol = tolerance(case.op, "float64" if precision == "fp64" else "float32", case.values)
    rtol, atol = rtol * longer, atol * longer
    u, p = STORED.get(precision, 0.0), READ.get(precision, 0.0)
    on_the_way = propagated(case, u, p, leaves, torch.tensor(dy)) if u or p else {}
    found = {}
    for name, wanted in expected.items():
        found[name] = within(wanted, rtol, atol) + on_the_way.get(name, torch.zeros(())).cpu().numpy()
        if dtype_of(case, name, precision) == "bfloat16":
            found[name] += u * np.abs(wanted) * (2 if case.op in LOSSES else 1)  # there dloss * dx, and dx was rounded
    return found


def propagated(case: Case, u: float, p: float, leaves: Leaves, dy: Tensor) -> dict[str, Tensor]:
    """What roundings ahead of a result's own cost it: storing by u of a number, reading by p of a product."""
    if case.op == "tanh":
        return {"dx": 2 * u * dy.abs() * torch.tanh(given(leaves, "x")) ** 2}  # 1 - y^2, of y as it is stored
    if not case.op.startswith("conv"):
        return {}
    sizes = Sizes(case, given(leaves, "x"), given(leaves, "w"))
    if case.op in BLOCKS:
        return block(case, u, p, sizes, leaves, dy)
    dx, dw = sizes.gradients(dy.abs())
    db = (
        dy.abs().reshape(*(given(leaves, "w").shape[:-4]), -1, dy.shape[-1]).sum(-2)
    )  # a weight whose input is always 1
    return {"y": p * sizes.y, "dx": (p + sizes.halo * u) * dx, "dw": p * dw, "db": p * db}


class Sizes:
    """A convolution on absolute values: how large the terms of its sums are, and of its gradients' sums."""

    def __init__(self, case: Case, x: Tensor, w: Tensor) -> None:
        convolution = TORCH[BLOCKS.get(case.op, case.op)]
        self.settings = {k: v for k, v in case.settings.items() if k in ("stride", "padding", "padding_mode", "output_padding")}  # fmt: skip
        self.x, self.w = x.abs().requires_grad_(), w.abs().requires_grad_()
        self.sums = convolution(self.x, self.w, None, **self.settings)
        self.y = self.sums.detach()
        self.halo = float(case.settings.get("padding_mode") == "reflect")  # its sums, or the padded dx, are stored too

    def gradients(self, dy: Tensor) -> tuple[Tensor, ...]:
        """The sizes of dx and dw for an upstream gradient (or its error) of at most dy."""
        return torch.autograd.grad(self.sums, (self.x, self.w), dy, retain_graph=True)


def block(case: Case, u: float, p: float, sizes: Sizes, leaves: Leaves, dy: Tensor) -> dict[str, Tensor]:
    """The fused block stores z = conv(x, w) ahead of the norm, and dz ahead of the convolution's gradients.

    Where the error of x_hat reaches 0, the activation's slope there is unsure, and with it all of that element's share.
    """
    mean = lambda t: t.mean((1, 2), keepdim=True)
    slope = {"none": 1.0, "relu": 0.0, "leaky_relu": case.settings.get("slope", 0.2)}[case.settings.get("activation", "relu")]  # fmt: skip
    z = TORCH[BLOCKS[case.op]](given(leaves, "x"), given(leaves, "w"), None, **sizes.settings)
    variance, centre = torch.var_mean(z, dim=(1, 2), correction=0, keepdim=True)
    rstd = (variance + case.settings.get("eps", 1e-5)) ** -0.5
    x_hat, e_sum = (z - centre) * rstd, (p + SUMMED) * sizes.y
    # Statistics are of the sums, unrounded; but of z as stored where a transposed convolution's tiles do not fill its phases.
    e_taken = e_sum + (u * z.abs() if case.op == "conv_transpose_norm_relu" else 0)
    e_rstd = rstd**2 * mean((z - centre).abs() * (e_taken + mean(e_taken)))  # relative
    e_hat = rstd * (u * z.abs() + e_sum + mean(e_taken)) + x_hat.abs() * e_rstd
    g = torch.where(x_hat > 0, dy, slope * dy)
    e_g = torch.where(x_hat.abs() <= e_hat, (1 - slope) * dy.abs(), 0)
    along, most = mean(g * x_hat), x_hat.abs() + e_hat
    e_along = mean(e_g * most + g.abs() * e_hat)
    dz = rstd * (g - mean(g) - x_hat * along)
    e_dz = rstd * (e_g + mean(e_g) + most * e_along + e_hat * along.abs())
    e_dz += (e_rstd + u + p + SUMMED) * dz.abs()
    dx, dw = sizes.gradients(e_dz)[0] + sizes.halo * u * sizes.gradients(dz.abs())[0], sizes.gradients(e_dz)[1]
    return {"y": e_hat, "dx": dx, "dw": dw}


def given(leaves: Leaves, name: str) -> Any:
    """An input that the op cannot be without, as a constant."""
    leaf = leaves[name]
    assert leaf is not None
    return leaf.detach()
