"""Weights that are no numbers are refused wherever weights are taken in, in one line that names weight and file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nn import ResnetGenerator
from tests.command.typed import picture
from train import convert, evaluate, probe, translate
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.files import checkpoint
from train.files.finite import nonfinite_in
from train.weights import formats

TINY: dict[str, Any] = dict(
    ngf=2, ndf=2, n_blocks=1, load_size=24, crop_size=24, device="cpu", seed=0, builtin="scenes"
)


def refused(capsys: pytest.CaptureFixture[str], command: Callable[[list[str]], int], line: str) -> str:
    assert command(line.split()) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("kind", [".npz", ".pth", ".safetensors"])
def test_a_generator(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, value: float) -> None:
    generator = ResnetGenerator(3, 3, ngf=2, n_blocks=1, device="cpu", seed=0)
    generator.parameters()[0].data.reshape(-1)[3] = value
    file, out = tmp_path / f"g{kind}", tmp_path / "out"
    formats.save(file, {"gen_ab": generator})
    picture(tmp_path / "in.png")
    for name in ("trainA/a", "trainB/b"):
        picture(tmp_path / "d" / f"{name}.png")
    for command, line in (
        (translate.main, f"--weights {file} --input {tmp_path}/in.png --output {out} --device cpu"),
        (translate.main, f"--weights {file} --serve --device cpu"),
        (evaluate.main, f"--weights {file} --dataroot {tmp_path}/d --output {out} --device cpu"),
        (convert.main, f"{file} {tmp_path}/h.safetensors"),
    ):
        err = refused(capsys, command, line)
        assert f"{file}: " in err and "model.1.weight holds a NaN or an infinity" in err
    assert not out.exists() and not (tmp_path / "h.safetensors").exists()


def test_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sound copy is named."""
    monkeypatch.chdir(tmp_path)
    config = Config(**TINY)
    model = CycleGAN(config)
    state = {"program": "train.cyclegan", "config": config.as_dict(), "run": {"step": 3}, "model": model.state_dict()}
    checkpoint.save("checkpoints/r/epoch_001.npz", state)
    state["model"]["networks"]["gen_ba"]["model.4.weight"][0, 0] = np.inf
    checkpoint.save("checkpoints/r/latest.npz", state)
    way = "epoch_001.npz is sound, step 3: cp checkpoints/r/epoch_001.npz checkpoints/r/latest.npz"
    picture("in.png")
    for command, line in (
        (translate.main, "--weights checkpoints/r --direction BtoA --input in.png --output o --device cpu"),
        (evaluate.main, "--name r"),
        (probe.main, "--name r"),
        (convert.main, "checkpoints/r out"),
    ):
        err = refused(capsys, command, line)
        assert "latest.npz: gen_ba/model.4.weight holds a NaN or an infinity" in err and way in err


def test_numbers_that_are_none_as_float32() -> None:
    tree = {"a": [np.arange(3), np.ones(3, np.float16)], "b": {"c": np.array([1e39])}, "d": "nan"}
    assert nonfinite_in(tree) == "b/c"
    assert nonfinite_in({"a": np.array([1, np.nan])}, "gen") == "gen/a"
    assert nonfinite_in({"a": np.float32([3e38]), "b": np.array(["nan"])}) == ""
