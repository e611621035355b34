"""How much a run would be flattered if the test pictures chose its state: the last, the best on val, the best on test.

    python -m train.cyclegan --builtin streets --n_epochs 8 --n_epochs_decay 8 --eval_freq 1 --save_epoch_freq 1 --seeds 2 --name streets
    python -m tests.best_on_test streets-s0 streets-s1      the table of docs/scores.md, as Markdown

The val scores of each epoch are those that the run recorded; every kept state is scored on the test pictures here. "Best on test" is
for looking at only, and therefore stands here and not in train/: the best of many scores that sway is above what its state is
worth, the more so the more states are tried, and on further pictures it falls back. A state that val pictures chose sees the test
pictures for the first time.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from train.config.settings import Config
from train.evaluation.evaluation import Evaluation, title
from train.evaluation.metrics import BETTER, COLUMNS, paired_scores, show
from train.evaluation.subject import from_run
from train.files.history import History

Scores = dict[tuple[str, str], float]
"""By direction and metric."""


class Epoch(NamedTuple):
    """One kept state."""

    val: Scores
    test: Scores


def epochs(name: str, parent: Path) -> list[Epoch]:
    """A run's kept states, oldest first."""
    recorded = {
        record["epoch"]: record for record in History(parent / name / "metrics.jsonl").read() if "l1_A" in record
    }
    kept = sorted(int(file.stem[6:]) for file in (parent / name).glob("epoch_*.npz"))
    if not kept or not set(kept) <= recorded.keys():
        raise SystemExit(
            f"{name}: wanted a run with --eval_freq 1 --save_epoch_freq 1, val pictures and known partners"
        )
    first = from_run(name, parent, str(kept[0]), {})
    tested, found = Evaluation(first.config, cache=first.cache), []
    for epoch in kept:
        model, test = from_run(name, parent, str(epoch), {}).model, Scores()
        for direction in model.directions:
            start, end = direction[0], direction[-1]
            fakes = tested.translations(model, direction)
            row = paired_scores(fakes, tested.pictures[start], tested.pictures[end])["model"]
            row["distance"] = tested.distance(fakes, end)
            test |= {(direction, metric): float(value) for metric, value in row.items()}
        val = {key: float(recorded[epoch][f"{key[1]}_{key[0][0]}"]) for key in test}
        found.append(Epoch(val, test))
    return found


def chosen(run: Sequence[Epoch], direction: str, metric: str) -> dict[str, float]:
    """One test score of the states that each of three ways to choose by this very score takes; an earlier state where they tie."""
    val, test = ([float(scores[direction, metric]) for scores in by] for by in zip(*run, strict=True))
    take = np.argmin if BETTER[metric] == "lower" else np.argmax
    return {"last": test[-1], "best on val": test[int(take(val))], "best on test": test[int(take(test))]}


def table(runs: Sequence[Sequence[Epoch]]) -> str:
    """What each run gives and their mean, and by how much the last column is better than the second, as Markdown."""
    lines = ["| | last | best on val | best on test | flattered by |", "|---|---|---|---|---|"]
    for direction, metric in runs[0][0].test:
        found = [chosen(run, direction, metric) for run in runs]
        columns = {way: [each[way] for each in found] for way in found[0]}
        cells = [
            f"{show(metric, float(np.mean(x)))} ({', '.join(show(metric, y) for y in x)})" for x in columns.values()
        ]
        more = abs(float(np.mean(columns["best on test"]) - np.mean(columns["best on val"])))
        lines.append(f"| {title(direction)}, {COLUMNS[metric]} | {' | '.join(cells)} | {show(metric, more)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs", nargs="+", help="runs of one data set under several seeds, which kept their epochs")
    parser.add_argument("--checkpoints_dir", type=Path, default=Path(Config.checkpoints_dir))
    options = parser.parse_args()
    print(table([epochs(run, options.checkpoints_dir) for run in options.runs]))
