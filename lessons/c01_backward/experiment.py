"""The graph behind (x·x).mean(), with every value and every gradient, in the order in which `backward` visits it."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from autograd import Tensor
from lessons.parts import Part, Table, Widget


def graph(end: Tensor) -> list[Tensor]:
    """All tensors behind `end` that carry gradients, youngest first: the order of the walk."""
    found: list[Tensor] = []
    waiting = [end]
    while waiting:
        waiting.sort(key=lambda t: -1 if t.creator is None else t.creator.serial)
        tensor = waiting.pop()
        if any(tensor is t for t in found):
            continue
        found.append(tensor)
        if tensor.creator is not None and tensor.creator.inputs is not None:
            waiting += [t for t in tensor.creator.inputs if t is not None and t.requires_grad]
    return found


def show() -> list[Part]:
    """The walk as a table, and as a drawing."""
    x = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    end = (x * x).mean()
    tensors = graph(end)
    for tensor in tensors:
        tensor.retain_grad()
    made = [
        "given"
        if t.creator is None
        else t.creator.name + " of " + " and ".join(values(i) for i in t.creator.inputs or ())
        for t in tensors
    ]
    end.backward()
    rows = [(i, how, values(t), array(t.grad)) for i, (t, how) in enumerate(zip(tensors, made, strict=True), 1)]
    table = Table(
        "y = (x·x).mean() for x = [1, 2, 3]", ("visit", "made by", "value", "gradient dy/d(this)"), rows,
        "Read it downwards: `backward` starts at y, where the gradient is 1, and goes to the oldest tensor last.",
    )  # fmt: skip
    return [drawing(rows), table]


def values(tensor: Tensor | None) -> str:
    return "-" if tensor is None else array(tensor.data)


def array(a: Any) -> str:
    return np.array2string(np.asarray(a), precision=3, separator=", ")


def drawing(rows: list[tuple]) -> Widget:
    """A box for each tensor; values go right, gradients come back left."""
    boxes, width = [], 250
    for k, (visit, how, value, grad) in enumerate(reversed(rows)):
        left = 10 + k * width
        boxes.append(
            f'<g transform="translate({left},20)"><rect width="200" height="100" rx="10" fill="none" stroke="var(--rule)" stroke-width="2"/>'
            f'<text x="12" y="24">{escape(how.partition(" of ")[0])}, visited {visit}.</text>'
            f'<text x="12" y="54" style="fill:var(--c0);font-size:15px">{escape(value)}</text>'
            f'<text x="12" y="84" style="fill:var(--c1);font-size:15px">{escape(grad)}</text></g>'
        )
        if k:
            a, b = left - width + 204, left - 4
            boxes.append(f'<path d="M{a} 66 H{b} m-7 -5 l7 5 l-7 5" fill="none" stroke="var(--c0)" stroke-width="2"/>')
            boxes.append(f'<path d="M{b} 98 H{a} m7 -5 l-7 5 l7 5" fill="none" stroke="var(--c1)" stroke-width="2"/>')
    svg = f'<div class="scroll"><svg style="min-width:640px;width:100%" viewBox="0 0 {len(rows) * width} 130" role="img" aria-label="The graph">{"".join(boxes)}</svg></div>'
    key = '<div class="key"><span style="--k:var(--c0)">values, forward</span><span style="--k:var(--c1)">gradients, backward</span></div>'
    return Widget(
        "Forward in blue, backward in orange",
        key + svg,
        "",
        None,
        "x -> x·x -> sum -> times 1/3; gradients come back the same way",
    )
