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

from train.models.quantities import Quantity
from train.report.summary import Curve, Series, Summary

SCORES = {"ssim", "retrieval", "distance"}  # kinds of records that few steps have, and many runs not at all

# Colours that stand for a variable of the page's style, so that one picture serves light and dark.
INK, RULE, LINES = "#010101", "#020202", ("#030303", "#040404")
VARIABLES = {INK: "var(--soft)", RULE: "var(--rule)", LINES[0]: "var(--first)", LINES[1]: "var(--second)"}


def cards(summary: Summary, charts: Sequence[Quantity]) -> list[str]:
    """One HTML card per chart: its curves, their last values, and what a learner may expect of them."""
    return [card for quantity in (*charts, *COMMON) if (card := _card(summary, *quantity))]


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


def _card(summary: Summary, title: str, keys: Sequence[str], text: str, even: float | None) -> str:
    curves = {key: summary.curve(key) for key in keys}
    shown = {key: curve for key, curve in curves.items() if not curve.empty}
    bad = {key: curve for key, curve in curves.items() if curve.missing}
    scores = keys[0].partition("_")[0] in SCORES
    if (summary.step or scores) and not shown and not bad:
        return ""  # this run has no such quantity, or weighs it with 0
    exact = scores or keys == ("lr",)  # nothing in it is to be smoothed
    last = {key: curve.value if exact else float(smooth(curve)[1][-1]) for key, curve in shown.items()}
    key_line = "".join(f"<span>{key} <b>{value:.3g}</b></span>" for key, value in last.items())
    notes = ""
    for key, curve in bad.items():
        count = f"{curve.missing:,} steps, first in" if curve.missing > 1 else ""
        notes += f'<p class="warn">{key} was not a finite number in {count} step {curve.first_missing:,}.</p>'
    picture = draw(title, shown, even, exact) if shown else '<p class="soft">Nothing to draw yet.</p>'
    return (
        f'<section class="card chart"><h3>{title}</h3><div class="key">{key_line}</div>{picture}{notes}'
        f'<p class="soft">{escape(text)}</p></section>'
    )


def envelope(curve: Curve) -> tuple[Series, Series]:
    """Steps and values such that no spike is lost: of each stretch its lowest and its highest; single values as they are."""
    first, _, _, _, low, high = curve.table
    if curve.size == 1:
        return first, low
    return np.repeat(first, 2), np.stack([low, high], axis=1).ravel()


def smooth(curve: Curve) -> tuple[Series, Series]:
    """Steps and the trend there: the mean under a Gaussian, which does not lag."""
    first, last, n, total, _, _ = curve.table
    sigma = max(len(n) / 40, min(len(n) / 10, 4))  # in stretches
    reach = int(4 * sigma)  # less than half the curve: the window fits
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weight, value = (np.convolve(x, window, "same") if reach else x for x in (n, total))
    return (first + last) / 2, value / weight


def draw(
    label: str, curves: Mapping[str, Curve], even: float | None = None, exact: bool = False, below: str = "step"
) -> str:
    """One or two curves, none without a value, as an `<svg>` element named `label` for screen readers.

    `below` stands under the axis of steps.
    A dashed line marks the value `even`. `exact` draws the data alone, without a trend. The picture is as high as 99 %
    of what is drawn: higher spikes leave it.
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
        for colour, curve in zip(LINES, curves.values(), strict=False):
            raw, trend = envelope(curve), smooth(curve)
            if exact:
                first, last, n, total, _, _ = curve.table
                trend = (first + last) / 2, total / n
            else:
                axes.plot(*raw, color=colour, alpha=0.2, linewidth=0.8)
            axes.plot(
                *trend,
                color=colour,
                linewidth=2,
                zorder=3,
                marker="o" if len(trend[0]) < (40 if exact else 3) else "",
                markersize=4,
            )
            seen = np.concatenate([raw[1], trend[1]])
            high, low = max(high, np.quantile(seen, 0.99), trend[1].max()), min(low, np.quantile(seen, 0.01))
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
