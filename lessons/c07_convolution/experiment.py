"""A picture, its mirrored rim, its patches as the rows of a matrix, and what products with that matrix make of it."""

from __future__ import annotations

import numpy as np

from kernels.conv2d import reference as conv2d
from kernels.conv2d.geometry import Geometry
from lessons.parts import Part, Pictures, Table

KERNELS = {
    "blur": np.full((3, 3), 1 / 9),
    "edges, left to right": np.array([[-1, 0, 1]] * 3) / 2,
    "sharpen": np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}


def scene(size: int = 16) -> np.ndarray:
    """A small gray picture [size,size]: a disc over a slope."""
    y, x = np.mgrid[:size, :size] / (size - 1)
    return np.where((x - 0.55) ** 2 + (y - 0.4) ** 2 < 0.07, 0.95, 0.15 + 0.4 * y)


def show() -> list[Part]:
    """Pictures and sizes."""
    picture = scene()
    x = picture[None, :, :, None]  # [1,16,16,1]
    padded = conv2d.pad(x, Geometry(padding=3, padding_mode="reflect"))
    matrix = conv2d.unfold(x, (3, 3), 1)[0].reshape(-1, 9)  # [14*14,9]
    made = {
        name: conv2d.forward(x, k[:, :, None, None], geometry=Geometry())[0, :, :, 0] for name, k in KERNELS.items()
    }
    rows = [
        ("picture [1,16,16,1]", x.size), ("its 3×3 patches [196,9]", matrix.size),
        ("weights of one output channel", 9), ("multiplications for one output channel", matrix.size),
    ]  # fmt: skip
    return [
        Pictures("A picture, and with three mirrored pixels around", {"16×16": picture, "22×22, reflection padding": padded[0, :, :, 0]}, scale=9),
        Pictures("Its patches as a matrix: one row of 9 numbers for each of 14×14 places", {"the first 42 rows": matrix[:42]}, scale=9, note="Read along a column: it is the picture again, shifted by one pixel. Neighbouring patches share six of nine numbers."),
        Pictures("matrix @ weights, for three weights", made, low=-0.2, high=1.2, scale=9),
        Table("How many numbers", ("", "count"), rows),
    ]  # fmt: skip
