"""Inside the networks: each layer's activations and weights as pictures, before and after the step."""

from __future__ import annotations

from html import escape

import numpy as np

from nn.module import Module
from train.evaluation.explained_step import Explained
from train.evaluation.look import looked_at
from train.evaluation.overhearing import LETTERS
from train.report.explain.figures import TILES, Figures, channels, diverging, filters, lettered, row, shrunk


def section(e: Explained, figures: Figures) -> str:
    """The four networks."""
    return "".join(network(e, figures, name) for name in e.model.networks())


def network(e: Explained, figures: Figures, name: str) -> str:
    """One network, its layers in the order of the forward."""
    modules = dict(e.model.networks()[name].named_modules())
    layers = "".join(
        layer(e, figures, name, path, modules[path], opened=name == "gen_ab" and i == 0)
        for i, path in enumerate(p for p in e.before.layers[name] if not any(True for _ in modules[p].children()))
    )
    count = sum(p.size for p in e.model.networks()[name].parameters())
    return (
        f'<details class="card inside"{" open" if name == "gen_ab" else ""}><summary><h3>{lettered(LETTERS[name])}, <code>{name}</code></h3>'
        f'<span class="soft">{count:,} weights, looking at {looked_at(name)}</span></summary>{layers}</details>'
    )


def layer(e: Explained, figures: Figures, name: str, path: str, module: Module, opened: bool) -> str:
    """What comes out of a layer and what it weighs: before, after, and the change."""
    before, after = e.before.layers[name][path], e.after.layers[name][path]  # [H,W,C]
    low, high = (float(np.quantile(before, q)) for q in (0.01, 0.99))
    moved = shrunk((after - before)[:, :, :TILES], 32)
    reach = float(np.abs(moved).max())
    change = row([diverging(moved[:, :, c], 0.0, reach) for c in range(moved.shape[2])], 255)
    parts = [
        strips(figures, f"{name} {path}", "activations", {
            "before": channels(before, low, high), "after": channels(after, low, high), f"change, at most {reach:.2g}": change,
        })
    ]  # fmt: skip
    key = f"{path}.weight"
    if key in e.before.weights[name]:
        was, now = e.before.weights[name][key], e.after.weights[name][key]
        if hasattr(module, "geometry") and "output_padding" in module.geometry:
            was, now = was.transpose(1, 0, 2, 3), now.transpose(1, 0, 2, 3)  # a transposed convolution has [C,K,R,S]
        most, step = float(np.abs(was).max()), float(np.abs(now - was).max())
        parts.append(
            strips(figures, f"{name} {path}", "weights", {
                "before": filters(was, most), "after": filters(now, most), f"change, at most {step:.2g}": filters(now - was, step),
            })
        )  # fmt: skip
    kind, shape = type(module).__name__, "×".join(map(str, before.shape))
    return (
        f'<details class="layer"{" open" if opened else ""}><summary><code>{escape(path)}</code> {kind} <span class="soft">{shape}</span></summary>'
        f"{''.join(parts)}</details>"
    )


def strips(figures: Figures, name: str, what: str, images: dict[str, np.ndarray]) -> str:
    """Rows of tiles with their names."""
    lines = []
    for i, (label, pixels) in enumerate(images.items()):
        key = f"{name} {what} {i}"
        shape = f"aspect-ratio: {pixels.shape[1]} / {pixels.shape[0]}; max-width: {min(pixels.shape[1] * 4, 900)}px"
        lines.append(
            f'<figure><figcaption>{what} {label}</figcaption><span class="strip" style="{shape}">'
            f"{figures.show(key, pixels, f'{what} of {name}, {label}')}</span></figure>"
        )
    return f'<div class="strips">{"".join(lines)}</div>'
