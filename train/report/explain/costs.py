"""The graph of the step with its costs: lines that fold, by turn, direction, network, block and op."""

from __future__ import annotations

from html import escape

from train.evaluation.explained_step import Explained
from train.files.sizes import size_text
from train.report.explain.figures import lettered
from train.report.explain.tree import Branch, tree

COLUMNS = ("output", "parameters", "MMAC forward", "MMAC backward", "kept", "ms forward", "ms backward")


def section(e: Explained) -> str:
    """Both turns, opened down to the networks."""
    turns = tree(e)
    longest = max(turn.forward + turn.backward for turn in turns)
    head = "".join(f"<span>{c}</span>" for c in COLUMNS)
    lines = "".join(branch(turn, 0, longest) for turn in turns)
    return f'<div class="line head" aria-hidden="true"><span>graph</span>{head}</div>{lines}'


def computed(e: Explained) -> str:
    """By what, in words: times are of this."""
    return "of the references in NumPy" if e.references else "of the CPU’s kernels"


def branch(b: Branch, depth: int, longest: float) -> str:
    """A line and, folded below it, its parts."""
    line = (
        f'<span class="what"><b>{lettered(b.title)}</b> <small>{escape(b.about)}</small>'
        f'<i class="time" style="width:{100 * (b.forward + b.backward) / longest:.1f}%"></i></span>'
        + "".join(f'<span data-is="{c}">{v}</span>' for c, v in zip(COLUMNS, numbers(b), strict=True))
    )
    role = "learns" if b.about == "learns" else "frozen" if b.about == "frozen" else ""
    if not b.children:
        return f'<div class="line leaf {b.kind} {role}" style="--d:{depth}">{line}</div>'
    inner = "".join(branch(child, depth + 1, longest) for child in b.children)
    opened = " open" if b.kind in ("turn", "direction") else ""
    return f'<details class="{b.kind}"{opened}><summary class="line {b.kind} {role}" style="--d:{depth}">{line}</summary>{inner}</details>'


def numbers(b: Branch) -> tuple[str, ...]:
    """The columns."""
    shape = (
        "×".join(map(str, b.shape[1:] or b.shape))
        if b.kind in ("network", "block", "op") and b.title != "losses"
        else ""
    )
    return (
        shape or "", f"{b.parameters:,}" if b.parameters else "", millions(b.macs), millions(b.backward_macs),
        size_text(b.saved) if b.saved else "", milliseconds(b.forward), milliseconds(b.backward),
    )  # fmt: skip


def millions(macs: int) -> str:
    return f"{macs / 1e6:,.1f}" if macs else ""


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}" if seconds else ""
