"""The curves of the report: what they mean, and how they are drawn, as inline SVG.

matplotlib is loaded only when one is drawn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.models.quantities import Quantity

Series = NDArray[np.float64]
SCORES = {"ssim", "retrieval", "distance"}  # kinds of records that few steps have, and many runs not at all
POINTS = 1000  # at most so many of a curve are drawn, however long the run

# Colours that stand for a variable of the page's style, so that one picture serves light and dark.
INK, RULE, LINES = "#010101", "#020202", ("#030303", "#040404")
VARIABLES = {INK: "var(--soft)", RULE: "var(--rule)", LINES[0]: "var(--first)", LINES[1]: "var(--second)"}


def cards(history: Sequence[Mapping[str, Any]], charts: Sequence[Quantity]) -> list[str]:
    """One HTML card per chart: its curves, their last values, and what a learner may expect of them."""
    return [card for quantity in (*charts, *COMMON) if (card := _card(history, *quantity))]


COMMON: list[Quantity] = [
    *(
        (
            f"What {disc} says",
            (f"{disc}_real", f"{disc}_fake"),
            (
                f"The mean score that {disc} gives to real pictures of {domain} and to fakes. Apart: it can tell them. "
                "On top of each other: it cannot, or no longer tries; the doctor looks which."
            ),
            None,
        )
        for disc, domain in (("D_A", "B"), ("D_B", "A"))
    ),
    (
        "Length of the gradients",
        ("grad_G", "grad_D"),
        (
            "How steeply the losses fall for each player's weights. Near 0, that player no longer learns; leaps of many "
            "times the usual come before a run breaks down, and a smaller --lr helps."
        ),
        None,
    ),
    (
        "Learning rate",
        ("lr",),
        "How far Adam may move each weight in a step. Held, then lowered, so that both players come to rest.",
        None,
    ),
    (
        "Time per step, seconds",
        ("seconds", "wait"),
        (
            "Of a whole step, and of the part spent waiting for images. If that part is large, raise --num_threads "
            "or store the images smaller."
        ),
        None,
    ),
    (
        "SSIM on test pairs",
        ("ssim_A", "ssim_B"),
        "Likeness to the true partners, which training never sees; 1 is equal. Written every --eval_freq epochs.",
        None,
    ),
    (
        "Retrieval on test pairs",
        ("retrieval_A", "retrieval_B"),
        "How often the true partner is the nearest of all test pictures; 1 is always.",
        None,
    ),
    (
        "Domain distance",
        ("distance_A", "distance_B"),
        (
            "How far the translated test pictures are from the target's training pictures, as a small classifier of the "
            "two domains sees them (not FID). 0: no difference. Should fall. Written every --eval_freq epochs."
        ),
        None,
    ),
]
"""The charts that every run has, of what its records hold."""


def _card(history: Sequence[Mapping[str, Any]], title: str, keys: Sequence[str], text: str, even: float | None) -> str:
    rows = [r for r in history if any(key in r for key in keys)]  # not every step has every number
    bad = {key: [r["step"] for r in rows if key in r and r[key] is None] for key in keys}
    series = {key: values for key in keys if np.nan_to_num(values := column(rows, key)).any()}
    scores = keys[0].partition("_")[0] in SCORES
    if (history or scores) and not series and not any(bad.values()):
        return ""  # this run has no such quantity, or weighs it with 0
    steps = column(rows, "step")
    exact = scores or keys == ("lr",)  # nothing in it is to be smoothed
    last = {key: values[-1] if exact else _last(steps, values) for key, values in series.items()}
    key_line = "".join(f"<span>{key} <b>{value:.3g}</b></span>" for key, value in last.items())
    notes = ""
    for key, at in bad.items():
        if at:
            count = f"{len(at):,} steps, first in" if len(at) > 1 else ""
            notes += f'<p class="warn">{key} was not a finite number in {count} step {at[0]:,}.</p>'
    picture = draw(title, steps, series, even, exact) if series else '<p class="soft">Nothing to draw yet.</p>'
    return (
        f'<section class="card chart"><h3>{title}</h3><div class="key">{key_line}</div>{picture}{notes}'
        f'<p class="soft">{escape(text)}</p></section>'
    )


def _last(steps: np.ndarray, values: np.ndarray) -> float:
    trend = smooth(steps, values)[1]
    return float(trend[np.isfinite(trend)][-1])


def column(history: Sequence[Mapping[str, Any]], key: str) -> Series:
    """The values under `key`, NaN where a record has none or null."""
    return np.array([np.nan if record.get(key) is None else record[key] for record in history], np.float64)


def envelope(x: Series, y: Series) -> tuple[Series, Series]:
    """The raw data in at most POINTS points: of each stretch its lowest and its highest, so that no spike is lost."""
    stretch = -(-2 * len(x) // POINTS)  # points per pair
    if stretch <= 2:
        return x, y
    pad = -len(x) % stretch
    rows = np.pad(y, (0, pad), constant_values=np.nan).reshape(-1, stretch)  # [pairs,stretch]
    none = np.isnan(rows).all(axis=1)
    low = np.where(none, np.nan, np.where(np.isnan(rows), np.inf, rows).min(axis=1))
    high = np.where(none, np.nan, np.where(np.isnan(rows), -np.inf, rows).max(axis=1))
    return np.repeat(x[::stretch], 2), np.stack([low, high], axis=1).ravel()


def smooth(x: Series, y: Series) -> tuple[Series, Series]:
    """The trend in at most POINTS points: the mean under a Gaussian, which does not lag, over the values that exist."""
    stretch = max(1, -(-len(x) // POINTS))
    starts = np.arange(0, len(x), stretch)
    known = np.isfinite(y)
    total = np.add.reduceat(np.where(known, y, 0.0), starts)
    count = np.add.reduceat(known.astype(np.float64), starts)
    sigma = max(len(starts) / 40, min(len(starts) / 10, 4))  # in points
    reach = int(4 * sigma)  # less than half the curve: the window fits
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weight = np.convolve(count, window, "same") if reach else count
    value = np.convolve(total, window, "same") if reach else total
    return x[starts], np.divide(value, weight, out=np.full(len(starts), np.nan), where=weight > 1e-12)


def draw(
    label: str,
    steps: Series,
    series: Mapping[str, Series],
    even: float | None = None,
    exact: bool = False,
    below: str = "step",
) -> str:
    """One or two curves over `steps` `[n]`, n >= 1, as an `<svg>` element named `label` for screen readers.

    `below` stands under the axis of `steps`.
    A dashed line marks the value `even`. `exact` draws the data alone, without a trend. The picture is as high as 99 %
    of the data: higher spikes leave it.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text, in the page's font
        "svg.hashsalt": label,
        "font.size": 11,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "path.simplify_threshold": 0.5,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(4.5, 2.5), layout="constrained")  # inches of 72 units
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        high, low = 0.0 if even is None else even, 0.0
        for colour, values in zip(LINES, series.values(), strict=False):
            trend = (steps, values) if exact else smooth(steps, values)
            if not exact:
                axes.plot(*envelope(steps, values), color=colour, alpha=0.2, linewidth=0.8)
            axes.plot(
                *trend,
                color=colour,
                linewidth=2,
                zorder=3,
                marker="o" if len(steps) < (40 if exact else 3) else "",
                markersize=4,
            )
            seen = np.concatenate([values[np.isfinite(values)], trend[1][np.isfinite(trend[1])]])
            if len(seen):
                high, low = max(high, np.quantile(seen, 0.99), np.nanmax(trend[1])), min(low, np.quantile(seen, 0.01))
        if even is not None:
            axes.axhline(even, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_ylim(low * 1.08, high * 1.08 if high > low else low + 1)
        axes.margins(x=0.01)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel(below)
        axes.xaxis.label.set_color(INK)
        axes.grid(axis="y", color=RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|[xy]tick)_\d+"', "", svg
    )  # one page, many charts
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg role="img" aria-label="{label}" \1>', svg, count=1)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return re.sub(r"\n\s*", "\n", svg)
