"""What an ablation study found: the judgement of each run, and all of them side by side on one page.

Each direction of each run is judged by what it makes of the test images, four numbers each with a bound set beforehand:

    distance    how far the fakes are from the target domain (train/evaluation/domain_distance.py). **fails**: by more than the
                geometric mean of what real held-out images and the untouched input have
    diversity   mean difference between two fakes, as a share of that between two true pictures. **collapses**: under 1/2
    variety     in how many independent ways the fakes differ, as a share of the true pictures' ways. **collapses**: under 1/2
    retrieval   how often the true partner is the nearest of all test images. **unfaithful**: under 1/2

Failing is looked at first, then collapse: a picture of nothing can be as diverse as it likes. What passes all four **works**.
Where B's maps have known classes (built-in streets), maps are scored as the paper scores its own, too.

Why these bounds: pictures of which it is known what is wrong were judged by them (docs/ablation.md). Differences alone do not
catch a collapse: if one street is drawn again and again, from another place each time, two pictures differ as much as two
streets do, but all in the same few ways. And halfway to the untouched input on a linear scale, as a bound, lets maps pass
in which every class has the colour of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from train.config.settings import Config
from train.data.builtin.streets import CLASSES
from train.data.images import resize
from train.evaluation.evaluation import Evaluation
from train.evaluation.label_scores import label_scores
from train.evaluation.metrics import retrieval
from train.files.checkpoint import write_atomically
from train.report.charts import column, draw
from train.report.samples import embedded, sample_grid, save_png
from train.run.trainer import Run

SHOWN = 4  # test images of each domain in the picture
PAPER = {"cycle": "fails", "gan": "collapses", "forward": "collapses", "backward": "fails", "full": "works"}
"""What the paper reports of the mapping B → A (photo → labels) in figure 7."""
COLUMNS = ("distance", "diversity", "variety", "retrieval", "ssim", "l1", "pixel_accuracy", "class_iou")


@dataclass
class Judged:
    """A run and what was found: for each direction its numbers, verdict and some of its pictures."""

    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    fakes: dict[str, list[np.ndarray]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0


@dataclass
class Study:
    """All of it: what the variants are, their runs by (variant, seed), the settings of the base, and the test images."""

    about: dict[str, str]
    results: dict[tuple[str, int], Judged]
    config: Config
    evaluation: Evaluation

    def mean(self, variant: str, direction: str) -> dict[str, float]:
        """A variant's numbers in a direction, the mean over seeds."""
        each = [r.scores[direction] for (name, _), r in self.results.items() if name == variant]
        return {key: float(np.mean([row[key] for row in each])) for key in each[0]}

    def verdicts(self, variant: str, direction: str) -> list[str]:
        """A variant's verdict under each seed."""
        return [verdict(r.scores[direction]) for (name, _), r in self.results.items() if name == variant]


def judge(run: Run, evaluation: Evaluation) -> Judged:
    """Translate the test images with a trained run and score what comes out."""
    maps = "BtoA" if run.config.direction == "AtoB" else "AtoB"  # what makes maps of the streets
    result = Judged(history=run.history.read(), steps=run.step)
    for direction in run.model.directions:
        fakes, truths = evaluation.translations(run.model, direction), evaluation.pictures[direction[-1]]
        table = evaluation.scores(direction, fakes)
        row = dict(table["model"], real=table["real"]["distance"], untouched=table["untouched"]["distance"])
        row["diversity"] = spread(np.stack(fakes)) / spread(np.stack(truths))
        row["variety"] = ways(fakes) / ways(truths)
        row["retrieval"] = retrieval(np.stack(fakes), np.stack(truths))
        if not run.config.dataroot and run.config.builtin == "streets" and direction == maps:
            row |= {k: v for k, v in label_scores(CLASSES, zip(fakes, truths, strict=True)).items() if k != "classes"}
        result.scores[direction], result.fakes[direction] = row, fakes[:SHOWN]
    return result


def spread(pictures: np.ndarray) -> float:
    """The mean difference between two of the pictures [N,H,W,C], N at least 2: 0 if all are one picture."""
    ordered = np.sort(pictures.astype(np.float64), axis=0)
    n = len(pictures)
    weights = 2.0 * np.arange(n) - n + 1  # of the sorted values, in the sum of the differences of all pairs
    return float(np.tensordot(weights, ordered, axes=1).mean() / (n * (n - 1) / 2))


def ways(pictures: Sequence[np.ndarray]) -> float:
    """In how many independent ways pictures [H,W,C] differ from their mean: 1 (or, if equal, 0) up to their number less one.

    The effective rank of Roy and Vetterli (2007): e to the entropy of the shares that principal components have in the
    variance. Seen at 16x16 pixels, where neither grain nor the sharpness of edges counts.
    """
    seen = np.stack([resize(x.astype(np.float32), 16, 16) for x in pictures]).reshape(len(pictures), -1)
    variances = np.linalg.svd(seen - seen.mean(axis=0, dtype=np.float64), compute_uv=False) ** 2
    if variances.sum() < 1e-12 * seen.size:
        return 0.0
    share = variances / variances.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def verdict(row: dict[str, float]) -> str:
    """In one word, by the bounds above."""
    if row["distance"] ** 2 > row["real"] * row["untouched"]:
        return "fails"
    if min(row["diversity"], row["variety"]) < 0.5:
        return "collapses"
    return "unfaithful" if row["retrieval"] < 0.5 else "works"


def findings(study: Study) -> list[tuple[str, str, str, bool]]:
    """The paper's findings that this study can speak of: variant, what the paper says, what is seen here, same?"""
    rows = []
    for variant, said in PAPER.items():
        if variant in study.about:
            seen = study.verdicts(variant, "BtoA")
            rows.append((variant, said, " ".join(dict.fromkeys(seen)), set(seen) == {said}))
    return rows


def summary(study: Study) -> dict[str, Any]:
    """All numbers, for other programs."""
    runs = {
        f"{name}-{seed}": {d: row | {"verdict": verdict(row)} for d, row in result.scores.items()}
        for (name, seed), result in study.results.items()
    }
    return {"runs": runs, "findings": [dict(zip(("variant", "paper", "here", "same"), f, strict=True)) for f in findings(study)]}  # fmt: skip


def write_page(folder: Path, study: Study) -> Path:
    """Write ablation.png and the self-contained ablation.html; returns the page's path."""
    tested = study.evaluation.pictures
    rows = []
    first = {name: next(r for (n, _), r in study.results.items() if n == name) for name in study.about}
    for direction in ("BtoA", "AtoB"):
        for i in range(min(SHOWN, len(tested["A"]))):
            row = {f"input {direction[0]}": tested[direction[0]][i]}
            row |= {name: result.fakes[direction][i] for name, result in first.items()}
            rows.append(row | {f"true {direction[-1]}": tested[direction[-1]][i]})
    picture = folder / "ablation.png"
    save_png(picture, sample_grid(rows))
    style = files("train.report").joinpath("template.html").read_text("utf-8").split("<style>")[1].split("</style>")[0]
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>ablation study</title><style>{style}</style></head>
<body><main><header><small>Palindrome · ablation study · A → B → A</small><h1>{escape(study.config.name)}</h1>
<p>{escape(_budget(study))}</p></header>
<h2>The paper's findings, here</h2>{_findings(study)}
<h2>What each variant makes of the test images</h2>
<figure>{embedded(picture, "inputs, what each variant makes of them, and the truth")}</figure>
<h2>Scores</h2><p class="soft">Mean over seeds. Distance: real held-out images and the untouched input for comparison in the
last rows; lower is better. Diversity and variety: how much, and in how many independent ways, the fakes differ; 1 is what
the true pictures have. The rest as in every run's report.</p>
{_table(study, "BtoA")}{_table(study, "AtoB")}
<h2>Curves</h2><div class="grid">{"".join(_curves(name, study.about[name], result) for name, result in first.items())}</div>
<footer>Made by <code>python -m train.ablate</code>; each variant's own report.html lies in its folder beside this page.</footer>
</main></body></html>
"""
    path = folder / "ablation.html"
    write_atomically(path, lambda file: file.write(page.encode()))
    return path


def _budget(study: Study) -> str:
    c, steps = study.config, next(iter(study.results.values())).steps
    data = c.dataroot or f"built-in {c.builtin}"
    seeds = len({seed for _, seed in study.results})
    return (
        f"{data}, {c.crop_size} pixels; {steps} steps of batch {c.batch_size} for every variant, ngf {c.ngf}, "
        f"{seeds} seed{'s' if seeds > 1 else ''}. Only what a variant's name says differs."
    )


def _findings(study: Study) -> str:
    body = "".join(
        f"<tr><th>{name}<br><small>{escape(study.about[name])}</small></th><td>{said}</td><td>{here}</td>"
        f"<td{' class=best' if same else ''}>{'shows' if same else 'does not show'}</td></tr>"
        for name, said, here, same in findings(study)
    )
    return (
        '<section class="card scores"><table><thead><tr><th>B → A</th><th>the paper</th><th>here</th><th></th></tr>'
        f"</thead><tbody>{body}</tbody></table><p class='soft'>fails: by the factor, the fakes are nearer to the input's domain "
        "than to real pictures of the target. collapses: the fakes differ less than half as much as the true pictures, or in "
        "less than half as many independent ways. unfaithful: the true partner is found for less than half of the images."
        "</p></section>"
    )


def _table(study: Study, direction: str) -> str:
    rows = {name: study.mean(name, direction) for name in study.about}
    keys = [key for key in COLUMNS if all(key in row for row in rows.values())]
    heads = "".join(f"<th>{key.replace('_', ' ')}</th>" for key in keys)
    body = "".join(
        f"<tr><th>{name}<br><small>{escape(study.about[name])}</small></th>"
        + "".join(f"<td>{row[key]:.3f}</td>" for key in keys)
        + f"<td>{escape(', '.join(study.verdicts(name, direction)))}</td></tr>"
        for name, row in rows.items()
    )
    some = next(iter(rows.values()))
    for who in ("real", "untouched"):
        body += f"<tr><th class=soft>{who}</th><td>{some[who]:.3f}</td>{'<td></td>' * len(keys)}</tr>"
    title = direction.replace("to", " → ")
    return (
        f'<section class="card scores"><h3>{title}</h3><div class="tables"><table><thead><tr><th></th>{heads}<th>verdict</th>'
        f"</tr></thead><tbody>{body}</tbody></table></div></section><br>"
    )


def _curves(name: str, about: str, result: Judged) -> str:
    steps, charts = column(result.history, "step"), ""
    for title, keys in (("adversarial", ("G_A", "G_B")), ("cycle", ("cycle_A", "cycle_B"))):
        series = {key: column(result.history, key) for key in keys}
        if any(np.nan_to_num(values).any() for values in series.values()):
            key_line = "".join(f"<span>{key}</span>" for key in keys)
            charts += f'<div class="key">{key_line}</div>{draw(f"{name}: {title}", steps, series)}'
    return f'<section class="card chart"><h3>{name}</h3><p class="soft">{escape(about)}</p>{charts}</section>'
