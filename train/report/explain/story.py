"""The step in order: what is made of what, who learns, what is cut, what each loss is, what the pools decide."""

from __future__ import annotations

from html import escape

import numpy as np

from train.evaluation.explained_step import Draw, Explained
from train.evaluation.loss_terms import Term, terms
from train.evaluation.overhearing import ENDS, LETTERS, Forward
from train.report.explain.figures import Figures, difference, diverging, lettered, picture
from train.report.explain.text import decision

ROLE = {True: "learns", False: "frozen"}


def scale(e: Explained) -> tuple[float, float]:
    """The score that is neither real nor fake, and how far from it colours are full."""
    if e.model.config.gan_mode == "lsgan":
        return 0.5, 1.0
    return 0.0, max((float(np.abs(scores).max()) for scores in e.before.scores.values()), default=1.0)


def embed(e: Explained, figures: Figures) -> None:
    """All pictures and score maps of both looks, under the names they have; and what the pools gave, with its scores."""
    maps = {f"{name} after": scores for name, scores in e.after.scores.items()} | e.before.scores
    for forward in e.forwards:
        if forward.network.startswith("disc"):
            maps |= {name: y.numpy()[0, :, :, 0] for name, y in zip(forward.made, forward.outputs, strict=True)}
    for name, scores in maps.items():
        figures.show(name, diverging(scores, *scale(e)))
    for look, when in ((e.before, ""), (e.after, " after")):
        for name, x in look.pictures.items():
            figures.show(name + when, picture(x), photo=True)
    for draw in e.draws:
        figures.show(f"pool {draw.discriminator}", picture(draw.out), photo=True)


def flow(e: Explained, figures: Figures) -> str:
    """Both turns."""
    all_terms = terms(e)
    parts = []
    for turn in e.turns:
        about = {
            "generators": "Both translate, there and back. The discriminators only give their opinion.",
            "discriminators": "They learn to tell real pictures from fakes. The fakes come as mere pictures.",
        }[turn]
        lanes = "".join(lane(e, figures, turn, name, all_terms) for name in ENDS)
        number = 1 + [*e.turns].index(turn)
        parts.append(
            f'<section class="card turn"><h3>{number}. The {turn[:-1]}s’ turn</h3><p class="soft">{about}</p>'
            f'<div class="lanes">{lanes}</div></section>'
        )
    return "".join(parts)


def lane(e: Explained, figures: Figures, turn: str, name: str, all_terms: list[Term]) -> str:
    """One direction in one turn: a line for each chain that ends in a loss."""
    start, target, there, back, disc = ENDS[name]
    forwards = {made: (f, i) for f in e.find(turn, name) for i, made in enumerate(f.made)}
    fake = f"{LETTERS[there]}({start})"
    title = f"{start.upper()} → {target.upper()} → {start.upper()}" if turn == "generators" else LETTERS[disc]
    lines = []
    chains = {
        f"cycle_{name}": [f"{LETTERS[back]}({fake})"],
        f"G_{name}": [f"{LETTERS[disc]}({fake})"],
        f"idt_{name}": [f"{LETTERS[there]}({target})"],
        f"D_{name}": [f"{LETTERS[disc]}({target})", f"{LETTERS[disc]}(pool({fake}))"],
    }
    for loss, ends in chains.items():
        own = [t for t in all_terms if t.loss == loss]
        for term, end in zip(own, [*ends, ""], strict=False):
            if end in forwards:
                lines.append(f'<div class="chain">{chain(figures, forwards, end, disc)}{formula(e, term)}</div>')
            elif term.about == "penalty" and turn == "discriminators":
                lines.append(f'<div class="chain">{formula(e, term)}</div>')
    return f'<div class="lane"><h4>{lettered(title)}</h4>{"".join(lines)}</div>'


def chain(figures: Figures, forwards: dict[str, tuple[Forward, int]], end: str, disc: str) -> str:
    """The pictures and networks that lead to `end`: a generator's from the first picture on, a discriminator's last."""
    forward, i = forwards[end]
    given, judged = forward.names[i], forward.network.startswith("disc")
    if given.startswith("pool("):
        fake = given[5:-1]
        scissors = "" if forward.attached[i] else '<span class="cut">✂<small>cut</small></span>'
        before = shown(figures, fake, fake) + scissors + shown(figures, f"pool {disc}", "from the pool")
    elif given in forwards and not judged:
        before = chain(figures, forwards, given, disc)
    else:
        before = shown(figures, given, given)
    return before + box(forward) + shown(figures, end, "scores" if judged else end)


def box(forward: Forward) -> str:
    """A network, and whether it learns."""
    role = ROLE[forward.learns]
    return f'<span class="net {role}"><b>{lettered(LETTERS[forward.network])}</b><small>{"❄ " if role == "frozen" else ""}{role}</small></span>'


def shown(figures: Figures, name: str, label: str) -> str:
    """A picture with its name."""
    return f'<span class="fig">{figures.show(name, about=name)}<small>{lettered(label)}</small></span>'


def formula(e: Explained, term: Term) -> str:
    """A loss in its colour: the formula, the numbers in it, and which generators its gradient reached."""
    reached = ""
    if pull := e.pulls.get(term.loss):
        lengths = {
            LETTERS[g]: sum(float((x.astype(np.float64) ** 2).sum()) for x in grads.values()) ** 0.5
            for g, grads in pull.parameters.items()
        }
        reached = (
            "<small>its gradient reaches "
            + " and ".join(f"{g} (length {v:.3g})" for g, v in lengths.items())
            + "</small>"
        )
    return (
        f'<span class="term {term.about}"><code>{term.loss}</code> <span>{term.weight:g} · {lettered(term.formula)}</span>'
        f" <b>= {term.value:.3f}</b>{reached}</span>"
    )


def who_learns(e: Explained) -> str:
    """Networks by turns, as measured."""
    rows = []
    for network in e.model.networks():
        cells = []
        for turn, found in e.turns.items():
            mine = [f for f in e.forwards if f.turn == turn and f.network == network]
            if not mine:
                cells.append(f'<td class="soft" data-turn="{turn[:-1]}s’ turn">takes no part</td>')
                continue
            role = ROLE[any(f.learns for f in mine)]
            length, moved = found.gradient[network], found.moved[network]
            said = (
                f"gradient of length {length:.3g}, no weight moves more than {moved:.2g}"
                if length is not None
                else f"no gradient in its weights{'' if moved else ', none moves'}; it passes through to the picture"
            )
            cells.append(
                f'<td data-turn="{turn[:-1]}s’ turn"><span class="pill {role}">{"❄ " if role == "frozen" else ""}{role}</span> {said}</td>'
            )
        rows.append(f"<tr><th><b>{lettered(LETTERS[network])}</b> <code>{network}</code></th>{''.join(cells)}</tr>")
    head = "".join(f"<th>{turn[:-1]}s’ turn</th>" for turn in e.turns)
    table = f'<table class="words"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    said = "".join(f"<p>{turn[:-1].capitalize()}s’ turn: {lettered(histories(e, turn))}.</p>" for turn in e.turns)
    return table + said


def histories(e: Explained, turn: str) -> str:
    """Which made pictures are handed to a network with their history, and which without."""
    given: dict[bool, list[str]] = {True: [], False: []}
    for forward in (f for f in e.forwards if f.turn == turn):
        for name, attached in zip(forward.names, forward.attached, strict=True):
            if name not in ("a", "b"):
                given[attached].append(f"{name} to {LETTERS[forward.network]}")
    said = {
        True: "with their history, so that gradients flow back through them, go ",
        False: "cut from their history go ",
    }
    return "; ".join(said[attached] + ", ".join(names) for attached, names in given.items() if names)


def losses(e: Explained) -> str:
    """Each with its terms, and what it is on the same pictures after the step."""
    rows = []
    all_terms = terms(e)
    most = max(e.before.losses.values())
    for loss, value in e.before.losses.items():
        own = [t for t in all_terms if t.loss == loss]
        if not own:
            continue
        after = e.after.losses[loss]
        sums = "".join(
            f'<div class="part {t.about}"><span>{lettered(t.formula)}</span><span>{t.weight:g} × {t.mean:.4f} = {t.value:.4f}</span></div>'
            for t in own
        )
        fell = after < value
        bars = "".join(
            f'<i class="{kind}" style="width:{100 * max(x, 0) / most:.1f}%"></i>'
            for kind, x in (("was", value), ("is", after))
        )
        rows.append(
            f'<div class="loss"><code>{loss}</code><div class="sum">{sums}</div><div class="bars" aria-hidden="true">{bars}</div>'
            f'<div class="then"><b>{value:.4f}</b> → <b>{after:.4f}</b> <span class="{"good" if fell else "bad"}">'
            f"{'▼' if fell else '▲'} {abs(after - value):.4f}</span></div></div>"
        )
    return "".join(rows)


def pools(e: Explained, figures: Figures) -> str:
    """What came out."""
    return (
        "".join(pool(draw, figures) for draw in e.draws)
        or "<p>Nothing: the discriminators take no part in this run.</p>"
    )


def pool(draw: Draw, figures: Figures) -> str:
    start, _, there, *_ = next(ends for ends in ENDS.values() if ends[4] == draw.discriminator)
    fake = f"{LETTERS[there]}({start})"
    slots = "".join(f'<i class="{"on" if i < draw.filled else ""}{" hit" if i == draw.place else ""}"></i>' for i in range(min(draw.size, 200)))  # fmt: skip
    return (
        f'<section class="card"><h3>The pool of {lettered(LETTERS[draw.discriminator])}</h3><div class="chain">'
        f'{shown(figures, fake, f"{fake}, new")}<span class="arrow">→</span>'
        f'<span class="slots" role="img" aria-label="{draw.filled} of {draw.size} places taken">{slots}</span>'
        f'<span class="arrow">→</span>{shown(figures, f"pool {draw.discriminator}", "shown")}</div>'
        f"<p>{escape(decision(draw)).capitalize()}.</p></section>"
    )


def before_and_after(e: Explained, figures: Figures) -> str:
    """Each picture, and how the step changed it."""
    items = []
    for name, x in e.before.pictures.items():
        if name in ("a", "b"):
            continue
        changed, gain = difference(e.after.pictures[name] - x)
        figures.show(f"{name} change", changed, photo=True)
        items.append(
            f'<div class="triple"><h4>{name}</h4>{shown(figures, name, "before")}{shown(figures, name + " after", "after")}'
            f"{shown(figures, name + ' change', f'change × {gain:.2g}')}</div>"
        )
    return f'<div class="triples">{"".join(items)}</div>'
