"""`--seeds N`: N runs, each of which could be had alone, and the summary of their scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.best_on_test import Epoch, chosen, table
from train.cyclegan import main
from train.evaluation import domain_distance
from train.evaluation.statistics import summary
from train.files import checkpoint
from train.run import display
from train.run.several import gathered, words
from train.run.trainer import Run

TINY = (
    "--preset tiny --device cpu --load_size 28 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 1 --max_dataset_size 3 --max_steps 2 "
    "--num_threads 0 --checkpoints_dir c --name run"
)


def test_mean_deviation_and_interval() -> None:
    values = np.random.default_rng(3).normal(5, 2, 40)
    found = summary(values.tolist())
    assert found["mean"] == pytest.approx(values.mean()) and found["deviation"] == pytest.approx(values.std(ddof=1))
    half = 1.96 * values.std(ddof=1) / 40**0.5  # what theory says of so many normal ones
    assert found["interval"] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.1 * half)
    assert found == summary(values.tolist())
    assert summary([1.0, 3.0]) == {"mean": 2.0, "deviation": 2**0.5, "interval": [1.0, 3.0], "values": [1.0, 3.0]}


def test_the_table() -> None:
    score = lambda ssim: {"A → B": {"model": {"ssim": ssim, "retrieval": 0.5}, "mean": {"ssim": 0.0}}}
    told = words(gathered([score(0.25), score(0.75)]))
    assert (
        "SSIM (higher)" in told
        and "0.500" in told
        and "0.354" in told
        and "0.250 to 0.750" in told
        and "50% 50%" in told
    )


def test_seeds_are_runs_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(domain_distance, "STEPS", 2)
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)
    assert main([*TINY.split(), "--seeds", "2", "--seed", "4"]) == 0
    assert "95% of means" in capsys.readouterr().out
    found = json.loads(Path("c/run_seeds.json").read_text())
    assert found["seeds"] == [4, 5] and {p.name for p in Path("c").iterdir()} == {"run-s4", "run-s5", "run_seeds.json"}
    assert main([*TINY.replace("--name run", "--name alone").split(), "--seed", "5"]) == 0
    weights = [checkpoint.load(f"c/{name}/latest.npz")["model"]["networks"]["gen_ab"] for name in ("alone", "run-s5")]
    assert all(np.array_equal(value, weights[1][key]) for key, value in weights[0].items())
    alone = json.loads(Path("c/alone/scores.json").read_text())["A → B"]["model"]["ssim"]
    assert found["scores"]["A → B"]["ssim"]["values"][1] == alone

    def train(self: Run) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr(Run, "train", train)
    assert main([*TINY.split(), "--seeds", "2", "--seed", "4"]) == 0
    assert json.loads(Path("c/run_seeds.json").read_text()) == found
    assert main([*TINY.split(), "--seeds", "2", "--continue_train"]) == 2
    assert "leave it out, --seeds goes on" in capsys.readouterr().err


def test_the_state_that_test_pictures_would_have_chosen_is_looked_at_and_no_more() -> None:
    """A score that is to be low and one that is to be high; the val pictures prefer other states than the test pictures."""
    low, high = ("AtoB", "l1"), ("AtoB", "ssim")
    val = [{low: 0.3, high: 0.1}, {low: 0.1, high: 0.4}, {low: 0.2, high: 0.4}]
    test = [{low: 0.2, high: 0.9}, {low: 0.4, high: 0.2}, {low: 0.3, high: 0.3}]
    run = [Epoch(*scores) for scores in zip(val, test, strict=True)]
    assert chosen(run, *low) == {"last": 0.3, "best on val": 0.4, "best on test": 0.2}
    assert chosen(run, *high) == {"last": 0.3, "best on val": 0.2, "best on test": 0.9}
    assert "| A → B, SSIM | 0.300 (0.300) | 0.200 (0.200) | 0.900 (0.900) | 0.700 |" in table([run])
