"""The inputs every op is tried on: shapes with a label that says why they are there, as plain data.

Each op has the five `LABELS` at least. "real" is a layer of CycleGAN, small enough for an interpreted GPU kernel.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

LABELS = ("minimal", "ragged", "non-contiguous", "real", "degenerate")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One call of an op.

    op        its name in autograd.ops and in kernels/
    shapes    the shape of each input, in the op's order; None for an optional input left out
    settings  the op's keywords
    values    "random", "constant" (every plane of an image is one number), "ties" (few different numbers, among them
              exact zeros and equal pairs), "large" (mean 100, deviation 1) or "extreme" (up to a thousand, both signs)
    strided   inputs and upstream gradient are views with gaps, in another memory order
    full      the shapes at full size, for benchmarks
    """

    op: str
    label: str
    shapes: dict[str, Shape | None]
    settings: dict[str, Any] = field(default_factory=dict)
    values: str = "random"
    strided: bool = False
    full: dict[str, Shape | None] | None = None

    def __str__(self) -> str:
        return f"{self.op}-{self.label}"


def arrays(case: Case, dtype: Any, seed: int = 0, full: bool = False) -> dict[str, np.ndarray | None]:
    """The inputs of a case: the same for a seed, whatever the dtype (but for rounding).

    Activations have a mean away from 0; weights shrink with the length of the sums they enter, so that outputs are near 1.
    """
    shapes = (case.full or case.shapes) if full else case.shapes
    rng = np.random.default_rng([seed, zlib.crc32(str(case).encode())])
    drawn = {name: None if shape is None else _draw(rng, name, shape, case.values) for name, shape in shapes.items()}
    return {name: None if array is None else array.astype(dtype) for name, array in drawn.items()}


def _draw(rng: np.random.Generator, name: str, shape: Shape, values: str) -> np.ndarray:
    if values == "constant":  # few bits, so that sums are exact and a flat plane stays exactly flat
        planes = shape if name == "w" or len(shape) < 2 else (shape[0], *(1 for _ in shape[1:-1]), shape[-1])
        return np.broadcast_to(rng.integers(-8, 16, planes) / 16, shape).copy()
    if values == "ties":
        return rng.integers(-2, 3, shape) / 2
    draw = rng.standard_normal(shape)
    if name == "w":
        return (draw + 0.1) / np.sqrt(np.prod(shape[-4:-1]))
    if values == "extreme":
        return draw * 300
    return draw + (100 if values == "large" else 0.5)


def _conv(label: str, x: Shape, w: Shape, bias: bool, more: dict[str, Any] | None = None, **settings: Any) -> Case:
    shapes = dict(x=x, w=w, b=(*w[:-4], w[-1]) if bias else None)  # w [R,S,C,K], or a stack of them [G,R,S,C,K]
    return Case("conv2d", label, shapes, settings, **(more or {}))


def _up(*arguments: Any, **settings: Any) -> Case:
    return replace(_conv(*arguments, **settings), op="conv_transpose2d")


def _block(label: str, x: Shape, w: Shape, skip: Shape | None, more: dict[str, Any] | None = None, **settings: Any) -> Case:  # fmt: skip
    return Case("conv_norm_relu", label, dict(x=x, w=w, skip=skip), settings, **(more or {}))


def _rise(*arguments: Any, **settings: Any) -> Case:
    return replace(_block(*arguments, **settings), op="conv_transpose_norm_relu")


def _norm(label: str, x: Shape, skip: bool, more: dict[str, Any] | None = None, **settings: Any) -> Case:
    return Case("instance_norm", label, dict(x=x, skip=x if skip else None), settings, **(more or {}))


STRIDED: dict[str, Any] = dict(strided=True)
CONSTANT: dict[str, Any] = dict(values="constant")
TIES: dict[str, Any] = dict(values="ties")
EXTREME: dict[str, Any] = dict(values="extreme")
REFLECT: dict[str, Any] = dict(padding_mode="reflect")

CONVOLUTIONS = (
    _conv("minimal", (1, 1, 1, 1), (1, 1, 1, 1), False),
    _conv("ragged", (2, 9, 7, 3), (3, 3, 3, 5), True, padding=1),
    _conv("non-contiguous", (2, 8, 6, 5), (3, 3, 5, 4), True, STRIDED, padding=1, **REFLECT),
    _conv("real", (1, 16, 16, 32), (3, 3, 32, 32), False,
          dict(full=dict(x=(1, 64, 64, 256), w=(3, 3, 256, 256), b=None)), padding=1, **REFLECT),
    _conv("degenerate", (1, 4, 5, 2), (7, 7, 2, 3), True, padding=3, **REFLECT),  # pad = H-1
    _conv("stem", (1, 12, 15, 3), (7, 7, 3, 8), False,
          dict(full=dict(x=(1, 256, 256, 3), w=(7, 7, 3, 64), b=None)), padding=3, **REFLECT),
    _conv("head", (1, 10, 9, 8), (7, 7, 8, 3), True,
          dict(full=dict(x=(1, 256, 256, 64), w=(7, 7, 64, 3), b=(3,))), padding=3, **REFLECT),
    _conv("stride-2", (2, 11, 8, 5), (3, 3, 5, 7), False,
          dict(full=dict(x=(1, 256, 256, 64), w=(3, 3, 64, 128), b=None)), stride=2, padding=1),
    _conv("stride-2-strided", (2, 7, 10, 3), (4, 4, 3, 6), True, STRIDED, stride=2, padding=1),
    _conv("stride-2-reflect", (1, 7, 8, 3), (3, 3, 3, 4), True, stride=2, padding=1, **REFLECT),
    _conv("unread-edge", (1, 8, 10, 2), (3, 3, 2, 3), True, stride=2),  # the last row and column touch no output
    _conv("patch", (2, 10, 13, 3), (4, 4, 3, 6), True,
          dict(full=dict(x=(1, 256, 256, 3), w=(4, 4, 3, 64), b=(64,))), stride=2, padding=1),
    _conv("patch-scores", (2, 6, 7, 16), (4, 4, 16, 1), True,
          dict(full=dict(x=(1, 31, 31, 512), w=(4, 4, 512, 1), b=(1,))), padding=1),
    _conv("pixel", (2, 5, 7, 6), (1, 1, 6, 11), True,
          dict(full=dict(x=(1, 256, 256, 64), w=(1, 1, 64, 128), b=(128,)))),
    _conv("innermost", (1, 2, 2, 8), (4, 4, 8, 8), True, stride=2, padding=1),  # one pixel remains
    _conv("oblong-kernel", (2, 6, 7, 2), (3, 5, 2, 3), True, padding=2),
    _conv("more-than-a-tile", (2, 9, 7, 17), (3, 3, 17, 20), True, stride=2, padding=1),
    _conv("near-both-edges", (2, 3, 2, 4), (3, 3, 4, 5), False, padding=1, **REFLECT),
    _conv("small-kernel-reflect", (1, 5, 6, 3), (3, 2, 3, 4), True, padding=2, **REFLECT),
    _conv("stride-2-even-reflect", (1, 7, 6, 3), (4, 4, 3, 4), True, stride=2, padding=1, **REFLECT),
    _conv("taps-that-miss", (1, 5, 6, 2), (1, 3, 2, 70), False, stride=3, padding=1),  # some phases meet no weight
    _conv("stack", (2, 8, 8, 16), (2, 3, 3, 16, 16), False, padding=1, **REFLECT),
    _conv("stack-patch", (4, 7, 6, 3), (2, 4, 4, 3, 5), True, stride=2, padding=1),
    _conv("stack-of-three", (3, 5, 4, 2), (3, 3, 3, 2, 3), True),
    _conv("stack-in-runs", (2, 36, 38, 2), (2, 1, 1, 2, 3), True),  # dw and db are summed in several parts
    _conv("stem-stack", (4, 9, 11, 3), (2, 7, 7, 3, 8), True, padding=3, **REFLECT),
    _conv("head-stack", (4, 8, 11, 8), (2, 7, 7, 8, 3), True, padding=3, **REFLECT),
    _conv("stem-zeros", (2, 9, 8, 1), (5, 6, 1, 5), True, padding=2),
    _conv("head-zeros", (2, 9, 8, 5), (7, 8, 5, 4), True, padding=3),
    _conv("stack-few-out", (4, 6, 5, 16), (2, 3, 3, 16, 3), True, padding=1, **REFLECT),
)  # fmt: skip

TRANSPOSED_CONVOLUTIONS = (
    _up("minimal", (1, 1, 1, 1), (3, 3, 1, 1), False, output_padding=1),
    _up("ragged", (2, 5, 4, 3), (3, 3, 3, 5), True, output_padding=1),
    _up("non-contiguous", (2, 4, 5, 3), (3, 3, 3, 4), True, STRIDED, output_padding=1),
    _up("real", (1, 16, 16, 32), (3, 3, 32, 16), False,
        dict(full=dict(x=(1, 64, 64, 256), w=(3, 3, 256, 128), b=None)), output_padding=1),
    _up("degenerate", (1, 1, 1, 8), (4, 4, 8, 5), True, output_padding=0),  # U-Net's innermost: one pixel grows
    _up("unet", (2, 3, 5, 7), (4, 4, 7, 4), True,
        dict(full=dict(x=(1, 64, 64, 256), w=(4, 4, 256, 64), b=(64,))), output_padding=0),
    _up("more-than-a-tile", (2, 5, 4, 17), (3, 3, 17, 5), True, output_padding=1),
    _up("stack", (4, 3, 4, 5), (2, 3, 3, 5, 3), True, output_padding=1),
)  # fmt: skip

ENLARGING_BLOCKS = (
    _rise("minimal", (1, 1, 1, 1), (3, 3, 1, 1), None, activation="none"),
    _rise("ragged", (2, 5, 4, 3), (3, 3, 3, 5), None, activation="relu"),
    _rise("non-contiguous", (2, 4, 5, 3), (3, 3, 3, 4), (2, 8, 10, 4), STRIDED, activation="leaky_relu"),
    _rise("real", (1, 16, 16, 32), (3, 3, 32, 16), None,  # whose phases are whole tiles
          dict(full=dict(x=(1, 64, 64, 256), w=(3, 3, 256, 128), skip=None)), activation="relu"),
    _rise("degenerate", (2, 8, 8, 3), (3, 3, 3, 4), None, CONSTANT, activation="relu"),
    _rise("phases-of-two-sizes", (1, 3, 4, 5), (3, 3, 5, 4), None, output_padding=0),
    _rise("unet", (1, 8, 8, 7), (4, 4, 7, 6), None, output_padding=0, activation="none"),
    _rise("stack", (4, 8, 8, 5), (2, 3, 3, 5, 3), None),
)  # fmt: skip

FUSED_BLOCKS = (
    _block("minimal", (1, 1, 2, 1), (1, 1, 1, 1), None, activation="none"),
    _block("ragged", (2, 9, 7, 3), (3, 3, 3, 5), None, padding=1, activation="relu", **REFLECT),
    _block("non-contiguous", (2, 6, 7, 5), (3, 3, 5, 5), (2, 6, 7, 5), STRIDED, padding=1, activation="none", **REFLECT),
    _block("real", (1, 16, 16, 32), (3, 3, 32, 32), (1, 16, 16, 32),
           dict(full=dict(x=(1, 64, 64, 256), w=(3, 3, 256, 256), skip=(1, 64, 64, 256))),
           padding=1, activation="none", **REFLECT),
    _block("degenerate", (2, 5, 4, 3), (3, 3, 3, 4), None, CONSTANT, padding=1, activation="relu", **REFLECT),
    _block("real-relu", (1, 16, 16, 32), (3, 3, 32, 32), None,
           dict(full=dict(x=(1, 64, 64, 256), w=(3, 3, 256, 256), skip=None)), padding=1, activation="relu", **REFLECT),
    _block("stem", (1, 9, 11, 3), (7, 7, 3, 8), None,
           dict(full=dict(x=(1, 256, 256, 3), w=(7, 7, 3, 64), skip=None)), padding=3, activation="relu", **REFLECT),
    _block("down", (2, 9, 12, 5), (3, 3, 5, 6), None,
           dict(full=dict(x=(1, 256, 256, 64), w=(3, 3, 64, 128), skip=None)), stride=2, padding=1, activation="relu"),
    _block("patch", (2, 10, 12, 5), (4, 4, 5, 7), None,
           dict(full=dict(x=(1, 128, 128, 64), w=(4, 4, 64, 128), skip=None)), stride=2, padding=1,
           activation="leaky_relu", slope=0.2),
    _block("relu-skip", (2, 5, 6, 4), (3, 3, 4, 4), (2, 5, 6, 4), padding=1, activation="relu", **REFLECT),
    _block("leaky-skip", (1, 6, 5, 3), (4, 4, 3, 6), (1, 5, 4, 6), padding=1, activation="leaky_relu", slope=0.3),
    _block("one-pixel", (1, 2, 2, 3), (4, 4, 3, 5), None, stride=2, padding=1, activation="leaky_relu"),
    _block("in-runs", (2, 26, 25, 3), (3, 3, 3, 5), None, padding=1, activation="relu", **REFLECT),
    _block("stack", (4, 6, 5, 3), (2, 3, 3, 3, 4), (4, 6, 5, 4), padding=1, activation="relu", **REFLECT),
    _block("stack-down", (2, 8, 8, 4), (2, 4, 4, 4, 3), None, stride=2, padding=1, activation="relu"),
)  # fmt: skip

NORMS = (
    _norm("minimal", (1, 1, 2, 1), False),
    _norm("ragged", (2, 7, 5, 3), True, activation="relu"),
    _norm("non-contiguous", (2, 5, 6, 4), True, STRIDED, activation="leaky_relu", slope=0.2),
    _norm("real", (1, 32, 32, 32), True, dict(full=dict(x=(1, 64, 64, 256), skip=(1, 64, 64, 256)))),
    _norm("degenerate", (2, 4, 6, 3), True, CONSTANT, activation="leaky_relu", slope=0.2),
    _norm("real-relu", (1, 32, 32, 16), False, dict(full=dict(x=(1, 256, 256, 64), skip=None)), activation="relu"),
    _norm("one-pixel", (2, 1, 1, 5), False, activation="relu"),
    _norm("large-mean", (2, 16, 16, 3), False, dict(values="large")),
    _norm("wide-eps", (1, 3, 9, 2), False, eps=0.1),
    _norm("many-channels", (1, 12, 13, 70), True, activation="relu"),
)


def _conditional(label: str, x: Shape, more: dict[str, Any] | None = None, each: bool = True, **settings: Any) -> Case:
    given = (x[0], x[3]) if each else (x[3],)
    shapes: dict[str, Shape | None] = dict(x=x, scale=given, shift=given)
    return Case("conditional_instance_norm", label, shapes, settings, **(more or {}))


CONDITIONAL_NORMS = (
    _conditional("minimal", (1, 1, 2, 1)),
    _conditional("ragged", (2, 7, 5, 3), activation="relu"),
    _conditional("non-contiguous", (2, 5, 6, 4), STRIDED, activation="leaky_relu", slope=0.3),
    _conditional("real", (2, 16, 16, 32), dict(full=dict(x=(32, 32, 32, 128), scale=(32, 128), shift=(32, 128))), activation="relu"),
    _conditional("degenerate", (2, 4, 6, 3), CONSTANT, activation="relu"),
    _conditional("large-mean", (2, 16, 16, 3), dict(values="large")),
    _conditional("all-alike", (3, 5, 4, 6), each=False, activation="leaky_relu"),
    _conditional("all-alike-strided", (2, 4, 5, 3), STRIDED, each=False),
    _conditional("one-pixel", (2, 1, 1, 5), activation="relu"),
    _conditional("wide-eps", (1, 3, 9, 2), eps=0.1),
)  # fmt: skip


def _map(op: str, label: str, x: Shape, more: dict[str, Any] | None = None, **settings: Any) -> Case:
    return Case(op, label, dict(x=x), settings, **(more or {}))


PADS = (
    _map("reflection_pad", "minimal", (1, 2, 2, 1), pad=1),
    _map("reflection_pad", "ragged", (2, 7, 5, 3), pad=2),
    _map("reflection_pad", "non-contiguous", (2, 6, 9, 4), STRIDED, pad=3),
    _map("reflection_pad", "real", (1, 32, 32, 16), dict(full=dict(x=(1, 256, 256, 3))), pad=3),
    _map("reflection_pad", "degenerate", (1, 4, 6, 2), pad=3),  # pad = H-1
    _map("reflection_pad", "nothing", (1, 3, 4, 2), pad=0),
)

RESIZES = (
    _map("resize", "minimal", (1, 1, 1, 1), size=(2, 2), mode="nearest"),
    _map("resize", "ragged", (2, 5, 7, 3), size=(8, 3), mode="bilinear"),
    _map("resize", "non-contiguous", (2, 4, 5, 3), STRIDED, size=(8, 10), mode="bilinear"),
    _map("resize", "real", (1, 16, 16, 32), dict(full=dict(x=(1, 64, 64, 256))), size=(32, 32), mode="nearest"),
    _map("resize", "degenerate", (1, 1, 6, 2), size=(5, 1), mode="bilinear"),
    _map(
        "resize", "real-bilinear", (1, 16, 16, 32), dict(full=dict(x=(1, 64, 64, 256))), size=(32, 32), mode="bilinear"
    ),
    _map("resize", "nearest-down", (2, 9, 8, 3), size=(4, 3), mode="nearest"),
    _map("resize", "nearest-strided", (1, 5, 3, 2), STRIDED, size=(7, 9), mode="nearest"),
    _map("resize", "bilinear-down", (1, 12, 10, 2), size=(5, 4), mode="bilinear"),
    _map("resize", "same-size", (1, 4, 3, 2), size=(4, 3), mode="bilinear"),
)


def _five(op: str, real: Shape, full: Shape, degenerate: dict[str, Any], **settings: Any) -> tuple[Case, ...]:
    """The five labels for an op that works element by element on one map."""
    return (
        _map(op, "minimal", (1, 1, 1, 1), **settings),
        _map(op, "ragged", (2, 7, 5, 3), **settings),
        _map(op, "non-contiguous", (2, 5, 6, 4), STRIDED, **settings),
        _map(op, "real", real, dict(full=dict(x=full)), **settings),
        _map(op, "degenerate", (2, 5, 4, 3), degenerate, **settings),
    )


SCORES: tuple[Shape, Shape] = ((1, 30, 30, 1), (1, 30, 30, 1))

POINTWISE = (
    *_five("tanh", (1, 64, 64, 3), (1, 256, 256, 3), EXTREME),
    *_five("leaky_relu", (1, 32, 32, 16), (1, 128, 128, 64), TIES, slope=0.2),
    _map("leaky_relu", "relu", (2, 5, 4, 3), TIES, slope=0.0),
    *_five("dropout", (1, 16, 16, 32), (1, 8, 8, 512), TIES, p=0.5, key=0xDEADBEEF),
    _map("dropout", "rare", (2, 6, 5, 3), p=0.1, key=7),
    _map("dropout", "never", (2, 6, 5, 3), p=0.0, key=1),
)

LOSSES = (
    *_five("lsgan_loss", *SCORES, TIES, target=1.0),
    _map("lsgan_loss", "fake", (2, 6, 5, 1), target=0.0),
    *_five("bce_with_logits", *SCORES, EXTREME, target=1.0),
    _map("bce_with_logits", "fake", (2, 6, 5, 1), EXTREME, target=0.0),
    _map("bce_with_logits", "soft-label", (2, 6, 5, 1), TIES, target=0.9),
    *_five("hinge_loss", *SCORES, TIES, target=1.0),  # ties: scores of exactly 1, where the slope changes
    _map("hinge_loss", "fake", (2, 6, 5, 1), TIES, target=-1.0),
    Case("l1_loss", "minimal", dict(x=(1, 1, 1, 1), y=(1, 1, 1, 1))),
    Case("l1_loss", "ragged", dict(x=(2, 7, 5, 3), y=(2, 7, 5, 3))),
    Case("l1_loss", "non-contiguous", dict(x=(2, 5, 6, 4), y=(2, 5, 6, 4)), strided=True),
    Case(
        "l1_loss", "real", dict(x=(1, 64, 64, 3), y=(1, 64, 64, 3)), full=dict(x=(1, 256, 256, 3), y=(1, 256, 256, 3))
    ),
    *_five("mean", *SCORES, TIES, weight=-1.0),
    *(
        _map(op, "weighted", (2, 6, 5, 1), weight=0.3, target=1.0)
        for op in ("lsgan_loss", "bce_with_logits", "hinge_loss")
    ),
    Case("l1_loss", "weighted", dict(x=(2, 5, 4, 3), y=(2, 5, 4, 3)), dict(weight=10.0)),
    Case("l1_loss", "degenerate", dict(x=(2, 5, 4, 3), y=(2, 5, 4, 3)), values="ties"),
)

JOINS = (
    Case("concat", "minimal", dict(x=(1, 1, 1, 1), y=(1, 1, 1, 1))),
    Case("concat", "ragged", dict(x=(2, 4, 3, 2), y=(2, 4, 3, 5), z=(2, 4, 3, 1))),
    Case("concat", "non-contiguous", dict(x=(2, 3, 4, 3), y=(2, 3, 4, 2)), strided=True),
    Case("concat", "real", dict(x=(1, 32, 32, 16), y=(1, 32, 32, 16)),
         full=dict(x=(1, 128, 128, 64), y=(1, 128, 128, 64))),
    Case("concat", "degenerate", dict(x=(2, 3, 4, 5))),  # nothing to join
    Case("concat", "batch", dict(x=(1, 3, 4, 2), y=(3, 3, 4, 2)), dict(axis=0)),
    Case("concat", "rows", dict(x=(2, 3, 4, 2), y=(2, 5, 4, 2)), dict(axis=1)),
)  # fmt: skip

SUMS = (
    Case("add", "minimal", dict(x=(1,), y=(1,))),
    Case("add", "ragged", dict(x=(2, 7, 5, 3), y=(2, 7, 5, 3), z=(2, 7, 5, 3))),
    Case("add", "non-contiguous", dict(x=(2, 5, 6, 4), y=(2, 5, 6, 4)), strided=True),
    Case("add", "real", dict(x=(1, 32, 32, 16), y=(1, 32, 32, 16)),
         full=dict(x=(1, 64, 64, 256), y=(1, 64, 64, 256))),
    Case("add", "degenerate", dict(x=(2, 3))),  # nothing to add
    Case("add", "many", {f"x{i}": (3, 5) for i in range(11)}),  # more than one launch takes
)  # fmt: skip

PARTS = (
    _map("batch_slice", "minimal", (1, 1, 1, 1), start=0, stop=1),
    _map("batch_slice", "ragged", (5, 7, 5, 3), start=1, stop=4),
    _map("batch_slice", "non-contiguous", (3, 5, 6, 4), STRIDED, start=0, stop=2),
    _map("batch_slice", "real", (4, 16, 16, 3), dict(full=dict(x=(4, 256, 256, 3))), start=2, stop=3),
    _map("batch_slice", "degenerate", (3, 4, 3, 2), start=0, stop=3),  # all of it
)

CASES = (
    *CONVOLUTIONS, *TRANSPOSED_CONVOLUTIONS, *FUSED_BLOCKS, *ENLARGING_BLOCKS, *NORMS, *CONDITIONAL_NORMS, *PADS, *RESIZES, *POINTWISE, *LOSSES, *JOINS, *SUMS, *PARTS,
)  # fmt: skip

# Adam works in place on lists of parameters, outside the graph: see tests/test_optim.py. The other ops without a gradient
# are the image pool (tests/test_image_pool_kernel.py) and the conversion between precisions (tests/test_ops.py).
ADAM = (
    Case("adam", "minimal", dict(p0=(1,))),
    Case("adam", "ragged", dict(p0=(3, 3, 5, 7), p1=(7,), p2=(1, 1, 3, 2))),
    Case("adam", "non-contiguous", dict(p0=(3, 3, 2, 5), p1=(4, 5)), strided=True),
    Case("adam", "real", dict(p0=(3, 3, 32, 32), p1=(32,)), full=dict(p0=(3, 3, 256, 256), p1=(256,))),
    Case("adam", "degenerate", dict(p0=(4, 4), p1=(3,)), values="constant"),
)
