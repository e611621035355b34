"""What an experiment shows: tables, charts, pictures and widgets, each as HTML for a page and as text for a terminal."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from lessons import markdown

COLOURS = 6
"""--c0 … --c5 of style.css."""


class Part:
    """Something to look at."""

    def html(self) -> str:
        raise NotImplementedError

    def text(self) -> str:
        raise NotImplementedError


def card(title: str, inner: str, note: str = "") -> str:
    """A box of the page."""
    below = f"<p>{markdown.inline(note)}</p>" if note else ""
    return f'<section class="card"><h3>{markdown.inline(title)}</h3>{inner}{below}</section>'


def shown(value: Any) -> str:
    """A number as short as is honest."""
    if isinstance(value, float | np.floating):
        value = float(value)
        return f"{value:.2g}" if value and not 1e-3 <= abs(value) < 1e5 else f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)


@dataclass
class Words(Part):
    """A paragraph, in Markdown."""

    markdown: str

    def html(self) -> str:
        return markdown.html(self.markdown)

    def text(self) -> str:
        return self.markdown


@dataclass
class Table(Part):
    """Rows under columns; the first column names the row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""

    def html(self) -> str:
        head = "".join(f"<th>{markdown.inline(c)}</th>" for c in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{markdown.inline(shown(v))}</td>" for v in row) + "</tr>" for row in self.rows
        )
        inner = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        return card(self.title, inner, self.note)

    def text(self) -> str:
        cells = [[*map(str, self.columns)], *([shown(v) for v in row] for row in self.rows)]
        wide = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = [
            "  ".join([row[0].ljust(wide[0]), *(v.rjust(w) for v, w in zip(row[1:], wide[1:], strict=True))])
            for row in cells
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines), *([self.note] if self.note else [])])


@dataclass
class Lines(Part):
    """Curves y(x), one colour each; `x` is common to all, or one line for each name. `log` is "", "x", "y" or "xy".

    Lists or arrays. In a terminal: a few points of each.
    """

    title: str
    x: Any
    series: Mapping[str, Any]
    across: str = ""
    log: str = ""
    note: str = ""
    top: float | None = None  # of the y axis
    square: bool = False  # both axes from -top to top

    def html(self) -> str:
        W, H, left, low = (420, 420, 40, 34) if self.square else (640, 260, 52, 34)
        fx, fy = (math.log10 if axis in self.log else float for axis in "xy")
        xs = {name: [fx(v) for v in self.across_of(name)] for name in self.series}
        ys = {
            name: [fy(v) if v > 0 or "y" not in self.log else None for v in line] for name, line in self.series.items()
        }
        known = [v for line in ys.values() for v in line if v is not None and math.isfinite(v)]
        y0, y1 = min(known), max(known) if self.top is None else fy(self.top)
        x0, x1 = min(map(min, xs.values())), max(map(max, xs.values()))
        if self.square:
            x0, x1, y0, y1 = -float(self.top or 1), float(self.top or 1), -float(self.top or 1), float(self.top or 1)
        y0, y1 = (y0 - 0.5, y1 + 0.5) if y0 == y1 else (y0 - 0.04 * (y1 - y0), y1 + 0.04 * (y1 - y0))

        def px(v: float) -> float:
            return left + (v - x0) / (x1 - x0) * (W - left - 10)

        def py(v: float) -> float:
            return H - low - (min(v, y1) - y0) / (y1 - y0) * (H - low - 10)

        out = []
        for v in ticks(y0, y1, "y" in self.log):
            out.append(f'<line class="axis" x1="{left}" x2="{W - 10}" y1="{py(v):.1f}" y2="{py(v):.1f}"/>')
            out.append(f'<text x="{left - 6}" y="{py(v) + 4:.1f}" text-anchor="end">{tick(v, "y" in self.log)}</text>')
        for v in ticks(x0, x1, "x" in self.log):
            out.append(
                f'<text x="{px(v):.1f}" y="{H - low + 16}" text-anchor="{"end" if px(v) > W - 24 else "middle"}">{tick(v, "x" in self.log)}</text>'
            )
        out.append(f'<text x="{W - 10}" y="{H - 2}" text-anchor="end">{escape(self.across)}</text>')
        for i, (name, line) in enumerate(ys.items()):
            dots = " ".join(
                f"{px(a):.1f},{py(b):.1f}"
                for a, b in zip(xs[name], line, strict=True)
                if b is not None and math.isfinite(b)
            )
            out.append(f'<polyline points="{dots}" fill="none" stroke="var(--c{i % COLOURS})" stroke-width="2"/>')
        key = "".join(f'<span style="--k:var(--c{i % COLOURS})">{escape(name)}</span>' for i, name in enumerate(ys))
        svg = f'<svg class="chart{" square" if self.square else ""}" viewBox="0 0 {W} {H}" role="img" aria-label="{escape(self.title)}">{"".join(out)}</svg>'
        return card(self.title, f'<div class="key">{key}</div>{svg}', self.note)

    def across_of(self, name: str) -> Sequence[float]:
        """x of one curve."""
        return self.x[name] if isinstance(self.x, Mapping) else self.x

    def text(self) -> str:
        if isinstance(self.x, Mapping):
            ends = [(name, f"{self.x[name][-1]:.3g}", f"{line[-1]:.3g}") for name, line in self.series.items()]
            return Table(self.title, ("ends at", "x", "y"), ends, self.note).text()
        picks = np.unique(np.linspace(0, len(self.x) - 1, 7).round().astype(int))
        rows = [(name, *(f"{line[i] + 0.0:.3g}" for i in picks)) for name, line in self.series.items()]
        return Table(self.title, (self.across or "x", *(f"{self.x[i]:.3g}" for i in picks)), rows, self.note).text()


def ticks(low: float, high: float, log: bool) -> list[float]:
    """Round numbers from low to high; with `log` both are exponents."""
    if log:
        if high - low < 2:
            between = (e + math.log10(m) for e in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5))
            return [v for v in between if low <= v <= high]
        step = max(1, round((high - low) / 6))
        return [float(v) for v in range(math.ceil(low), math.floor(high) + 1, step)]
    raw = (high - low) / 5
    unit = 10 ** math.floor(math.log10(raw))
    step = min((m * unit for m in (1, 2, 5, 10)), key=lambda s: abs(s - raw))
    return [round(v * step, 10) for v in range(math.ceil(low / step), math.floor(high / step) + 1)]


def tick(v: float, log: bool) -> str:
    return f"{10**v:.3g}" if log else f"{v:g}"


@dataclass
class Pictures(Part):
    """Arrays [H,W] or [H,W,3] side by side, each under its name; values from `low` to `high`."""

    title: str
    pictures: Mapping[str, np.ndarray]
    low: float = 0.0
    high: float = 1.0
    scale: int = 8
    note: str = ""

    def html(self) -> str:
        figures = []
        for name, picture in self.pictures.items():
            pixels = self.bytes(picture)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "png")
            code = base64.b64encode(buffer.getvalue()).decode()
            wide = pixels.shape[1] * self.scale
            figures.append(
                f'<figure style="margin:0"><img class="pixels" width="{wide}" alt="{escape(name)}" '
                f'src="data:image/png;base64,{code}"><small>{escape(name)}</small></figure>'
            )
        return card(self.title, f'<div class="row">{"".join(figures)}</div>', self.note)

    def bytes(self, picture: np.ndarray) -> np.ndarray:
        share = (np.asarray(picture, np.float64) - self.low) / (self.high - self.low)
        return (255 * share.clip(0, 1)).round().astype(np.uint8)

    def text(self) -> str:
        shades, out = " .:-=+*#%@", [self.title]
        for name, picture in self.pictures.items():
            gray = self.bytes(picture).reshape(*np.shape(picture)[:2], -1).mean(2)
            step = max(1, math.ceil(gray.shape[1] / 36))
            out += [name, *("".join(2 * shades[int(v) * 9 // 255] for v in line[::step]) for line in gray[::step])]
        return "\n".join([*out, *([self.note] if self.note else [])])


@dataclass
class Widget(Part):
    """HTML and a script of its own, which finds `data` as a constant of that name; `words` stand for it in a terminal."""

    title: str
    body: str
    script: str
    data: Any
    words: str
    style: str = ""
    note: str = field(default="")

    def html(self) -> str:
        data = json.dumps(self.data, separators=(",", ":")).replace("</", "<\\/")
        inner = f"<style>{self.style}</style>{self.body}<script>(() => {{ const data = {data};\n{self.script} }})()</script>"
        return card(self.title, inner, self.note)

    def text(self) -> str:
        return self.words
