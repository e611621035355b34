"""What users of the reference implementation type: its documented lines in order, each row of the table, all answered at once."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from train import convert, doctor, evaluate, explain, probe, translate
from train.ablate import AblationConfig
from train.config.habits import HABITS, OPTIONS, RENAMED, SWITCHES, rows
from train.config.options import parse
from train.config.parser import Parser
from train.errors import UserError
from train.models.registry import SYSTEMS, elsewhere
from train.prepare import command as prepare


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trains(program: str) -> Callable[[list[str]], Any]:
    config = AblationConfig if program == "train.ablate" else SYSTEMS[program].settings
    return lambda words: parse(words, program, "About.", config, {"dry_run": "x"}, elsewhere)[0]


PROGRAMS: dict[str, Callable[[list[str]], Any]] = {
    **{program.removeprefix("train."): trains(program) for program in (*SYSTEMS, "train.ablate")},
    "translate": translate.parse, "evaluate": evaluate.parse, "probe": probe.parse, "convert": convert.parse,
    "prepare": prepare.parse, "explain": explain.parse, "doctor": doctor.parse,
}  # fmt: skip
NEEDED = {"translate": "--weights w --input i --output o", "convert": "w", "evaluate": "--name r", "doctor": "r"}
"""Without these a line is refused for lacking them."""


def typed(line: str) -> Any:
    """What a command makes of a line, `cyclegan --dataroot d`. Raises UserError for what it answers."""
    program, *words = shlex.split(line)
    return PROGRAMS[program](words)


def answer(line: str) -> str:
    with pytest.raises(UserError) as caught:
        typed(line)
    return str(caught.value)


RESULT = "translate --input {} --output {} --weights {}"
LINES = (
    # README.md, in its order
    ("prepare maps", ""),
    ("cyclegan --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan --use_wandb", "--track wandb"),
    ("cyclegan --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan", ""),
    ("translate --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan", RESULT.format("./datasets/maps/testA", "results/maps_cyclegan", "checkpoints/maps_cyclegan")),
    ("evaluate --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan", ""),
    ("prepare facades", ""),
    ("pix2pix --dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --direction BtoA --use_wandb", "--track wandb"),
    ("pix2pix --dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --direction BtoA", ""),
    ("translate --dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --direction BtoA", RESULT.format("./datasets/facades/testB", "results/facades_pix2pix", "checkpoints/facades_pix2pix")),
    ("evaluate --dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --direction BtoA", ""),
    ("pix2pix --dataroot ./datasets/colorization --name color_pix2pix --model colorization --use_wandb", "there is no Lab model"),
    ("prepare horse2zebra", ""),
    ("translate --dataroot datasets/horse2zebra/testA --name horse2zebra_pretrained --model test --no_dropout", RESULT.format("datasets/horse2zebra/testA", "results/horse2zebra_pretrained", "checkpoints/horse2zebra_pretrained")),
    ("translate --dataroot datasets/horse2zebra/testA --name horse2zebra_pretrained --model test --no_dropout --results_dir out", RESULT.format("datasets/horse2zebra/testA", "out/horse2zebra_pretrained", "checkpoints/horse2zebra_pretrained")),
    ("translate --dataroot ./datasets/facades/ --direction BtoA --model pix2pix --name facades_label2photo_pretrained", RESULT.format("./datasets/facades/testB", "results/facades_label2photo_pretrained", "checkpoints/facades_label2photo_pretrained")),
    ("cyclegan --dataroot d --model cycle_gan --norm sync_instance", "leave it out"),
    # scripts/
    ("cyclegan --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan --pool_size 50 --no_dropout", ""),
    ("translate --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan --phase test --no_dropout", RESULT.format("./datasets/maps/testA", "results/maps_cyclegan", "checkpoints/maps_cyclegan")),
    ("pix2pix --dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --netG unet_256 --direction BtoA --lambda_L1 100 --dataset_mode aligned --norm batch --pool_size 0 --use_wandb",
     "pix2pix --dataroot ./datasets/facades --name facades_pix2pix --netG unet_256 --direction BtoA --lambda_L1 100 --track wandb"),
    ("translate --dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --netG unet_256 --direction BtoA --dataset_mode aligned --norm batch", RESULT.format("./datasets/facades/testB", "results/facades_pix2pix", "checkpoints/facades_pix2pix")),
    ("translate --dataroot ./datasets/facades/testB/ --name facades_pix2pix --model test --netG unet_256 --direction BtoA --dataset_mode single --norm batch", RESULT.format("./datasets/facades/testB/", "results/facades_pix2pix", "checkpoints/facades_pix2pix")),
    # docs/tips.md, docs/qa.md, docs/datasets.md
    ("cyclegan --dataroot d --gpu_ids -1", "--device cpu"),
    ("cyclegan --dataroot d --gpu_ids 0", ""),
    ("cyclegan --dataroot d --gpu_ids 0,1,2 --batch_size 32", "one GPU is used"),
    ("cyclegan --dataroot d --no_html", "report.html"),
    ("cyclegan --dataroot d --display_id 0", ""),
    ("cyclegan --dataroot d --display_id -1", ""),
    ("cyclegan --dataroot d --name n --continue_train", ""),
    ("cyclegan --dataroot d --name n --continue_train --epoch_count 51", "a run that goes on knows its epoch"),
    ("cyclegan --dataroot d --name n --continue_train --epoch 100", "epoch_100.npz --run NEW"),
    ("prepare --fold_A /path/to/data/A --fold_B /path/to/data/B --fold_AB /path/to/data", "prepare --from /path/to/data/A /path/to/data/B --name data"),
    ("cyclegan --dataroot d --preprocess scale_width_and_crop --load_size 1024 --crop_size 360", ""),
    ("translate --weights w --input i --output o --preprocess scale_width --load_size 1024", "--max_side PIXELS"),
    ("cyclegan --dataroot d --preprocess crop --crop_size 256", ""),
    ("translate --weights w --input i --output o --preprocess none", ""),
    ("cyclegan --dataroot d --lambda_identity 0", ""),
    ("cyclegan --dataroot d --dataset_mode colorization --model colorization --input_nc 1 --output_nc 2 --lambda_identity 0", "there is no Lab model"),
    ("evaluate --cityscapes_dir c --result_dir r --output_dir o", "--palette scores label maps"),
    ("cyclegan --dataroot d --norm instance", ""),
    ("translate --model test --dataroot ./datasets/horse2zebra/trainA --model_suffix _A --preprocess none --name n", "translate --input ./datasets/horse2zebra/trainA --output results/n --direction AtoB --weights checkpoints/n"),
    ("cyclegan --dataroot d --netG resnet_9blocks --no_dropout --norm instance --dataset_mode unaligned", ""),
    ("cyclegan --dataroot d --lambda_identity 0.1 --init_gain 0.01", ""),
    ("evaluate --dataroot d --name n --phase train", "testA and testB are scored"),
    # years ago
    ("cyclegan --dataroot d --name n --model cycle_gan --no_dropout --fineSize 128 --loadSize 143 --niter 50 --niter_decay 50 --which_model_netG resnet_6blocks --which_direction BtoA --display_id 0",
     "cyclegan --dataroot d --name n --crop_size 128 --load_size 143 --n_epochs 50 --n_epochs_decay 50 --netG resnet_6blocks --direction BtoA"),
    ("pix2pix --dataroot d --name n --model pix2pix --which_model_netG unet_256 --which_direction BtoA --lambda_A 100 --dataset_mode aligned --no_lsgan --norm batch --pool_size 0", "leave it out: it is always 0.0 here; train.cyclegan"),
    ("translate --dataroot d --name n --model test --which_model_netG unet_256 --which_direction BtoA --dataset_mode single --norm batch --how_many 3 --which_epoch 5", RESULT.format("d", "results/n", "checkpoints/n/epoch_005.npz")),
)  # fmt: skip


@pytest.mark.parametrize(("line", "right"), LINES, ids=[line[:60] for line, _ in LINES])
def test_its_documented_lines_work_or_are_answered_once(
    line: str, right: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if not right:
        typed(line)
        return
    said = answer(line)
    assert right in said and "did you mean" not in said, said
    if (better := said.partition("so type: python -m train.")[2].split("\n")[0]) and "DIR_B" not in better:
        typed(better)  # there is no second answer


def test_a_line_for_another_command_is_answered_as_that_command_would() -> None:
    said = answer(
        "cyclegan --dataroot d --model pix2pix --no_dropout --norm batch --fineSize 128 --pool_size 0 --n_epoks 3"
    )
    assert "type python -m train.pix2pix, which trains on pairs" in said and "--no_dropout: type --dropout 0" in said
    assert (
        "--norm batch: leave it out" in said
        and "--n_epoks: did you mean --n_epochs?" in said
        and "pool_size" not in said
    )
    assert (
        said.startswith("5 things are typed otherwise") and "so type" not in said
    )  # what a slip meant is for the user to say
    said = answer("translate --weights w --name n --dataroot d --output o --results_dir r")
    assert said.splitlines()[-2] == "  so type: python -m train.translate --weights w --output o --input d/testA"
    said = answer("cyclegan --dataroot d --name n --phase test --which_epoch 10 --ngf 64")
    assert (
        said.splitlines()[-2]
        == "  so type: python -m train.translate --input d/testA --output results/n --weights checkpoints/n/epoch_010.npz"
    )


def test_what_happens_anyway_is_taken_and_noted(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(
        "pix2pix --dataroot d --pool_size 0 --dataset_mode=aligned --no_lsgan --verbose --lambda_identity 0.0"
    ) == {"dataroot": "d"}
    assert capsys.readouterr().err.splitlines() == [
        "note: --pool_size 0: it is so here anyway", "note: --dataset_mode=aligned: it is so here anyway",
        "note: --no_lsgan: vanilla is this model's loss",
        "note: --verbose: networks are always introduced, and --dry_run shows more",
        "note: --lambda_identity 0.0: it is so here anyway",
    ]  # fmt: skip
    assert "--pool_size 50" in answer("pix2pix --pool_size 50 --dataset_mode unaligned")
    assert "--no_dropout; type --dropout 0 (--help" in answer("pix2pix --no_dropout")
    assert typed("cyclegan --max_dataset_size inf --lr_policy lambda --preset paper") == {}
    assert typed("cyclegan --max_dataset_size 3 --lr_policy step --preset paper") == {
        "max_dataset_size": 3,
        "lr_policy": "step",
    }


def test_a_wrong_value_is_told_with_the_rest() -> None:
    said = answer("pix2pix --dataroot d --gan_mode wgangp --fineSize 64")
    assert (
        "--gan_mode wgangp: its penalty is train.cyclegan's alone" in said
        and "--fineSize 64: type --crop_size 64" in said
        and "so type" not in said
    )


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: f"{habit.flag} {habit.where}".strip())
def test_every_row_answers_somebody(habit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is reached by some command; what it names there are options, and what it takes is taken."""
    value = {".*": "7", r"1|1\.0": "1.0"}.get(habit.values, habit.values.split("|")[-1])
    beside = f" --{habit.beside}" + ("" if habit.beside == "continue_train" else " x") if habit.beside else ""
    text = f"--{habit.flag}" if habit.flag in SWITCHES.split() else f"--{habit.flag}={value}"
    said = {habit.flag: value} | ({habit.beside: ""} if habit.beside else {})
    own = {program: {name[2:] for name in options_of(program)} for program in PROGRAMS}

    def reached(program: str) -> bool:
        kind = "train" if f"train.{program}" in SYSTEMS or program == "ablate" else program
        answers = habit.flag not in own[program] or habit.beside or habit.values != ".*"
        given = "" if habit.flag in SWITCHES.split() else value
        return bool(answers) and rows(habit.flag, given, program, kind, own[program], said) is habit

    programs = [program for program in PROGRAMS if reached(program)]
    assert programs
    for program in {*programs[:1], *programs[-1:]}:
        needed = NEEDED.get(program, "") if habit.taken and not habit.beside else ""
        line = f"{program} {needed} {text}{beside}"
        if habit.taken and not habit.beside:
            typed(line)
            assert f"note: {text}: {habit.why}" in capsys.readouterr().err
            continue
        told = answer(line)
        if habit.taken:
            assert f"{text}:" not in told  # but what stands beside it is answered
            continue
        assert habit.why.split("{")[0][:60] in told
        for word in (word for word in habit.here.split() if word.startswith("--")):
            assert word in told and (word[2:] in own[program] or program == "translate")


@cache
def options_of(program: str) -> set[str]:
    """The options of a command, as its parser knows them."""
    found: set[str] = set()

    class Seen(Exception):
        pass

    def spy(self: Parser, *_: Any) -> Any:
        found.update(name for action in self._actions for name in action.option_strings)
        raise Seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", spy)
        patch.setattr(Parser, "parse_known_args", spy)
        with pytest.raises(Seen):
            PROGRAMS[program]([])
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_option_of_theirs_is_guessed_at(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """None is answered by the nearest name, which led astray: --epoch to --n_epochs, --load_iter to --load_size."""
    theirs = [
        flag for flag in (*OPTIONS.split(), *RENAMED) if f"--{flag}" not in options_of(program) and flag != "phase"
    ]
    words = [f"--{flag}" if flag in SWITCHES.split() else f"--{flag}=x" for flag in theirs]
    said = answer(f"{program} {NEEDED.get(program, '')} {shlex.join(words)} --frobnicate")
    assert "did you mean" not in said and "--frobnicate: there is no such option" in said
    told = [line.split(":")[0].strip() for line in said.splitlines()]
    assert len(set(told)) == len(told)
    unsaid = set(words) - set(told)  # what is taken as it is
    typed(f"{program} {NEEDED.get(program, '')} {shlex.join(unsaid)}")
    assert {line.split(": ")[1] for line in capsys.readouterr().err.splitlines()} == unsaid


def test_a_system_of_ones_own_keeps_its_options() -> None:
    """A flag of theirs may be somebody's own option, and then it is just that."""
    parser = Parser("my_system")
    parser.add_argument("--norm", default="")
    parser.add_argument("--epoch", type=int)
    given = parser.parse_args(["--norm", "instance", "--epoch", "3"])
    assert (given.norm, given.epoch) == ("instance", 3)
