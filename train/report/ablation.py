"""What an ablation study found, on one page: the variants side by side (judged by train/evaluation/verdict.py)."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from train.config.settings import Config
from train.evaluation.evaluation import Evaluation
from train.evaluation.verdict import SHOWN, Judged, verdict
from train.files.atomic import write_text
from train.report.charts import draw
from train.report.offline import head, read
from train.report.samples import embedded, sample_grid, save_png
from train.report.summary import Summary

PAPER = {"cycle": "fails", "gan": "collapses", "forward": "collapses", "backward": "fails", "full": "works"}
"""What the paper reports of the mapping B → A (photo → labels) in figure 7."""
COLUMNS = ("distance", "diversity", "variety", "retrieval", "ssim", "l1", "pixel_accuracy", "class_iou")


@dataclass
class Study:
    """All of it: what the variants are, what became of each (variant, seed) and its records, the settings of the base, and the test images."""

    about: dict[str, str]
    results: dict[tuple[str, int], Judged]
    histories: dict[tuple[str, int], list[dict[str, Any]]]
    config: Config
    evaluation: Evaluation

    def mean(self, variant: str, direction: str) -> dict[str, float]:
        """A variant's numbers in a direction, the mean over seeds."""
        each = [r.scores[direction] for (name, _), r in self.results.items() if name == variant]
        return {key: float(np.mean([row[key] for row in each])) for key in each[0]}

    def verdicts(self, variant: str, direction: str) -> list[str]:
        """A variant's verdict under each seed."""
        return [verdict(r.scores[direction]) for (name, _), r in self.results.items() if name == variant]


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
    first = {name: next(seed for n, seed in study.results if n == name) for name in study.about}
    for direction in ("BtoA", "AtoB"):
        for i in range(min(SHOWN, len(tested["A"]))):
            row = {f"input {direction[0]}": tested[direction[0]][i]}
            row |= {name: study.results[name, seed].fakes[direction][i] for name, seed in first.items()}
            rows.append(row | {f"true {direction[-1]}": tested[direction[-1]][i]})
    picture = folder / "ablation.png"
    save_png(picture, sample_grid(rows))
    page = f"""{head("ablation study", read("style.css"))}<body><main><header><small>Palindrome · ablation study · A → B → A</small><h1>{escape(study.config.name)}</h1>
<p>{escape(_budget(study))}</p></header>
<h2>The paper's findings, here</h2>{_findings(study)}
<h2>What each variant makes of the test images</h2>
<figure>{embedded(picture, "inputs, what each variant makes of them, and the truth")}</figure>
<h2>Scores</h2><p class="soft">Mean over seeds. Distance: real held-out images and the untouched input for comparison in the
last rows; lower is better. Diversity and variety: how much, and in how many independent ways, the fakes differ; 1 is what
the true pictures have. The rest as in every run's report.</p>
{_table(study, "BtoA")}{_table(study, "AtoB")}
<h2>Curves</h2><div class="grid">{"".join(_curves(name, study.about[name], study.histories[name, seed]) for name, seed in first.items())}</div>
<footer>Made by <code>python -m train.ablate</code>; each variant's own report.html lies in its folder beside this page.</footer>
</main></body></html>
"""
    path = folder / "ablation.html"
    write_text(path, page)
    return path


def _budget(study: Study) -> str:
    c, steps = study.config, next(iter(study.histories.values()))[-1]["step"]
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


def _curves(name: str, about: str, history: list[dict[str, Any]]) -> str:
    summary, charts = Summary(history), ""
    for title, keys in (("adversarial", ("G_A", "G_B")), ("cycle", ("cycle_A", "cycle_B"))):
        curves = {key: summary.curve(key) for key in keys if summary.curve(key).stretches}
        if not all(curve.empty for curve in curves.values()):
            key_line = "".join(f"<span>{key}</span>" for key in curves)
            charts += f'<div class="key">{key_line}</div>{draw(f"{name}: {title}", curves)}'
    return f'<section class="card chart"><h3>{name}</h3><p class="soft">{escape(about)}</p>{charts}</section>'
