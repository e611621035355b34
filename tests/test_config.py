"""Settings and the command line made from them."""

from __future__ import annotations

import argparse
import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from train.config.options import parse
from train.config.settings import PRESETS, Config
from train.cyclegan import CycleGAN
from train.errors import UserError
from train.models.registry import SYSTEMS

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def settings(line: str) -> dict[str, Any]:
    return parse(line.split(), "train.cyclegan", "About.\nMore.")[0]


def refusal(line: str) -> str:
    with pytest.raises(UserError) as caught:
        settings(line)
    return str(caught.value)


def test_the_papers_defaults() -> None:
    c = Config()
    wanted = dict(
        ngf=64, ndf=64, n_blocks=9, netG="resnet", netD="basic", lr=2e-4, beta1=0.5, lambda_A=10.0, lambda_B=10.0,
        lambda_identity=0.5, pool_size=50, batch_size=1, n_epochs=100, n_epochs_decay=100, load_size=286, crop_size=256,
        gan_mode="lsgan", lr_policy="linear", preprocess="resize_and_crop", no_flip=False, init_type="normal",
        init_gain=0.02, upsample="deconv",
    )  # fmt: skip
    assert {name: getattr(c, name) for name in wanted} == wanted
    assert c.epochs == 200 and c.replace(epoch_count=3).epochs == 198
    with pytest.raises(dataclasses.FrozenInstanceError):
        c.lr = 1.0  # type: ignore[misc]


def test_every_field_is_an_option_and_says_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        settings("--help")
    assert left.value.code == 0
    page = capsys.readouterr().out
    shown = " ".join(page.split())
    about = " ".join(page.split("\n\nrun:", 1)[1].split())  # without the synopsis at the top
    for name, field in FIELDS.items():
        text = about.split(f"--{name} ", 1)[1].split(" --", 1)[0]
        default = "off" if field.default is False else field.default
        assert "(default: " in text and (default == "" or f"(default: {default})" in text), name
        assert all(choice in text for choice in field.metadata["choices"]), name
    assert "--preset {tiny,small,paper}" in shown and "tiny: a few minutes on a laptop's CPU" in shown
    assert "--load_size 64" in shown and "--no-no_flip" not in shown
    assert "About." in shown and "More." not in shown


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_reaches_its_field_with_its_type(name: str) -> None:
    field = FIELDS[name]
    if isinstance(field.default, bool):
        given, wanted = f"--{name}", True
    elif field.metadata["choices"]:
        wanted = field.metadata["choices"][-1]
        given = f"--{name} {wanted}"
    else:
        wanted = {str: "color" if name == "diffaugment" else "x", int: 7, float: 0.25}[type(field.default)]
        given = f"--{name}={wanted}"
        given += " --crop_size 4" if name == "load_size" else " --lambda_identity 0" * name.endswith("_nc")
    value = settings(given + " --preset paper")[name]
    assert value == wanted and type(value) is type(field.default)
    assert field.metadata["resume"] in ("fixed", "free")


def test_presets() -> None:
    assert settings("") == PRESETS["tiny"] == settings("--preset tiny")
    assert settings("--dataroot d") == {"dataroot": "d"}  # the paper's
    assert settings("--preset paper") == {}
    assert settings("--dataroot d --preset tiny --ngf 8") == PRESETS["tiny"] | {"dataroot": "d", "ngf": 8}
    assert parse(["--continue_train", "--n_epochs", "9"], "p", None)[:2] == ({"n_epochs": 9}, True)
    for preset in PRESETS.values():
        assert preset.keys() <= FIELDS.keys()
        assert Config(**preset).misfit(Config(**preset).crop_size, Config(**preset).crop_size) == ""


@pytest.mark.parametrize("line", ["--netG resnet_6blocks", "--netG=resnet_6blocks"])
def test_the_fields_names_of_generators(line: str) -> None:
    assert settings(f"--preset paper {line}") == {"netG": "resnet", "n_blocks": 6}
    assert settings(f"--preset paper {line} --n_blocks 2")["n_blocks"] == 2
    assert settings("--name resnet_9blocks --preset paper") == {"name": "resnet_9blocks"}


@pytest.mark.parametrize(
    "line, said",
    [
        ("--crop-size 8", "no option --crop-size; did you mean --crop_size?"),
        ("--n_epoch=8", "no option --n_epoch; did you mean --n_epochs?"),
        ("--lambda_idt 0", "did you mean --lambda_identity?"),
        ("--frobnicate", "no option --frobnicate (--help lists all)"),
        ("--crop 64", "no option --crop"),  # abbreviations would change meaning when options are added
        ("datasets/maps", "did you mean --dataroot datasets/maps?"),
        ("--netG resnet_8blocks", "invalid choice: 'resnet_8blocks'"),
        ("--lr fast", "--lr: invalid float value: 'fast'"),
        ("--n_epochs 1.5", "--n_epochs: invalid int value: '1.5'"),
        ("--name", "--name: expected one argument"),
        ("--batch_size 0", "--batch_size is 0; wanted at least 1"),
        ("--lr -1", "--lr is -1.0; wanted at least 0"),
        ("--lr nan", "--lr is nan; wanted a finite number"),
        ("--lr inf", "--lr is inf; wanted a finite number"),
        ("--lr 1e999", "--lr is inf; wanted a finite number"),
        ("--init_gain nan", "--init_gain is nan; wanted a finite number"),
        ("--lambda_A inf", "--lambda_A is inf; wanted a finite number"),
        ("--seed -3", "--seed is -3; wanted at least 0"),
        ("--sample_freq 0", "--sample_freq is 0; wanted at least 1"),
        ("--beta1 1", "--beta1 is 1.0"),
        ("--crop_size 99 --load_size 98", "--crop_size 99 is larger than --load_size 98"),
        ("--crop_size wide", "--crop_size: 'wide' is no size in pixels; wanted a side such as 256, or WIDTHxHEIGHT"),
        ("--crop_size 320x", "'320x' is no size"),
        ("--crop_size 0", "'0' is no size"),
        ("--load_size 64x-8", "'64x-8' is no size"),
        ("--crop_size 96x32", "--crop_size 96x32 is larger than --load_size 64"),
        ("--load_size 64x80 --preprocess scale_width", "takes a width: --load_size 64"),
        ("--cache_mb -1", "--cache_mb is -1; wanted at least 0"),
        ("--input_nc 1", "domain A has 1 channels and domain B 3; add --lambda_identity 0"),
        ("--epoch_count 9", "--epoch_count 9 lies beyond the last epoch, 8"),
        ("--n_epochs 0 --n_epochs_decay 0", "raise --n_epochs"),
    ],
)
def test_bad_options_are_named(line: str, said: str) -> None:
    assert said in refusal(line)


@pytest.mark.parametrize("program", SYSTEMS)
def test_every_number_of_every_system_must_be_finite(program: str) -> None:
    config = SYSTEMS[program].settings
    numbers = [name for name, field in config.options().items() if isinstance(field.default, float)]
    assert len(numbers) >= 6
    for name in numbers:
        for value in (math.nan, math.inf, -math.inf):
            with pytest.raises(UserError, match=f"--{name} is .*finite"):
                config(**{name: value}).check()


def test_what_looks_odd_but_works() -> None:
    assert settings("--pool_size 0 --lambda_identity 0 --input_nc 1 --n_epochs_decay 0")["input_nc"] == 1
    assert settings("--preprocess none --crop_size 512")["crop_size"] == 512  # not used there
    assert settings("--lr 0")["lr"] == 0.0
    assert settings("--crop_size 64x32")["crop_size"] == "64x32" and settings("--crop_size 32x32")["crop_size"] == 32


@pytest.mark.parametrize(
    "netG, netD, layers",
    [("resnet", "basic", 3), ("resnet", "n_layers", 1), ("resnet", "n_layers", 2), ("resnet", "pixel", 3)],
)
def test_misfit_agrees_with_the_networks(netG: str, netD: str, layers: int) -> None:
    """The smallest sizes that are allowed train; the next smaller do not, or not under the same shape."""
    c = Config(netG=netG, netD=netD, n_layers_D=layers, ngf=1, ndf=1, n_blocks=1, device="cpu")
    for side in range(2, 30, 2):
        x = np.zeros((1, side, side + 4, 3), np.float32)
        try:
            CycleGAN(c).step(x, x)
            works = True
        except ValueError:
            works = False
        assert works == (c.misfit(side + 4, side) == ""), (side, c.misfit(side + 4, side))


def test_misfit_of_unets() -> None:
    assert Config(netG="unet_128").misfit(128, 256) == ""
    assert "multiples of 128" in Config(netG="unet_128").misfit(128, 192)
    assert "multiples of 256" in Config(netG="unet_256").misfit(128, 128)
    assert "at least 384" in Config(netG="unet_256", netD="n_layers", n_layers_D=7).misfit(256, 256)


def test_no_option_is_lost_between_parser_and_dataclass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    original = argparse.ArgumentParser.parse_known_args

    def spy(self: argparse.ArgumentParser, *args: Any) -> Any:
        seen.extend(action.dest for action in self._actions)
        return original(self, *args)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", spy)
    settings("")
    assert sorted(seen) == sorted([*FIELDS, "help", "config", "preset", "continue_train"])
