"""How near are the translated pictures to the true ones? For test sets whose pairs are known; training never sees them.

Never trust L1 alone. A model that ignores its input and always answers with the *mean image* is close to everything
and beats most honest translations on L1 (and on PSNR, its cousin), though it shows nothing. So every score here stands
beside two baselines, the untouched input and the mean image, and beside two scores that a blur cannot win:
SSIM compares local structure, and retrieval asks whether the true partner can be found again among all test images.

Images are float arrays in [-1, 1]; every score is computed in the scale [0, 1], in which others report them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.floating]
Scores = dict[str, dict[str, float]]  # {"model": {"l1": …, "ssim": …, "psnr": …, "retrieval": …}, "mean": …}

BETTER = {
    "l1": "lower", "ssim": "higher", "psnr": "higher", "retrieval": "higher",  # here
    "distance": "lower",  # train/evaluation/domain_distance.py
    "fid": "lower", "kid": "lower",  # train/evaluation/inception.py
    "pixel_accuracy": "higher", "class_accuracy": "higher", "class_iou": "higher",  # train/evaluation/label_scores.py
}  # fmt: skip
"""Every score and which way is better, in the order in which tables show them."""


def l1(x: Array, y: Array) -> float:
    """Mean absolute difference of two images `[H,W,C]` or batches `[N,H,W,C]`; 0 is equal, 1 is black against white."""
    return float(np.mean([np.abs(a - b).mean() for a, b in _each(x, y)]))


def psnr(x: Array, y: Array) -> float:
    """Peak signal-to-noise ratio in dB of `[H,W,C]` or `[N,H,W,C]`: 10 log10(1 / mean squared error), mean over images.

    Infinite if an image equals its partner exactly.
    """
    with np.errstate(divide="ignore"):
        return float(np.mean([-10 * np.log10(np.square(a - b).mean()) for a, b in _each(x, y)]))


def ssim(x: Array, y: Array) -> float:
    """Structural similarity of `[H,W,C]` or `[N,H,W,C]`, sides of 11 or more; 1 is equal, about 0 is unrelated.

    Wang et al. 2004 with the usual constants: an 11x11 Gaussian window of sigma 1.5, K1 = .01, K2 = .03, taken where
    the window fits whole; mean over places, channels and images.
    """
    return float(np.mean([_ssim_one(a, b) for a, b in _each(x, y)]))


def _each(x: Array, y: Array) -> Iterator[tuple[Array, Array]]:
    """The images of both, two by two, as float64 `[H,W,C]` in [0, 1]; one at a time, which bounds the memory."""
    if x.shape != y.shape or x.ndim not in (3, 4):
        raise ValueError(f"wanted two arrays of one shape, [H,W,C] or [N,H,W,C], got {x.shape} and {y.shape}")
    for a, b in zip(x, y, strict=True) if x.ndim == 4 else [(x, y)]:
        yield (a.astype(np.float64) + 1) / 2, (b.astype(np.float64) + 1) / 2


def _ssim_one(x: Array, y: Array) -> float:
    if min(x.shape[:2]) < 11:
        raise ValueError(f"ssim needs images of at least 11x11 pixels, got {x.shape[0]}x{x.shape[1]}")
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(z: Array) -> Array:  # separable: along H, then along W
        z = sliding_window_view(z, 11, axis=0) @ window  # [H-10,W,C]
        return sliding_window_view(z, 11, axis=1) @ window  # [H-10,W-10,C]

    c1, c2 = 0.01**2, 0.03**2
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my  # safe in float64
    return float(np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))))


def retrieval(fakes: Array, truths: Array) -> float:
    """How often the true partner is the nearest of all test images: a fraction; guessing gives 1/N.

    `fakes[i]` belongs to `truths[i]`, both `[N,H,W,C]`. Nearest in the Euclidean distance between all pixels.
    """
    if fakes.shape != truths.shape:
        raise ValueError(f"retrieval compares arrays of one shape, got {fakes.shape} and {truths.shape}")
    centre = truths.mean(axis=0)  # shifting both by one image keeps all distances and saves digits
    f, t = ((z - centre).reshape(len(z), -1) for z in (fakes, truths))  # [N,HWC]
    distance = (t * t).sum(axis=1) - 2 * f @ t.T  # [N fakes,N truths]; |f|^2 is the same for every truth: left out
    return float(np.mean(np.diagonal(distance) <= distance.min(axis=1)))


def paired_scores(
    fakes: Sequence[Array], inputs: Sequence[Array], truths: Sequence[Array], mean: Array | None = None
) -> Scores:
    """Scores of translations and of the two baselines on a paired test set: arrays `[N,H,W,C]`, or lists of `[H,W,C]`.

    `fakes[i]` is the translation of `inputs[i]`, whose true partner is `truths[i]`. `mean` `[H,W,C]` is the mean image of
    the target domain's *training* images: that of the truths would know them, and of one truth be it. Returns a dict for
    "model", "untouched" (the input itself; left out where its shape is not the truth's) and, where it is given, "mean", each
    with l1, ssim (unless a side is under 11), psnr and retrieval (unless the truths differ in size, or there is only one).
    """
    if not len(fakes) == len(inputs) == len(truths) or not len(truths):
        raise ValueError(f"wanted as many inputs as truths, and at least one; got {len(inputs)} and {len(truths)}")
    answers = {"model": fakes}
    if all(x.shape == truth.shape for x, truth in zip(inputs, truths, strict=True)):
        answers["untouched"] = inputs
    one_size = len({truth.shape for truth in truths}) == 1
    if mean is not None:
        answers["mean"] = [mean] * len(truths)
    scores = {"l1": l1, "psnr": psnr}
    if min(min(truth.shape[:2]) for truth in truths) >= 11:
        scores["ssim"] = ssim
    table: Scores = {}
    for who, answer in answers.items():
        pairs = list(zip(answer, truths, strict=True))
        table[who] = {name: float(np.mean([score(*pair) for pair in pairs])) for name, score in scores.items()}
        if one_size and len(truths) > 1:
            table[who]["retrieval"] = retrieval(np.stack(answer), np.stack(truths))
    return table


def present(scores: Scores) -> list[str]:
    """The metrics that some row of the table has, in the order of tables."""
    return [metric for metric in BETTER if any(metric in row for row in scores.values())]


def best(scores: Scores, metric: str) -> float:
    """The best value of `metric` over the model and its baselines; real pictures do not compete."""
    values = [row[metric] for who, row in scores.items() if metric in row and who != "real"]
    return (min if BETTER[metric] == "lower" else max)(values, default=float("nan"))


def as_loss(metric: str, value: float) -> float:
    """A score as a number that falls as the model improves and is at least 0, for schedules and for choosing the best."""
    if metric == "psnr":
        return float(10 ** (-value / 20))  # the root mean square error
    return value if BETTER[metric] == "lower" else 1 - value


ROWS = {"model": "this model", "untouched": "untouched input", "mean": "mean image", "real": "real, held out"}
COLUMNS = {
    "l1": "L1", "ssim": "SSIM", "psnr": "PSNR dB", "retrieval": "retrieval", "distance": "domain", "fid": "FID",
    "kid": "KID", "pixel_accuracy": "pixel acc", "class_accuracy": "class acc", "class_iou": "class IoU",
}  # fmt: skip
PERCENT = {"retrieval", "pixel_accuracy", "class_accuracy", "class_iou"}


def show(metric: str, value: float | None) -> str:
    """A score as people read it: shares in percent, PSNR and FID with one decimal, the rest with three; "-" for none."""
    if value is None:
        return "-"
    return f"{value:.0%}" if metric in PERCENT else f"{value:.1f}" if metric in ("psnr", "fid") else f"{value:.3f}"


def format_scores(scores: Scores, title: str, columns: Iterable[str] = ()) -> str:
    """A small table for the terminal; `title` names the direction, `columns` the metrics (default: all there are).

    Under each name stands which way is better; a star marks the best of the column.
    """
    columns = list(columns) or present(scores)
    width = max(len(title), *map(len, ROWS.values()))
    lines = [
        f"{title:{width}}" + "".join(f"{COLUMNS[m]:>11} " for m in columns),
        " " * width + "".join(f"{f'({BETTER[m]})':>11} " for m in columns),
    ]
    for who, row in scores.items():
        if not any(m in row for m in columns):
            continue
        marks = {m: "*" if who != "real" and row.get(m) == best(scores, m) else " " for m in columns}
        lines.append(f"{ROWS[who]:{width}}" + "".join(f"{show(m, row.get(m)):>11}{marks[m]}" for m in columns))
    return "\n".join(line.rstrip() for line in lines)
