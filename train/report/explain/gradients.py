"""Whose gradient moves the generators: by source, through the depth, and along the fake picture."""

from __future__ import annotations

import json
import math
from html import escape

import numpy as np

from train.evaluation.explained_step import Explained
from train.evaluation.gradient_sources import SOURCES, Share, cosine, joined, shares
from train.evaluation.overhearing import ENDS, LETTERS
from train.report.explain.figures import Figures, diverging, shrunk

W, H, LEFT, LOW, TOP, BAND = 620, 250, 58, 34, 12, 86  # of a chart, in its own units; BAND is the shares' height


def section(e: Explained, figures: Figures) -> str:
    """A card for each generator."""
    return "".join(card(e, figures, generator) for generator in e.model.players["g"])


def card(e: Explained, figures: Figures, generator: str) -> str:
    """Sums, depth, and the fakes."""
    sources = joined(e.pulls, generator)
    if not sources:
        return ""
    keys = [key for key in next(iter(sources.values()))]
    whole = shares(sources, keys)
    layers = [key for key in keys if key.endswith("weight")]
    depth = {key.removesuffix(".weight"): shares(sources, [key]) for key in layers}
    pairs = [(x, y) for i, x in enumerate(sources) for y in [*sources][i + 1 :]]
    angles = "".join(f"<li>{x} and {y}: <b>{cosine(sources[x], sources[y]):+.2f}</b></li>" for x, y in pairs)
    return (
        f'<section class="card"><h3>{LETTERS[generator]}, <code>{generator}</code></h3>{totals(whole)}'
        f'<p class="soft">Cosine of the angle between two gradients: +1 the same way, 0 at right angles, −1 against each other.</p>'
        f'<ul class="angles">{angles}</ul>{chart(generator, depth)}{along_the_fake(e, figures, generator)}</section>'
    )


def totals(whole: dict[str, Share]) -> str:
    """Length and share of each source in all weights together."""
    most = max(s.length for s in whole.values()) or 1.0
    rows = "".join(
        f'<div class="pull {source}"><span>{source}</span><i style="width:{100 * s.length / most:.1f}%"></i>'
        f"<span>length <b>{s.length:.3g}</b>, share <b>{s.share:.0%}</b></span></div>"
        for source, s in whole.items()
    )
    return f'<div class="pulls">{rows}</div>'


def chart(generator: str, depth: dict[str, dict[str, Share]]) -> str:
    """Above the lengths layer by layer, on a logarithmic scale; below the shares. A script reads out the layer pointed at."""
    names, sources = [*depth], [*next(iter(depth.values()))]
    known = [s.length for found in depth.values() for s in found.values() if s.length > 0]
    if not known:
        return ""
    low, high = math.floor(math.log10(min(known)) * 2) / 2, math.ceil(math.log10(max(known)) * 2) / 2
    high = max(high, low + 0.5)
    step = (W - LEFT - 10) / len(names)

    def x(i: int) -> float:
        return LEFT + (i + 0.5) * step

    def y(length: float) -> float:
        return TOP + (high - math.log10(max(length, 10**low))) / (high - low) * (H - TOP - LOW)

    out = []
    for exponent in np.arange(math.ceil(low), math.floor(high) + 1):
        out.append(
            f'<line class="axis" x1="{LEFT}" x2="{W - 10}" y1="{y(10.0**exponent):.1f}" y2="{y(10.0**exponent):.1f}"/>'
        )
        out.append(f'<text x="{LEFT - 6}" y="{y(10.0**exponent) + 4:.1f}" text-anchor="end">{10.0**exponent:g}</text>')
    for source in sources:
        dots = [(x(i), y(depth[name][source].length)) for i, name in enumerate(names)]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in dots)
        out.append(f'<polyline class="{source}" points="{line}"/>')
        out += [f'<circle class="{source}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>' for a, b in dots]
    base, unit = H + BAND - 12, (BAND - 16) / 1.2  # shares may go a little below 0 and above 1
    for i, name in enumerate(names):
        up, down = base - 0.1 * unit, base - 0.1 * unit
        for source in sources:
            height = depth[name][source].share * unit
            height = max(-0.1 * unit, min(height, 1.1 * unit))
            if height >= 0:
                up -= height
            edge = up if height >= 0 else down
            out.append(
                f'<rect class="{source}" x="{x(i) - 0.36 * step:.1f}" width="{0.72 * step:.1f}" y="{edge:.1f}" height="{abs(height):.1f}"/>'
            )
            down += abs(min(height, 0.0))
    out.append(f'<text x="{LEFT - 6}" y="{base - 0.1 * unit + 4:.1f}" text-anchor="end">0</text>')
    out.append(f'<text x="{LEFT - 6}" y="{base - 1.1 * unit + 4:.1f}" text-anchor="end">100%</text>')
    out.append(
        f'<text x="{LEFT}" y="{H - 12}">picture</text><text x="{W - 10}" y="{H - 12}" text-anchor="end">fake</text>'
    )
    out.append(f'<rect class="here" x="0" y="{TOP}" width="{step:.1f}" height="{H + BAND - TOP - 8}"/>')
    data = [
        [name, *([s, f"{depth[name][s].length:.3g}", f"{depth[name][s].share:.0%}"] for s in sources)] for name in names
    ]
    key = "".join(f'<span class="{s}">{s}</span>' for s in sources)
    return (
        f'<div class="depth" tabindex="0" data-left="{LEFT}" data-step="{step:.3f}" data-wide="{W}" '
        f"data-layers='{escape(json.dumps(data, separators=(',', ':')), quote=True)}' "
        f'aria-label="gradients of {generator} through its layers; arrow keys go from layer to layer">'
        f'<div class="key">{key}</div><p class="soft">Through the depth: the gradient’s length in each layer’s weights and, below it, each source’s share.</p>'
        f'<svg viewBox="0 0 {W} {H + BAND}" role="img" aria-hidden="true">{"".join(out)}</svg><p class="said" aria-live="polite"></p></div>'
    )


def along_the_fake(e: Explained, figures: Figures, generator: str) -> str:
    """Where in the fake each loss wants which change: minus the gradient, summed over the channels."""
    name, (start, *_) = next((name, ends) for name, ends in ENDS.items() if ends[2] == generator)
    fake = f"{LETTERS[generator]}({start})"
    shown = [f'<span class="fig">{figures.show(fake)}<small>{fake}</small></span>']
    for kind in ("G", "cycle"):
        pull = e.pulls.get(f"{kind}_{name}")
        if pull is None or pull.fake is None:
            continue
        wish = shrunk(-np.asarray(pull.fake[0], np.float64).sum(axis=2, keepdims=True), 128)[:, :, 0]
        reach = float(np.quantile(np.abs(wish), 0.99)) or 1.0
        label = SOURCES[kind]
        shown.append(
            f'<span class="fig">{figures.show(f"{fake} {kind}", diverging(wish, 0.0, reach), label)}<small>{label}</small></span>'
        )
    if len(shown) == 1:
        return ""
    return (
        f'<div class="chain">{"".join(shown)}</div><p class="soft">Minus the gradient along each pixel of {fake}: orange '
        "asks for a brighter pixel, blue for a darker one, to make that loss smaller.</p>"
    )
