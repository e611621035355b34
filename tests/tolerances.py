"""How far a result may lie from the truth, in one table. Nothing else in the tests invents a tolerance for an op."""

from __future__ import annotations

from typing import Any

import numpy as np

# dtype -> kind -> (rtol, atol). An element passes if  |result - truth| <= rtol |truth| + atol max(1, largest |truth|).
# The second part is there because a sum that happens to cancel keeps the rounding errors of its large terms.
TABLE = {
    "float64": {
        "elementwise": (1e-14, 1e-14),  # a handful of roundings of 1.1e-16 each
        "reduction": (1e-12, 1e-13),  # sums over a plane, then divided by its deviation
        "gemm": (1e-12, 1e-13),  # sums of up to some thousand products
    },
    "float32": {
        "elementwise": (1e-6, 1e-6),  # a handful of roundings of 6e-8 each
        "reduction": (1e-5, 2e-6),  # roundings grow with the square root of the number of terms, here below a thousand
        "gemm": (1e-5, 5e-6),  # the same, and library products may reorder their sums
    },
    "bfloat16": {
        "elementwise": (8e-3, 8e-3),  # results are rounded to 8 bits: 4e-3, and inputs were too
        "reduction": (1e-2, 1e-2),  # accumulated in float32; the inputs' rounding remains
        "gemm": (2e-2, 1e-2),
    },
}

KINDS = {
    "reflection_pad": "elementwise",  # at most four terms are added
    "tanh": "elementwise",
    "leaky_relu": "elementwise",
    "dropout": "elementwise",
    "concat": "elementwise",
    "batch_slice": "elementwise",
    "add": "reduction",
    "mean": "reduction",
    "resize": "reduction",
    "instance_norm": "reduction",
    "conditional_instance_norm": "reduction",
    "lsgan_loss": "reduction",
    "l1_loss": "reduction",
    "bce_with_logits": "reduction",
    "hinge_loss": "reduction",
    "conv2d": "gemm",
    "conv_transpose2d": "gemm",
    "conv_norm_relu": "gemm",
    "conv_transpose_norm_relu": "gemm",
}

LARGE_MEAN = 100  # values of that size are rounded that much more coarsely, and the mean is all that is subtracted


def kind(op: str) -> str:
    """What an op's errors grow like."""
    if op not in KINDS:
        raise KeyError(f"{op} has no kind in KINDS of tests/tolerances.py: {', '.join(sorted(set(KINDS.values())))}")
    return KINDS[op]


def tolerance(op: str, dtype: Any, values: str = "random") -> tuple[float, float]:
    """(rtol, atol) for an op's results and gradients on inputs of that kind (see tests.cases.Case.values)."""
    rtol, atol = TABLE[np.dtype(dtype).name if dtype != "bfloat16" else "bfloat16"][kind(op)]
    return (rtol, atol * LARGE_MEAN) if values == "large" else (rtol, atol)


def within(wanted: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    """The largest |result - wanted| of each element."""
    return rtol * np.abs(wanted) + atol * max(1.0, float(np.abs(wanted).max(initial=0)))
