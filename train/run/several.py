"""`--seeds N`: the same run under N seeds, and what can be said of all together. One seed says little: scores sway with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from train.config.settings import Config, resolve
from train.errors import UserError, shown
from train.evaluation.evaluation import Evaluation
from train.evaluation.metrics import BETTER, COLUMNS, Scores, show
from train.evaluation.statistics import Summary, summary
from train.files import checkpoint
from train.files.claim import Claim
from train.files.json_file import write_json
from train.models.model import Model
from train.run.exit_code import say
from train.run.finish import finish, is_finished
from train.run.introduce import introduce
from train.run.start import check_name, check_same_run, stem
from train.run.trainer import Run

Table = dict[str, dict[str, Summary]]
"""By direction and metric."""


def trained(system: type[Model], config: Config) -> Run:
    """The run of these settings, done: made now, continued, or found."""
    with Claim() as claim:
        claim.take(Path(config.checkpoints_dir) / config.name)
        run = Run(system, resolve(config))
        run.claim = claim
        latest = run.folder / "latest.npz"
        if latest.exists():
            state = checkpoint.load(latest)
            check_same_run(state["config"], run.config)
            run.load_state_dict(state)
        if not is_finished(run):
            introduce(run)
            run.train()
            if run.state == "interrupted":
                raise UserError(f"stopped in {config.name} after step {run.step}; the same command goes on from there")
            finish(run)
        return run


def train_seeds(system: type[Model], settings: dict[str, Any]) -> int:
    """Train and score NAME-s0, NAME-s1, … and write NAME_seeds.json. Returns the exit status."""
    config = system.settings(**settings)
    name, folder = config.name or stem(config), Path(config.checkpoints_dir)
    check_name(name)
    seeds = [config.seed + i for i in range(config.seeds)]
    scores = []
    for seed in seeds:
        run = trained(system, config.replace(seed=seed, seeds=1, name=f"{name}-s{seed}"))
        evaluation = Evaluation(run.config, cache=run.classifier_file)
        scores.append(evaluation(run.model))
    table = gathered(scores)
    file = folder / f"{name}_seeds.json"
    write_json(file, {"seeds": seeds, "held_out": evaluation.held_out, "scores": table})
    say(f"\n{words(table)}")
    if not evaluation.held_out:
        say("on training images, as there are no testA and testB: these flatter")
    say(f"\nscores   {shown(file)}\nruns     {shown(folder / f'{name}-s{seeds[0]}')} to {shown(name)}-s{seeds[-1]}")
    return 0


def gathered(scores: list[dict[str, Scores]]) -> Table:
    """The model's scores under all seeds, by direction and metric."""
    return {
        direction: {metric: summary([each[direction]["model"][metric] for each in scores]) for metric in table["model"]}
        for direction, table in scores[0].items()
    }


def words(table: Table) -> str:
    """The table for the terminal: mean, deviation, interval, and what each seed gave."""
    lines = []
    for direction, rows in table.items():
        lines.append(f"{direction:18}{'mean':>9}{'deviation':>11}{'95% of means':>20}   each")
        for metric in (m for m in BETTER if m in rows):
            row, label = rows[metric], f"{COLUMNS[metric]} ({BETTER[metric]})"
            low, high = (show(metric, end) for end in row["interval"])
            each = " ".join(show(metric, value) for value in row["values"])
            mean, deviation = show(metric, row["mean"]), show(metric, row["deviation"])
            lines.append(f"{label:18}{mean:>9}{deviation:>11}{f'{low} to {high}':>20}   {each}")
    return "\n".join(
        [*lines, "deviation: of one run. 95% of means: by bootstrap over the seeds; of few seeds it is too narrow."]
    )
