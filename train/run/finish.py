"""The end of a run: the last samples, the scores where the truth is known, the report of all of it."""

from __future__ import annotations

from train.data.plain import paired_test
from train.evaluation.evaluation import Evaluation
from train.evaluation.metrics import Scores
from train.files.json_file import write_json
from train.run.run_state import RunState


def finish(run: RunState) -> dict[str, Scores] | None:
    """The last sample grid and, where the truth is known, the final scores."""
    run.display.sample(run.step)
    scores = None
    if run.evaluation or paired_test(run.config, 1):
        everything = Evaluation(run.config, cache=run.classifier_file)
        scores = everything(run.model, distance=run.evaluation is not None)
        write_json(run.folder / "scores.json", {"step": run.step, **scores})
        for finding in run.display.summary.doctor.judge(scores):
            run.tell(f"doctor, final scores: {finding}")
    run.report(scores)
    run.display.close()
    return scores
