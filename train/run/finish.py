"""The end of a run: the last samples, the scores where the truth is known, the report of all of it."""

from __future__ import annotations

import json

from train.data.plain import paired_test
from train.evaluation.evaluation import Evaluation
from train.evaluation.metrics import Scores
from train.files.json_file import write_json
from train.run.folder import keep_up
from train.run.run_state import RunState

SCORES = "scores.json"  # written last: where it names the run's last step, nothing is missing


def finish(run: RunState) -> dict[str, Scores] | None:
    """The last sample grid and, where the truth is known, the final scores; ranks share the translating."""
    keep_up(run)
    run.display.sample(run.step)
    scores = None
    if run.evaluation or paired_test(run.config, 1):
        everything = Evaluation(run.config, cache=run.classifier_file if run.group.leads else None)
        everything.ranks = run.group
        scores = everything(run.model, distance=run.evaluation is not None)
        keep_up(run)
        for finding in run.display.summary.doctor.judge(scores):
            run.tell(f"doctor, final scores: {finding}")
    run.report(scores)
    run.display.close()
    if run.group.leads:
        write_json(run.folder / SCORES, {"step": run.step, **(scores or {})})
    return scores


def is_finished(run: RunState) -> bool:
    """Whether the run has made all its steps and was finished after them."""
    if run.step < run.total:
        return False
    try:
        return bool(json.loads((run.folder / SCORES).read_text("utf-8"))["step"] == run.step)
    except (OSError, ValueError, LookupError, TypeError):
        return False
