"""How a convolution's kernel moves over its picture: one frozen record, which checks itself and knows output sizes.

Shapes: x [N,H,W,C], w [R,S,C,K] or a stack of such [G,R,S,C,K] (kernels/conv2d/stacked.py), y [N,P,Q,K].
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """Of conv2d: P = (H + 2*padding - R) // stride + 1, Q likewise. `padding_mode` is "zeros" or "reflect"."""

    stride: int = 1  # pixels
    padding: int = 0  # pixels on each side
    padding_mode: str = "zeros"
    sides: int | None = None  # pixels on the left and the right, where other than above and below: of a column of taps

    def __post_init__(self) -> None:
        _check_numbers("conv2d", self.stride, self.padding)
        if self.padding_mode not in ("zeros", "reflect"):
            raise ValueError(f"conv2d: unknown padding_mode {self.padding_mode!r}; wanted zeros or reflect")

    @property
    def side(self) -> int:
        """Pixels on the left and the right."""
        return self.padding if self.sides is None else self.sides

    @property
    def reflect(self) -> bool:
        """Whether there are pixels beyond the edge, and these mirrored ones."""
        return self.padding_mode == "reflect" and self.padding > 0

    def output_size(self, x: Shape, w: Shape) -> tuple[int, int]:
        """(P, Q) for shapes of x and w."""
        H, W = x[1:3]
        R, S = w[-4:-2]
        return (H + 2 * self.padding - R) // self.stride + 1, (W + 2 * self.padding - S) // self.stride + 1

    def check(self, x: Shape, w: Shape) -> None:
        """ValueError for shapes of x and w that this does not fit."""
        (H, W), (R, S), padding = x[1:3], w[-4:-2], self.padding
        if min(H - R, W - S) + 2 * padding < 0:
            raise ValueError(
                f"conv2d: a picture of {H}x{W} with padding {padding} is smaller than the {R}x{S} kernel; "
                "use larger images or fewer strided layers"
            )
        if self.reflect and padding >= min(H, W):
            raise ValueError(
                f"conv2d: a picture of {H}x{W} cannot be mirrored by {padding} pixels; both sides must be larger than "
                f"{padding}: use larger images"
            )


@dataclass(frozen=True)
class TransposedGeometry:
    """Of conv_transpose2d: P = (H-1)*stride - 2*padding + R + output_padding, Q likewise."""

    stride: int = 2  # pixels
    padding: int = 1  # pixels cut off on each side
    output_padding: int = 1  # pixels more at the far sides

    def __post_init__(self) -> None:
        _check_numbers("conv_transpose2d", self.stride, self.padding)
        if not 0 <= self.output_padding < self.stride:
            raise ValueError(
                f"conv_transpose2d: output_padding {self.output_padding} must be smaller than stride {self.stride}, "
                "and not below 0"
            )

    @property
    def adjoint(self) -> Geometry:
        """Of the strided convolution whose adjoint this is."""
        return Geometry(self.stride, self.padding)

    def output_size(self, x: Shape, w: Shape) -> tuple[int, int]:
        """(P, Q) for shapes of x and w."""
        more = self.output_padding - 2 * self.padding
        return (x[1] - 1) * self.stride + w[-4] + more, (x[2] - 1) * self.stride + w[-3] + more


def _check_numbers(op: str, stride: int, padding: int) -> None:
    if stride < 1 or padding < 0:
        raise ValueError(f"{op}: stride {stride} and padding {padding}; wanted at least 1 and at least 0")


geometry, transposed_geometry = functools.cache(Geometry), functools.cache(TransposedGeometry)
"""One record for all calls with the same numbers: a network makes the same few again and again."""
