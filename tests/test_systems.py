"""What all systems share: settings of their own, the run around them, and refusing each other's checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from train import pix2pix, stochastic_cyclegan
from train.config.settings import Config, another_default, setting
from train.cyclegan import CycleGAN
from train.data import sources
from train.evaluation import domain_distance
from train.files import checkpoint
from train.run.command import run_command

TINY = dict(load_size=24, crop_size=24, ndf=2, n_blocks=1, n_epochs=1, n_epochs_decay=0, max_dataset_size=2)


@dataclass(frozen=True)
class ToyConfig(Config):
    """Another default, no identity loss, and an option of its own."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"tiny": TINY, "paper": {}}
    ngf: int = another_default("ngf", 3)
    lambda_identity: float = 0.0
    strength: float = setting(2.0, "how strong it is", group="losses", least=0)


class Toy(CycleGAN):
    """CycleGAN of one direction that is judged by another loss."""

    program = "toys.toy"
    settings = ToyConfig
    directions = ("BtoA",)
    metric = ("strength",)
    legend: ClassVar[Mapping[str, str]] = {"real": "what a toy sees"}

    def step(self, real_a: Any, real_b: Any) -> dict[str, float]:
        assert isinstance(self.config, ToyConfig)
        return super().step(real_a, real_b) | {"strength": self.config.strength}


def toy(line: str) -> int:
    return run_command(Toy, line.split())


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_help_has_the_systems_own_options_and_defaults_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        toy("--help")
    page = " ".join(capsys.readouterr().out.split())
    assert "--strength FLOAT how strong it is (default: 2.0)" in page and "(default: 3)" in page
    assert "--lambda_identity" not in page and "--lambda_A" in page


def test_options_are_the_systems_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert toy("--lambda_identity 1") == 2 and "no option --lambda_identity" in capsys.readouterr().err
    assert toy("--strength -1") == 2 and "--strength is -1.0; wanted at least 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "words", "said"),
    [
        (pix2pix.main, "--pool_size 9", "no option --pool_size; leave it out: it is always 0 here; train.cyclegan has it ("),
        (pix2pix.main, "--lambda_A 9", "; train.cyclegan, train.augmented_cyclegan and train.stochastic_cyclegan have it ("),
        (stochastic_cyclegan.main, "--two_sided", "no option --two_sided; train.augmented_cyclegan has it ("),
        (stochastic_cyclegan.main, "--kl", "no option --kl (--help"),  # --lr is no guess at it
    ],
)  # fmt: skip
def test_an_option_that_only_others_have(main: Any, words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2 and said in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_another_system(capsys: pytest.CaptureFixture[str]) -> None:
    assert toy("--device cpu") == 0
    out = capsys.readouterr().out
    assert "B → A" in out and "A → B" not in out  # the direction it has
    saved = checkpoint.load("checkpoints/scenes/latest.npz")
    assert saved["program"] == "toys.toy" and "lambda_identity" not in saved["config"] and saved["config"]["ngf"] == 3
    assert json.loads(Path("checkpoints/scenes/config.json").read_text()) == saved["config"]
    assert saved["schedule"]["best"] == 2.0  # the mean of the metric over the epoch's steps
    page = Path("checkpoints/scenes/report.html").read_text()
    assert "what a toy sees" in page and "how strong it is" in page and "identity" not in page.lower()

    assert toy("--continue_train --n_epochs 2 --strength 3") == 2
    assert "strength: saved 2.0, asked for 3.0" in capsys.readouterr().err
    assert toy("--continue_train --n_epochs 2") == 0
    assert checkpoint.load("checkpoints/scenes/latest.npz")["run"]["step"] == 4

    assert run_command(CycleGAN, ["--continue_train"]) == 2
    assert "go on with python -m toys.toy --continue_train" in capsys.readouterr().err


def test_a_system_of_one_direction_is_evaluated_while_it_trains(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(domain_distance, "STEPS", 2)
    assert toy("--device cpu --eval_freq 1 --max_steps 2") == 0
    assert "epoch 1, B → A: L1 0." in capsys.readouterr().err


def test_built_in_pictures_are_those_that_can_be_chosen() -> None:
    assert tuple(sources.BUILTIN) == Config.options()["builtin"].metadata["choices"]
