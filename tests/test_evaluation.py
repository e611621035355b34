"""Evaluation while training: what is recorded, which state is kept as the best, what the plateau policy is fed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from train.config.settings import Config
from train.cyclegan import CycleGAN, main
from train.errors import UserError
from train.evaluation import domain_distance
from train.evaluation.evaluation import Evaluation, overall, translate_all
from train.evaluation.metrics import l1, ssim
from train.files import checkpoint
from train.run import command, display, run_state, trainer
from train.run.command import run_command
from train.run.schedule import Schedule

TINY = (
    "--preset tiny --device cpu --load_size 28 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 1 --pool_size 2 --n_epochs 5 "
    "--n_epochs_decay 0 --max_dataset_size 3 --num_threads 0 --eval_freq 2 --lr_policy plateau --name run"
)  # 5 epochs of 3 steps on the built-in scenes, evaluated after 6 and 12


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_distance, "STEPS", 2)
    monkeypatch.setattr(run_state, "EVALUATED", 6)
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)


class Stopping(CycleGAN):
    """Asks the process to stop, as Ctrl-C does, in step number `stop` of the run."""

    stop, steps = 0, 0

    def step(self, a: Any, b: Any) -> dict[str, float]:
        Stopping.steps += 1
        if Stopping.steps == Stopping.stop:
            os.kill(os.getpid(), signal.SIGINT)
        return super().step(a, b)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def test_scores_stand_in_the_record_that_ends_an_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY.split(), "--checkpoints_dir", str(tmp_path)]) == 0
    scored = [line for line in lines(tmp_path) if "ssim_A" in line]
    assert [line["step"] for line in scored] == [6, 12]
    assert {f"{m}_{d}" for m in ("l1", "ssim", "psnr", "retrieval", "distance") for d in "AB"} <= set(scored[0])
    state = checkpoint.load(tmp_path / "run" / "best.npz")
    losses = [1 - (line["ssim_A"] + line["ssim_B"]) / 2 for line in scored]
    assert state["run"]["best"] == ["ssim", pytest.approx(min(losses))]
    assert state["run"]["step"] == scored[int(np.argmin(losses))]["step"]
    assert "epoch 2, A → B and B → A: L1" in capsys.readouterr().err
    # The same from the state itself.
    model = CycleGAN(Config(**state["config"]))
    model.load_state_dict(state["model"])
    again = Evaluation(Config(**state["config"]), 6, phase="val")(model, distance=False)
    assert overall(again, "ssim") == pytest.approx(min(losses))


def test_no_test_image_chooses(tmp_path: Path) -> None:
    """With valA and valB these, else training images; scores at the end are those of the test images."""
    draw = np.random.default_rng(0)
    for part, bright in (("train", 0.1), ("val", 0.4), ("test", 0.8)):
        for domain in "AB":
            (tmp_path / f"{part}{domain}").mkdir()
            for i in range(2):
                pixels = (255 * (bright + draw.uniform(0, 0.1, (24, 24, 3)))).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / f"{part}{domain}" / f"{part}{i}.png")
    config = Config(
        dataroot=str(tmp_path), load_size=24, crop_size=24, eval_freq=1, device="cpu", ngf=2, ndf=2, name="run"
    )

    def light(evaluation: Evaluation) -> float:
        return float(np.mean([x.mean() for x in (*evaluation.pictures["A"], *evaluation.pictures["B"])]) / 2 + 0.5)

    while_training = run_state.RunState(CycleGAN, config).evaluation
    assert while_training is not None and while_training.truth and "no test image" in while_training.told()
    assert light(while_training) == pytest.approx(0.45, abs=0.01) and light(Evaluation(config)) == pytest.approx(
        0.85, abs=0.01
    )
    (tmp_path / "valA").rename(tmp_path / "away")
    while_training = run_state.RunState(CycleGAN, config).evaluation
    assert while_training is not None and not while_training.truth and "which flatter" in while_training.told()
    assert light(while_training) == pytest.approx(0.15, abs=0.01)
    with pytest.raises(UserError, match="--eval_metric ssim needs val images whose true partners are known"):
        run_state.RunState(CycleGAN, config.replace(eval_metric="ssim"))


@pytest.mark.parametrize("stops", [[6], [5, 7, 11, 12, 13]])
def test_resume_is_exact(tmp_path: Path, stops: list[int]) -> None:
    """Stopped where an evaluation is due, and around it."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*TINY.split(), "--checkpoints_dir", str(whole)]) == 0
    line, Stopping.steps = TINY.split(), 0
    for Stopping.stop in stops:
        assert run_command(Stopping, [*line, "--checkpoints_dir", str(parts)]) == 130
        line = ["--continue_train", "--name", "run"]
    assert main([*line, "--checkpoints_dir", str(parts)]) == 0
    for got, wanted in zip(lines(parts), lines(whole), strict=True):
        assert got | {"seconds": 0, "wait": 0} == wanted | {"seconds": 0, "wait": 0}
    for name in ("latest.npz", "best.npz"):
        got, wanted = (checkpoint.load(folder / "run" / name) for folder in (parts, whole))
        assert got["schedule"] == wanted["schedule"] and got["run"] | {"seconds": 0} == wanted["run"] | {"seconds": 0}


class Dimmer:
    """Stands for a model: makes pictures `by` times as bright, and notes how many it was given at once."""

    directions = ("AtoB", "BtoA")

    def __init__(self, by: float = 1.0) -> None:
        self.by, self.batches = by, []  # type: ignore[var-annotated]

    def translate(self, pictures: Any, direction: str = "AtoB") -> np.ndarray:
        self.batches.append(len(pictures))
        return self.by * pictures


def test_a_plateau_watches_the_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With patience 0 and verdicts 0.5, 0.4, 0.45 the rate falls after the third evaluation, and not in between."""
    monkeypatch.setattr(Schedule, "PATIENCE", 0)
    verdicts = iter([0.5, 0.4, 0.45])

    def evaluate(run: trainer.Run) -> dict[str, float]:
        run.verdict = ["ssim", next(verdicts)]
        return {}

    monkeypatch.setattr(trainer.Run, "evaluate", evaluate)
    monkeypatch.setattr(command, "finish", lambda run: None)
    assert main([*TINY.split(), "--n_epochs", "7", "--checkpoints_dir", str(tmp_path)]) == 0
    rates = [line["lr"] for line in lines(tmp_path)][::3]
    assert rates == pytest.approx([0.001] * 6 + [0.0002])
    assert checkpoint.load(tmp_path / "run" / "best.npz")["run"]["best"] == ["ssim", 0.4]


def test_another_metric_starts_a_best_of_its_own() -> None:
    """A run continued under another --eval_metric does not compare L1 with SSIM."""
    schedule = Schedule(Config(lr_policy="plateau"))
    for _ in range(5):
        schedule.end_epoch(0.1, "l1")
    schedule.end_epoch(0.6, "ssim")
    assert (schedule.best, schedule.bad, schedule.done) == (0.6, 0, 6)
    schedule.end_epoch(None)
    assert (schedule.bad, schedule.done) == (0, 7)


def folders(root: Path, sizes: list[tuple[int, int]], partners: bool) -> Config:
    rng = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (root / folder).mkdir()
        for i, (width, height) in enumerate(sizes):
            name = f"{i}.png" if partners else f"{folder}_{i}.png"
            Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(root / folder / name)
    return Config(dataroot=str(root), preprocess="none")


def test_without_pairs_there_is_the_distance_alone(tmp_path: Path) -> None:
    config = folders(tmp_path, [(32, 32)] * 3, partners=False)
    evaluation = Evaluation(config)
    scores = evaluation(Dimmer(0.5))  # type: ignore[arg-type]
    assert not evaluation.truth and evaluation.metric == "distance"
    assert list(scores) == ["A → B", "B → A"]
    assert {who: list(row) for who, row in scores["A → B"].items()} == {
        who: ["distance"] for who in ("model", "untouched", "mean", "real")
    }
    with pytest.raises(UserError, match="--eval_metric ssim needs test images whose true partners are known"):
        Evaluation(config.replace(eval_metric="ssim"))


def test_pairs_of_any_size(tmp_path: Path) -> None:
    evaluation = Evaluation(folders(tmp_path, [(32, 32), (32, 32), (48, 32), (32, 40)], partners=True))
    dimmer = Dimmer(0.5)
    row = evaluation(dimmer, distance=False)["A → B"]["model"]  # type: ignore[arg-type]
    assert dimmer.batches == [2, 1, 1] * 2 and list(row) == ["l1", "psnr", "ssim"]
    a, b = evaluation.pictures["A"], evaluation.pictures["B"]
    assert row["l1"] == pytest.approx(np.mean([l1(0.5 * x, y) for x, y in zip(a, b, strict=True)]))
    assert row["ssim"] == pytest.approx(np.mean([ssim(0.5 * x, y) for x, y in zip(a, b, strict=True)]))
    assert len(translate_all(dimmer, [], "AtoB")) == 0  # type: ignore[arg-type]


def test_the_mean_image_is_that_of_the_training_images(tmp_path: Path) -> None:
    """Of one test pair the mean of the truths would be the truth itself: L1 0, and everything retrieved."""
    config = folders(tmp_path, [(32, 32)] * 3, partners=True)
    for domain in "AB":
        for i in (1, 2):
            (tmp_path / f"test{domain}" / f"{i}.png").unlink()
    evaluation = Evaluation(config)
    rows = evaluation(Dimmer(0.5), distance=False)["A → B"]  # type: ignore[arg-type]
    trained = [np.asarray(Image.open(tmp_path / "trainB" / f"{i}.png")) / np.float32(127.5) - 1 for i in range(3)]
    (truth,) = evaluation.pictures["B"]
    assert (
        rows["mean"]["l1"] == pytest.approx(l1(np.mean(trained, axis=0), truth), rel=1e-5) and rows["mean"]["l1"] > 0.1
    )
    assert all("retrieval" not in row for row in rows.values())
    for domain in "AB":
        (tmp_path / f"train{domain}").rename(tmp_path / f"no_train{domain}")
    assert list(Evaluation(config)(Dimmer(), distance=False)["A → B"]) == ["model", "untouched"]  # type: ignore[arg-type]


def test_names_make_pairs_unless_one_says_no(tmp_path: Path) -> None:
    config = folders(tmp_path, [(32, 32)] * 3, partners=True)
    numbered = Evaluation(config)
    assert numbered.truth and numbered.metric == "ssim"
    assert numbered.partners.startswith("3 pairs, because testA and testB hold the same names, though only numbers; ")
    assert "their edges agree NO better than those of any other two (" in numbered.partners  # noise
    strangers = Evaluation(config.replace(unpaired_test=True))
    assert not strangers.truth and strangers.metric == "distance" and "--unpaired_test" in strangers.partners
    (tmp_path / "testA" / "0.png").rename(tmp_path / "testA" / "zero.png")
    some = Evaluation(config)
    assert not some.truth and some.partners.endswith(
        "2 names are in both, but not all (alone in A: zero; alone in B: 0)"
    )


def test_no_test_folders_means_the_training_images_and_no_held_out_row(tmp_path: Path) -> None:
    config = folders(tmp_path, [(32, 32)] * 3, partners=False)
    for folder in ("testA", "testB"):
        (tmp_path / folder).rename(tmp_path / f"no_{folder}")
    evaluation = Evaluation(config, limit=2)
    assert evaluation.names["A"] == ["trainA_0.png", "trainA_1.png"] and not evaluation.held_out
    assert "real" not in evaluation(Dimmer())["A → B"]  # type: ignore[arg-type]
