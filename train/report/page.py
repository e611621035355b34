"""The report of a run: one `report.html` with pictures, scores, curves and settings, readable without any server.

The page and its few lines of script are in `template.html`, its style in `style.css`; here its parts are made.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from train.config.settings import Config
from train.evaluation.metrics import BETTER, COLUMNS, ROWS, Scores, best, present, show
from train.files.atomic import write_text
from train.files.sizes import size_text
from train.models.pictures import CyclePictures
from train.models.quantities import Quantity, quantities
from train.report import probe
from train.report.charts import cards
from train.report.doctor import RULES, WINDOW, Finding
from train.report.offline import head, read
from train.report.samples import embedded
from train.report.summary import Summary

PICTURES = 12  # sample grids in the report


def write_report(
    run_dir: str | Path,
    history: Summary | Iterable[Mapping[str, Any]],
    config: Mapping[str, Any],
    scores: Mapping[str, Scores] | None = None,
    *,
    samples: Sequence[tuple[int, Path]] = (),
    state: str = "running",
    total: int = 0,
    peak: int | None = None,
    charts: Sequence[Quantity] | None = None,
    legend: Mapping[str, str] | None = None,
    command: str = "",
    options: Mapping[str, dataclasses.Field[Any]] | None = None,
    findings: Sequence[Finding] = (),
    warn: Callable[[str, str], None] = lambda what, why: None,
) -> Path:
    """Write `run_dir/report.html` and return its path; call it as often as you like.

    `history` holds the records of metrics.jsonl or, of a long run, what is to be shown of them, `config` the settings as
    a dict, `scores` what `paired_scores` gave under a title per direction ("A → B"). `samples` are the steps and files of the sample grids, oldest first; at most
    twelve, spread evenly, are embedded. `state` is "running", "finished" or "interrupted", `total` the steps of the
    whole run, `peak` the most memory held, in bytes. `charts`, `legend` (the columns of the sample grids) and `options`
    (the fields of the settings) are CycleGAN's by default; `command` continues the run. `findings` are the doctor's, besides
    what it finds in the history. A part that cannot be made, such as a picture that is none, is left out: a note stands
    in its place, and `warn` is told what it is, and why. Raises `UserError` if the disk refuses.
    """
    summary = history if isinstance(history, Summary) else Summary(history, config)
    if scores:
        summary.doctor.scores = scores
    step = summary.step
    name = str(config.get("name") or Path(run_dir).name)

    def part(what: str, make: Callable[[], str]) -> str:
        try:
            return make()
        except Exception as error:  # noqa: BLE001  a page without it is better than none
            warn(f"report.html without {what}", str(error))
            return f'<p class="warn">{escape(what)} cannot be shown: {escape(str(error))}</p>'

    refresh = '<noscript><meta http-equiv="refresh" content="30"></noscript>' if state == "running" else ""
    page = Template(read("template.html")).substitute(
        head=head(f"{escape(name)} · training report", read("style.css"), refresh),
        name=escape(name),
        state=escape(state),
        where=f"step {step:,} of {total:,}" if total else f"step {step:,}",
        fraction=f"{step / total:.4f}" if total else "0",
        facts=_facts(summary, total - step if state == "running" else 0, peak),
        advice=_advice(command) if state == "interrupted" and command else "",
        doctor=_doctor([*findings, *summary.doctor.findings()], summary.looks),
        written=str(int(time.time())),
        samples=_samples(samples, CyclePictures.legend if legend is None else legend, part),
        scores=_scores(scores or {}),
        probe=probe.section(Path(run_dir)),
        charts="".join(cards(summary, quantities(config) if charts is None else charts))
        + _ranks(summary, math.prod(int(config.get(name, 1)) for name in ("batch_size", "accumulate", "n_critic"))),
        settings=_settings(config, Config.options() if options is None else options),
    )
    path = Path(run_dir) / "report.html"
    write_text(path, page)
    return path


def _facts(summary: Summary, left: int, peak: int | None) -> str:
    spent, facts = summary.curve("seconds").total, {}
    if spent > 0:
        recent = float(np.mean(summary.recent))  # s per step
        facts = {"Time spent training": duration(spent), "Speed": f"{1 / recent:.3g} steps/s"}
        if left > 0:
            facts["Time left, about"] = duration(left * recent)
        if summary.curve("wait").stretches:
            facts["Waiting for images"] = f"{summary.curve('wait').total / spent:.1%}"
    if summary.ranks:
        facts["Ranks"] = str(len(summary.ranks[-1]))
    if peak:
        facts["Most memory held"] = size_text(peak)
    if summary.epoch:
        facts["Epoch"] = str(summary.epoch)
    return "".join(f"<div><dt>{key}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())


def _ranks(summary: Summary, images: int) -> str:
    """What the steps of late cost each rank, if there are several; `images` of each domain are in a step."""
    if not summary.ranks:
        return ""
    last = [
        ranks for ranks in summary.ranks if np.shape(ranks) == np.shape(summary.ranks[-1])
    ]  # it may have been continued on others
    parts = np.mean(np.array(last, np.float64), axis=0)
    times, own = (
        parts[:, :3],
        parts[:, 3:],
    )  # [ranks, 3], s; the images of each, [ranks, 1], which older versions did not tell
    rows = "".join(
        f"<tr><th>{rank}</th>{''.join(f'<td>{n:.3g}</td>' for n in own[rank])}<td>{work:.3g} s</td><td>{wait:.2g} s</td><td>{comm:.2g} s</td>"
        f"<td>{comm / max(work + wait + comm, 1e-9):.0%}</td></tr>"
        for rank, (work, wait, comm) in enumerate(times)
    )
    step = float(times.sum(axis=1).max())
    images_of = "<th>images of each domain</th>" if own.size else ""
    return (
        f'<section class="card"><h3>Ranks</h3><p class="soft">What a step takes each of them, on average of late: '
        f"{images / max(step, 1e-9):.3g} images of each domain per second, all together. Who computes longer lets the others wait.</p>"
        f"<table><thead><tr><th>Rank</th>{images_of}<th>computing</th><th>waiting for images</th><th>others, and sending</th><th>share</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></section>"
    )


def duration(seconds: float) -> str:
    """Seconds for people, as in "2 h 05 min"."""
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 1:
        return f"{int(hours)} h {int(minutes) % 60:02} min"
    return f"{int(minutes)} min {int(seconds) % 60:02} s" if minutes >= 1 else f"{seconds:.0f} s"


def _advice(command: str) -> str:
    return f'<p>The run was stopped and can go on where it stood:</p><pre class="card">{escape(command)}</pre>'


def _doctor(findings: Sequence[Finding], looks: int) -> str:
    if findings:
        rows = ""
        for finding in findings:
            where = f" · {escape(finding.where)}" if finding.where else ""
            advice = re.sub(r"(--\w+)", r"<code>\1</code>", escape(finding.advice))
            rows += f"<li><b>{escape(finding.rule)}</b>{where}<br>{escape(finding.seen)}."
            rows += f'<br><span class="soft">Try {advice}.</span></li>'
        return f'<section class="card doctor"><h3>The doctor found</h3><ul>{rows}</ul></section>'
    if looks < WINDOW:
        return ""  # too early to tell, or --watch_freq 0
    return (
        f'<p class="soft doctor">Doctor: nothing to report. {len(RULES)} rules looked at the last {WINDOW} looks.</p>'
    )


def _samples(
    samples: Sequence[tuple[int, Path]], legend: Mapping[str, str], part: Callable[[str, Callable[[], str]], str]
) -> str:
    if not samples:
        return ""
    steps = np.array([step for step, _ in samples])
    wanted = np.linspace(steps[0], steps[-1], PICTURES)
    chosen = sorted({int(np.abs(steps - step).argmin()) for step in wanted})
    frames = "".join(part(samples[i][1].name, functools.partial(_frame, *samples[i])) for i in chosen)
    words = "".join(f"<dt>{escape(column)}</dt><dd>{escape(text)}</dd>" for column, text in legend.items())
    return (
        '<div class="player"><button type="button">Play</button>'
        '<input type="range" min="0" max="0" value="0" aria-label="sample grid"></div>'
        f'<div class="frames">{frames}</div><div class="words"><dl>{words}</dl></div>'
    )


def _frame(step: int, path: Path) -> str:
    return (
        f'<figure data-step="step {step:,}"><figcaption>after step <b>{step:,}</b></figcaption>'
        f"{embedded(path, f'samples after step {step:,}')}</figure>"
    )


def _scores(scores: Mapping[str, Scores]) -> str:
    if not scores:
        return ""
    tables = ""
    for title, rows in scores.items():
        metrics, body = present(rows), ""
        heads = "".join(f"<th>{COLUMNS[m]} {'↓' if BETTER[m] == 'lower' else '↑'}</th>" for m in metrics)
        for who, row in rows.items():
            marks = {m: " class=best" if who != "real" and row.get(m) == best(rows, m) else "" for m in metrics}
            cells = "".join(f"<td{marks[m]}>{show(m, row.get(m))}</td>" for m in metrics)
            body += f'<tr class="{who}"><th>{ROWS[who]}</th>{cells}</tr>'
        tables += f"<table><thead><tr><th>{escape(title)}</th>{heads}</tr></thead><tbody>{body}</tbody></table>"
    used = {metric for rows in scores.values() for metric in present(rows)}
    meanings = "".join(f"<dt>{COLUMNS[m]}</dt><dd>{text}</dd>" for m, text in MEANINGS.items() if m in used)
    return (
        '<section class="scores card"><h3>Scores on test pictures</h3>'
        '<p class="soft">Against two baselines that learn nothing. ↓ lower is better, ↑ higher is better.</p>'
        f'<div class="tables">{tables}</div><dl>{meanings}</dl></section>'
    )


MEANINGS = {
    "l1": "Mean difference to the true picture, 0 to 1. Never trust it alone: the mean image, a blur of everything, is "
    "near to everything and often wins.",
    "ssim": "Likeness of local structure; 1 is equal.",
    "psnr": "Squared error in decibels; 3 dB more is half the error. It likes blur too.",
    "retrieval": "How often the true partner is the nearest of all test pictures. The mean image can only guess.",
    "distance": "How far from the target's training pictures, as a small classifier of the two domains sees them (this "
    "is not FID). Real held-out pictures show how near one can come.",
}
"""What the scores of a run say."""


def _settings(config: Mapping[str, Any], fields: Mapping[str, dataclasses.Field[Any]]) -> str:
    usual = {name: field.default for name, field in fields.items()}
    changed, same = "", ""
    for name, value in config.items():
        about = f"<small>{escape(fields[name].metadata['help'])}</small>" if name in fields else ""
        row = f"<tr><td><code>{escape(name)}</code>{about}</td><td><code>{_value(value)}</code></td>"
        if name in usual and value == usual[name]:
            same += row + "</tr>"
        else:
            changed += row + f'<td><code class="soft">{_value(usual[name]) if name in usual else ""}</code></td></tr>'
    first = "<p>All settings are the defaults.</p>"
    if changed:
        head = "<thead><tr><th>Changed</th><th>here</th><th>default</th></tr></thead>"
        first = f'<table class="settings">{head}<tbody>{changed}</tbody></table>'
    rest = f'<table class="settings"><tbody>{same}</tbody></table>'
    rest = f"<details><summary>Settings left at their default</summary>{rest}</details>" if same else ""
    return f'<section class="card">{first}{rest}</section>'


def _value(value: Any) -> str:
    return escape({True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)) or "(empty)"
