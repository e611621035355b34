"""How wrong a finite difference is, for every step width."""

from __future__ import annotations

import numpy as np

from lessons.parts import Lines, Part, Table

X = 1.3


def show() -> list[Part]:
    """f(x) = exp(x): its slope is known, so the error of a difference is known too."""
    widths = 10.0 ** np.linspace(-14, 0, 57)
    errors = {
        "float64, one side": [error(np.float64, h, False) for h in widths],
        "float64, both sides": [error(np.float64, h, True) for h in widths],
        "float32, both sides": [error(np.float32, h, True) for h in widths],
    }
    rows = [(name, f"{min(line):.0e}", f"{widths[int(np.argmin(smooth(line)))]:.0e}") for name, line in errors.items()]
    chart = Lines(
        "Error of the slope of exp at 1.3",
        widths,
        errors,
        "step width h",
        "xy",
        "The V is in all three curves; only its tip moves.",
        top=10.0,
    )
    return [chart, Table("The tips", ("difference", "least error", "at about h ="), rows)]


def error(kind: type, h: float, both: bool) -> float:
    """The relative error of a difference of exp, computed in one precision."""
    x, step = kind(X), kind(h)
    high, low = np.exp(x + step), np.exp(x - step) if both else np.exp(x)
    slope = float(high - low) / (2 * h if both else h)
    return max(abs(slope / np.exp(X) - 1), 1e-16)


def smooth(line: list[float]) -> np.ndarray:
    """The running maximum of five: where an error is small by chance, its neighbours are not."""
    padded = np.pad(line, 2, mode="edge")
    return np.max([padded[i : i + len(line)] for i in range(5)], axis=0)
