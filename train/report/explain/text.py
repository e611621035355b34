"""The opened step for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from train.evaluation.explained_step import Draw, Explained
from train.evaluation.gradient_sources import cosine, joined, shares
from train.evaluation.loss_terms import terms
from train.evaluation.overhearing import LETTERS
from train.files.sizes import size_text
from train.report.explain.costs import computed
from train.report.explain.patches import field, outside_of
from train.report.explain.tree import Branch, tree


def text(e: Explained, title: str) -> str:
    """All sections."""
    parts = [title, forwards(e), turns(e), losses(e), pulls(e), pool(e), patches(e), costs(e)]
    same = "the same to the last bit" if e.same_bits else "NOT THE SAME"
    parts.append(f"Checked: the same step, unwatched, gives weights that are {same}.")
    return "\n\n".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """Columns, those of `words` to the left and the others to the right."""
    lines = [head, *rows]
    wide = [max(len(line[i]) for line in lines) for i in range(len(head))]
    placed = [
        [v.ljust(w) if i in words else v.rjust(w) for i, (v, w) in enumerate(zip(line, wide, strict=True))]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in placed)


def forwards(e: Explained) -> str:
    """What is computed from what."""
    rows = [
        (f.turn, f.network, "learns" if f.learns else "frozen",
         ", ".join(f"{n}{'' if on else ' (cut)'}" for n, on in zip(f.names, f.attached, strict=True)), ", ".join(f.made))
        for f in e.forwards
    ]  # fmt: skip
    return "Forwards; (cut): no gradient flows on from there\n" + table(
        ("turn", "network", "", "from", "makes"), rows, range(5)
    )


def turns(e: Explained) -> str:
    """Who learns and who is frozen, measured."""
    rows = []
    for name, turn in e.turns.items():
        for network in e.model.networks():
            learns = [f.learns for f in e.forwards if f.turn == name and f.network == network]
            role = ("learns" if any(learns) else "frozen") if learns else "absent"
            length = turn.gradient[network]
            rows.append((name, network, LETTERS[network], role, "–" if length is None else f"{length:.3g}", f"{turn.moved[network]:.2g}"))  # fmt: skip
    head = ("turn", "network", "", "", "gradient", "largest move of a weight")
    return "Who learns, who is frozen\n" + table(head, rows, range(4))


def losses(e: Explained) -> str:
    """Formula and value of each, and of all on the same pictures after the step."""
    rows = [(t.loss, f"{t.weight:g}", f"{t.mean:.4f}", f"{t.value:.4f}", t.formula) for t in terms(e)]
    out = "Losses\n" + table(("", "weight", "mean", "value", "of"), rows, (0, 4))
    rows2 = [(name, f"{value:.4f}", f"{e.after.losses[name]:.4f}") for name, value in e.before.losses.items() if name in e.after.losses]  # fmt: skip
    return out + "\n\nThe same pictures, before and after the step\n" + table(("", "before", "after"), rows2)


def pulls(e: Explained) -> str:
    """Each generator's gradient by its source."""
    out = []
    for generator in e.model.players["g"]:
        sources = joined(e.pulls, generator)
        if not sources:
            continue
        names, keys = list(sources), list(next(iter(sources.values())))
        rows = []
        for label, some in [("all", keys), *((key, [key]) for key in keys if key.endswith("weight"))]:
            found = shares(sources, some)
            rows.append((label, *(f"{found[s].length:.3g}  {found[s].share:4.0%}" for s in names)))
        out.append(
            f"Gradient of {generator} by source: length, and share of the sum\n" + table((generator, *names), rows)
        )
        pairs = [(x, y) for i, x in enumerate(names) for y in names[i + 1 :]]
        out.append("\n".join(f"cosine of {x} and {y}: {cosine(sources[x], sources[y]):+.2f}" for x, y in pairs))
    return "\n".join(out)


def pool(e: Explained) -> str:
    """What the pools decided."""
    lines = ["Pools"]
    for draw in e.draws:
        lines.append(f"{draw.discriminator}: {decision(draw)}")
    return "\n".join(lines)


def decision(draw: Draw) -> str:
    """In words."""
    if draw.size == 0:
        return "there is no pool (--pool_size 0): the discriminator is shown the new fake"
    full = f"{draw.filled} of {draw.size} places taken"
    if draw.older:
        return f"an older fake came out of place {draw.place}, the new one was put there ({full})"
    if draw.place >= 0:
        return f"not full yet: the new fake is shown, and put into place {draw.place} ({full})"
    return f"the new fake is shown, and not kept ({full})"


def patches(e: Explained) -> str:
    """The score maps, and of their middle score how much of the gradient lies outside of the nominal box."""
    rows = []
    for name, before in e.before.scores.items():
        after, middle = e.after.scores[name], tuple(n // 2 for n in before.shape)
        share = outside_of(e, name, [middle])[0]
        rows.append((
            name, "×".join(map(str, before.shape)), f"{before.mean():.3f}", f"{before.min():.3f}", f"{before.max():.3f}",
            f"{after.mean():.3f}", f"{share:.1%}",
        ))  # fmt: skip
    sides = {field(e, name).size for name in e.before.scores}
    words = " and ".join(f"{side}×{side}" for side in sorted(sides))
    head = ("", "map", "mean", "least", "most", "mean after", "outside")
    return (
        f"Scores; each nominally sees {words} pixels, outside lies so much of the middle score's measured gradient\n"
        + table(head, rows)
    )


def costs(e: Explained) -> str:
    """The tree."""
    rows: list[tuple[str, ...]] = []

    def add(branch: Branch, depth: int) -> None:
        shape = "×".join(map(str, branch.shape[1:])) if branch.kind in ("network", "block", "op") else ""
        rows.append((
            "  " * depth + f"{branch.title} {branch.about}".rstrip(), shape, f"{branch.parameters:,}" if branch.parameters else "",
            f"{branch.macs / 1e6:,.2f}" if branch.macs else "", f"{branch.backward_macs / 1e6:,.2f}" if branch.backward_macs else "",
            size_text(branch.saved) if branch.saved else "", f"{branch.forward * 1e3:.2f}", f"{branch.backward * 1e3:.2f}",
        ))  # fmt: skip
        for child in branch.children:
            add(child, depth + 1)

    for turn in tree(e):
        add(turn, 0)
    head = ("", "output", "parameters", "MMAC", "backward", "saved", "ms", "backward")
    whole = f"{e.seconds * 1e3:.0f} ms for the whole step {computed(e)}, both directions one after the other"
    return f"Costs ({whole})\n" + table(head, rows)
