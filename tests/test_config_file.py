"""Settings from a file: what it may say, what wins over it, and who is blamed for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from train.config.options import parse
from train.config.settings import PRESETS, Config
from train.errors import UserError


def settings(line: str) -> dict[str, Any]:
    return parse(line.split(), "train.cyclegan", "About.")[0]


def refusal(path: Path, text: str, line: str = "") -> str:
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        settings(f"--config {path} {line}")
    return str(caught.value)


def test_typed_over_file_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('preset = "tiny"\nngf = 8  # small\nlr = 1e-3\nno_flip = true\ncrop_size = "64x32"\n')
    found = settings(f"--config {file} --ngf 4")
    assert found == PRESETS["tiny"] | {"ngf": 4, "lr": 1e-3, "no_flip": True, "crop_size": "64x32"}
    file.write_text('dataroot = "d"\n')
    assert settings(f"--config {file}") == {"dataroot": "d"}  # so its preset is the paper's
    file.write_text('netG = "resnet_6blocks"\npreset = "tiny"\n')
    assert settings(f"--config {file} --preset paper") == {"netG": "resnet", "n_blocks": 6}
    for name, text in (("run.toml", "ngf = 8"), ("run.json", '{"ngf": 8}')):  # as Windows editors save text
        (tmp_path / name).write_text(text, "utf-8-sig")
        assert settings(f"--config {tmp_path / name} --preset paper") == {"ngf": 8}


def test_a_runs_own_config_makes_the_same_run(tmp_path: Path) -> None:
    run = Config(**PRESETS["tiny"] | dict(name="first", device="cpu", lambda_identity=0.0, crop_size="64x32"))
    (tmp_path / "config.json").write_text(json.dumps(run.as_dict()))
    assert Config(**settings(f"--config {tmp_path}/config.json")) == run
    assert Config(**settings(f"--config {tmp_path}/config.json --name second")) == run.replace(name="second")


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    text = 'crop-size = 64\nlr = "fast"\nno_flip = 1\nseed = true\nnetD = "patch"\nload_size = "wide"\nbatch_size = 0\n'
    said = refusal(tmp_path / "run.toml", text + 'preset = "huge"\n[data]\nx = 1\n')
    assert said.startswith(f"--config {tmp_path / 'run.toml'}:\n")
    for line in (
        "there is no setting crop-size; did you mean crop_size?",
        "lr is 'fast'; wanted such as 0.0002",
        "no_flip is 1; wanted such as False",
        "seed is True; wanted such as 0",
        "netD is 'patch'; wanted one of basic, n_layers, pixel",
        "load_size is 'wide'; wanted a side in pixels",
        "batch_size is 0; wanted at least 1",
        "preset is 'huge'; wanted one of tiny, small, paper",
        "there is no setting data",
    ):
        assert line in said


def test_who_said_it(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    said = refusal(file, "load_size = 98\n", "--crop_size 99")
    assert "--crop_size 99 is larger than --load_size 98" in said and said.endswith(f"({file} says load_size = 98)")
    assert "says" not in refusal(file, "load_size = 98\n", "--crop_size 99 --load_size 97")
    assert "says" not in refusal(file, "ngf = 8\n", "--beta1 1")


def test_names_of_the_reference_implementation(tmp_path: Path) -> None:
    said = refusal(tmp_path / "run.toml", "fineSize = 64\nepoch = 5\nno_lsgan = true\ngpu_ids = -1\nload_iter = 3\n")
    for line in (
        "fineSize; it is crop_size",
        "epoch; leave it out: a run goes on",
        "no_lsgan; --gan_mode vanilla",
        "gpu_ids; --device cpu",
    ):
        assert f"there is no setting {line}" in said
    assert "load_iter; leave it out" in said and "did you mean" not in said


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("a.toml", "lr: 1", "is no TOML: Expected '='"),
        ("a.toml", "lr = 1\nlr = 2\n", "is no TOML: Cannot overwrite a value (at line 2"),
        ("a.json", "{lr: 1}", "is no JSON: Expecting property name"),
        ("a.json", "[1]", "holds a list; wanted names and values"),
        ("a.json", "[" * 100_000, "is no JSON"),
        ("a.toml", "a = " + "[" * 100_000, "nested too deep"),
        ("a.toml", "\x1b[2J = 1", "is no TOML"),
        ("a.toml", '"\\u001b[2J" = 1', "there is no setting \\x1b[2J"),
    ],
)
def test_what_is_no_file_of_settings(name: str, text: str, said: str, tmp_path: Path) -> None:
    seen = refusal(tmp_path / name, text)
    assert said in seen and "\x1b" not in seen


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--config .*none.toml: cannot be read: No such file"):
        settings(f"--config {tmp_path}/none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        settings(f"--config {tmp_path}")
