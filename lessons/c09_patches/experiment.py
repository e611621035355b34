"""The gradient of one score along the picture: where it comes from, and how much lies outside the box that one reads about."""

from __future__ import annotations

import numpy as np

from autograd import Tensor
from kernels.dispatch import references
from lessons.parts import Part, Pictures, Table
from nn import PatchDiscriminator

SIZE = 64


def nominal(n_layers: int) -> int:
    """Pixels along a side that one score sees through its convolutions: n strided 4×4, then two unstrided."""
    field, step = 1, 1
    for stride in [2] * n_layers + [1, 1]:
        field, step = field + 3 * step, step * stride
    return field


def measured(n_layers: int, seed: int = 0) -> tuple[np.ndarray, tuple[int, int, int]]:
    """|gradient| of the middle score along each pixel [SIZE,SIZE], and the best box (top, left, side) of the nominal size."""
    net = PatchDiscriminator(ndf=8, n_layers=n_layers, seed=seed)
    rng = np.random.default_rng(seed)
    x = Tensor(np.tanh(rng.standard_normal((1, SIZE, SIZE, 3))).astype(np.float32), requires_grad=True)
    with references():
        scores = net(x)
        middle = scores.shape[1] // 2
        pick = np.zeros(scores.shape, np.float32)
        pick[0, middle, middle, 0] = 1
        scores.backward(pick)
    assert x.grad is not None
    size = abs(x.grad[0]).sum(axis=2)  # [SIZE,SIZE]
    side = min(nominal(n_layers), SIZE)
    sums = np.lib.stride_tricks.sliding_window_view(size, (side, side)).sum(axis=(2, 3))
    top, left = map(int, np.unravel_index(sums.argmax(), sums.shape))
    return size, (top, left, side)


def outside(n_layers: int, seed: int = 0) -> float:
    """The share of the gradient's magnitude outside that box."""
    size, (top, left, side) = measured(n_layers, seed)
    return float(1 - size[top : top + side, left : left + side].sum() / size.sum())


def drawn(n_layers: int) -> np.ndarray:
    """The gradient on a logarithmic scale as shades [SIZE,SIZE,3], the box in orange."""
    size, (top, left, side) = measured(n_layers)
    shade = 1 + np.log10(size / size.max() + 1e-12) / 5  # five powers of ten
    picture = np.repeat(shade.clip(0, 1)[:, :, None], 3, axis=2)
    ends = (top, min(top + side, SIZE) - 1), (left, min(left + side, SIZE) - 1)
    for row in ends[0]:
        picture[row, ends[1][0] : ends[1][1] + 1] = (1.0, 0.55, 0.0)
    for column in ends[1]:
        picture[ends[0][0] : ends[0][1] + 1, column] = (1.0, 0.55, 0.0)
    return picture


def show() -> list[Part]:
    """Pictures and shares."""
    rows = []
    for n in (1, 2, 3):
        shares = [outside(n, seed) for seed in range(5)]
        rows.append((f"{n} strided layers", nominal(n), f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %"))
    maps = {f"{n} strided layer{'s' * (n > 1)}, box of {nominal(n)}": drawn(n) for n in (1, 2, 3)}
    return [
        Pictures("Which pixels move the middle score, 64×64; brightness: five powers of ten", maps, scale=5),
        Table("How much of the gradient lies outside the box (five seeds, fresh weights)", ("discriminator", "box, pixels", "outside"), rows, "The box of 70 is larger than the picture: nothing can be outside it."),
    ]  # fmt: skip
