"""Rows as pictures: bars for contests, a roofline for kernels, curves for scaling."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import Row

SHADES = (
    "#4c72b0",
    "#a3bfe0",
    "#55a868",
    "#c44e52",
    "#8172b3",
    "#937860",
    "#ccb974",
    "#dd8452",
    "#d0d0d0",
)  # benchmarks/roof.py
OURS, OTHERS = "#c44e52", ("#4c72b0", "#64b5cd", "#55a868", "#8172b3", "#937860", "#8c8c8c", "#ccb974")


def colour(name: str, names: list[str]) -> str:
    """Ours always the same, the others in turn."""
    others = [n for n in names if n != "ours"]
    return OURS if name == "ours" else OTHERS[others.index(name) % len(OTHERS)]


def figure(columns: int, rows: int = 1, height: float = 3.2, sharey: Any = False) -> tuple[Any, Any]:
    """A matplotlib figure without a window, and its axes [rows][columns]."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(max(3.4 * columns, 6), height * rows), layout="constrained")
    axes = drawn.subplots(rows, columns, squeeze=False, sharey=sharey)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", alpha=0.3)
    return drawn, axes


def save(drawn: Any, path: Path) -> None:
    """Write .svg or .png and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    print(f"wrote {path}")


def machine(rows: list[Row]) -> str:
    """The figure's footnote."""
    about = rows[0]["machine"]
    return f"{about.get('gpu') or about['cpu']}, {about['cores']} cores, commit {about['commit']}, {about['date'][:10]}"


def contests(rows: list[Row]) -> Any:
    """Seconds (above) and peak memory (below) per work, one bar per contestant, range as a whisker."""
    timed = [row for row in rows if "seconds" in row]
    works = list(dict.fromkeys(row["work"] for row in timed))
    names = list(dict.fromkeys(row["provider"] for row in rows))
    drawn, axes = figure(max(len(works), 1), 2)
    for column, work in enumerate(works):
        mine = [row for row in timed if row["work"] == work]
        colours = [colour(row["provider"], names) for row in mine]
        medians = [row["seconds"]["median"] for row in mine]
        reach = [[row["seconds"][end] for row in mine] for end in ("low", "high")]
        whiskers = [[abs(m - r) for m, r in zip(medians, ends, strict=True)] for ends in reach]
        above, below = axes[:, column]
        bars = above.bar(range(len(mine)), medians, yerr=whiskers, color=colours, error_kw=dict(lw=1))
        above.bar_label(bars, [f"{m:.3g}" for m in medians], fontsize=8, padding=2)
        bars = below.bar(range(len(mine)), [row["peak_mb"] for row in mine], color=colours)
        below.bar_label(bars, [f"{row['peak_mb']:.0f}" for row in mine], fontsize=8, padding=2)
        above.set_title(f"{rows[0]['bench']}: {work}", fontsize=10)
        above.set_xticks([])
        above.margins(y=0.15)
        below.margins(y=0.15)
        below.set_xticks(range(len(mine)), [row["provider"] for row in mine], rotation=30, ha="right", fontsize=8)
    axes[0][0].set_ylabel("seconds")
    axes[1][0].set_ylabel("peak memory, MB")
    drawn.supxlabel(machine(rows), fontsize=7, color="gray")
    return drawn


def roofline(rows: list[Row]) -> Any:
    """GFLOP/s over FLOP per byte, under the machine's measured peaks; one panel each for forward and backward."""
    peaks = rows[0]["peaks"]
    names = list(dict.fromkeys(row["provider"] for row in rows))
    drawn, axes = figure(2, height=4.4)
    for ax, direction in zip(axes[0], ("forward", "backward"), strict=True):
        points = [row for row in rows if row["direction"] == direction and "seconds" in row and row["flops"]]
        for name in names:
            mine = [row for row in points if row["provider"] == name]
            x = [row["flops"] / row["bytes"] for row in mine]
            y = [row["flops"] / row["seconds"]["median"] / 1e9 for row in mine]
            ax.scatter(x, y, s=18, color=colour(name, names), label=name, alpha=0.8)
            if name == "ours":
                for row, at in zip(mine, zip(x, y, strict=True), strict=True):
                    ax.annotate(
                        row["work"].removesuffix("-real"), at, fontsize=5, xytext=(3, 3), textcoords="offset points"
                    )
        reach = [row["flops"] / row["bytes"] for row in points] or [1.0]
        line = [min(reach) / 2, peaks["gemm_gflops"] / peaks["copy_gbs"], max(max(reach) * 2, 100.0)]
        ax.plot(line, [min(peaks["gemm_gflops"], peaks["copy_gbs"] * i) for i in line], color="black", lw=1)
        ax.set(xscale="log", yscale="log", title=direction, xlabel="FLOP per byte (each operand once)")
        ax.grid(alpha=0.3)
    axes[0][0].set_ylabel("GFLOP/s (convolutions counted as the direct sum)")
    axes[0][0].legend(fontsize=7)
    drawn.supxlabel(machine(rows), fontsize=7, color="gray")
    return drawn


def scaling(rows: list[Row]) -> Any:
    """Step time (above) and peak memory (below) along each axis, with the slope that proportional cost would have."""
    from matplotlib.ticker import LogLocator

    timed = [row for row in rows if "seconds" in row]
    along = list(dict.fromkeys(row["axis"] for row in timed))
    names = list(dict.fromkeys(row["provider"] for row in timed))
    drawn, axes = figure(max(len(along), 1), 2, sharey="row")
    for column, axis in enumerate(along):
        for name in names:
            mine = sorted((r for r in timed if r["axis"] == axis and r["provider"] == name), key=lambda r: r["value"])
            x = [row["value"] for row in mine]
            y = [row["seconds"]["median"] for row in mine]
            style = dict(color=colour(name, names), marker="o", ms=3, label=name)
            axes[0][column].plot(x, y, **style)
            axes[1][column].plot(x, [row["peak_mb"] for row in mine], **style)
            if name == "ours" and y:
                scale = statistics.median(t / row["flops"] for t, row in zip(y, mine, strict=True))
                axes[0][column].plot(x, [scale * row["flops"] for row in mine], ":", color="gray", label="as FLOPs")
        for ax in axes[:, column]:
            ax.set(xscale="log", yscale="log")
            ticks = sorted({row["value"] for row in timed if row["axis"] == axis})
            ax.set_xticks(ticks, [str(t) for t in ticks], fontsize=8)
            ax.minorticks_off()
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
        axes[1][column].set_xlabel(rows_label(timed, axis))
    axes[0][0].set_ylabel("seconds per step")
    axes[1][0].set_ylabel("peak memory, MB")
    axes[0][0].legend(fontsize=8)
    drawn.supxlabel(machine(rows), fontsize=7, color="gray")
    return drawn


def ops(rows: list[Row]) -> Any:
    """What was measured at several sizes as lines, else all under the roof."""
    return (
        along(rows)
        if any("@" in row["work"] for row in rows) and len({r["work"] for r in rows}) > 1
        else roofline(rows)
    )


def along(rows: list[Row]) -> Any:
    """GB/s or GFLOP/s over the size: one panel for each case and pass, one line for each contestant."""
    timed = [row for row in rows if "seconds" in row]
    panels = list(dict.fromkeys((row["work"].partition("@")[0], row["direction"]) for row in timed))
    names = list(dict.fromkeys(row["provider"] for row in rows))
    columns = min(max(len(panels), 1), 3)
    drawn, axes = figure(columns, -(-max(len(panels), 1) // columns))
    for ax, (base, direction) in zip(axes.flat, panels, strict=False):
        mine = [r for r in timed if (r["work"].partition("@")[0], r["direction"]) == (base, direction)]
        shapes = list(dict.fromkeys(r["work"].partition("@")[2] for r in mine))
        unit = "GB/s" if mine[-1]["bound_by"] == "memory" else "GFLOP/s"
        for name in dict.fromkeys(r["provider"] for r in mine):
            line = [r for r in mine if r["provider"] == name]
            x = [shapes.index(r["work"].partition("@")[2]) for r in line]
            y = [r["gbs" if unit == "GB/s" else "gflops"] for r in line]
            ax.plot(x, y, color=colour(name, names), marker="o", ms=3, label=Path(name).name)
        ax.set(title=f"{base} {direction}", ylabel=unit, ylim=(0, None))
        ax.set_xticks(range(len(shapes)), shapes, fontsize=7)
    for ax in list(axes.flat)[len(panels) :]:
        ax.set_axis_off()
    axes[0][0].legend(fontsize=7)
    drawn.supxlabel(machine(rows), fontsize=7, color="gray")
    return drawn


def rows_label(rows: list[Row], axis: str) -> str:
    """What is varied, and what stays as it is."""
    fixed = next(row["fixed"] for row in rows if row["axis"] == axis)
    return f"{axis}\n({fixed})"


def shares(rows: list[Row]) -> Any:
    """Milliseconds of one step, one bar per op and phase that takes at least a thousandth of it."""
    rows = [row for row in rows if row["time"] >= 1e-3 * row["total"]]
    drawn, axes = figure(1, height=max(2.5, 0.28 * len(rows)))
    ax = axes[0][0]
    bars = ax.barh([f"{row['op']} {row['phase']}" for row in rows], [row["time"] * 1e3 for row in rows], color=OURS)
    ax.bar_label(bars, [f"{row['time'] / row['total'] / row['threads']:.1%}" for row in rows], fontsize=7, padding=2)
    ax.invert_yaxis()
    ax.tick_params(labelsize=7)
    ax.set_xlabel(f"ms of one step of {rows[0]['total'] * 1e3:.0f} ms ({rows[0]['work']})")
    drawn.supxlabel(machine(rows), fontsize=7, color="gray")
    return drawn


def parts(rows: list[Row]) -> Any:
    """What the cores' time of a step went into, one bar for each size."""
    drawn, axes = figure(2, height=1.2 + 0.5 * len(rows))
    for ax in axes.flat[1:]:
        ax.remove()
    ax = drawn.add_subplot(axes[0][0].get_gridspec()[0, :])
    axes[0][0].remove()
    left = [0.0] * len(rows)
    for part, shade in zip(rows[0]["ms"], SHADES, strict=True):
        widths = [100 * row["ms"][part] / row["wall"] / row["threads"] for row in rows]
        bars = ax.barh([row["work"] for row in rows], widths, left=left, color=shade, label=part)
        ax.bar_label(bars, [f"{w:.0f}" if w >= 3 else "" for w in widths], label_type="center", fontsize=8)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    ax.set(xlim=(0, 100), xlabel="% of the cores' time of a step")
    drawn.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    drawn.supxlabel(machine(rows), fontsize=7, color="gray")
    return drawn


DRAWINGS: dict[str, Callable[[list[Row]], Any]] = {
    "step": contests, "translate": contests, "kernels": ops, "profile": shares, "scaling": scaling,
    "roof": parts,
}  # fmt: skip
