"""`python -m train.evaluate`: on a run, on loose weights, with label maps; mistakes."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nn import PatchDiscriminator, ResnetGenerator, UnetGenerator
from train.config.settings import Config
from train.cyclegan import main as train_main
from train.data.builtin.streets import CLASSES
from train.evaluate import main
from train.evaluation import domain_distance
from train.evaluation.evaluation import Evaluation
from train.evaluation.metrics import l1
from train.evaluation.scoring import Asked
from train.files.json_file import finite
from train.report.evaluation import contact_sheet, words
from train.run import display
from train.weights import formats as weights

RUN = (
    "--preset tiny --device cpu --load_size 28 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 1 --max_dataset_size 3 "
    "--max_steps 12 --num_threads 0 --ema 0.9 --name run"
)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_distance, "STEPS", 2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run, of twelve steps and averaged, on the built-in scenes."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(display, "write_report", lambda *args, **kwargs: None)
        assert train_main([*RUN.split(), "--checkpoints_dir", str(folder)]) == 0
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Label maps as B: left half red, right half green; photos as A: the same, in other colours. Paired test images."""
    rng = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / folder).mkdir()
        for i in range(4):
            x = np.zeros((24, 24, 3), np.uint8)
            x[:, : 6 + 3 * i, 0] = x[:, 6 + 3 * i :, 1] = 255
            if folder.endswith("A"):
                x = 200 - x // 2 + rng.integers(0, 50, x.shape, np.uint8)
            Image.fromarray(x).save(tmp_path / folder / f"{i}.png")
    return tmp_path


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    """A file with a generator from A to B."""
    file = tmp_path / "gen.npz"
    weights.save(file, {"gen_ab": ResnetGenerator(ngf=2, n_blocks=1), "disc_b": PatchDiscriminator(ndf=2)})
    return file


def evaluate(*arguments: Any) -> int:
    return main([str(argument) for argument in arguments])


def result(folder: Path) -> dict[str, Any]:
    assert (folder / "contact_sheet.png").exists()
    return json.loads((folder / "evaluation.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_a_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--name", "run", "--checkpoints_dir", runs, "--num_test", 4, "--rows", 3) == 0
    out = capsys.readouterr().out
    got = result(runs / "run" / "evaluation_latest")
    assert "4 of A and 4 of B, test images with their true partners" in out and "not FID" in out
    assert list(got["scores"]) == ["A → B", "B → A"] and got["step"] == 12 and got["images"] == {"A": 4, "B": 4}
    table = got["scores"]["A → B"]
    assert list(table) == ["model", "untouched", "mean", "real"] and list(table["real"]) == ["distance"]
    assert table["real"]["distance"] < table["untouched"]["distance"]
    assert set(table["model"]) == {"l1", "ssim", "psnr", "retrieval", "distance"}
    assert f"{table['model']['l1']:.3f}" in out and 0 <= got["classifier_accuracy"] <= 1
    assert [len(names) for names in got["contact_sheet"].values()] == [3, 3]
    final = json.loads((runs / "run" / "scores.json").read_text())  # of all 32, as training left them
    assert evaluate("--name", "run", "--checkpoints_dir", runs, "--no_distance", "--output", runs / "all") == 0
    assert result(runs / "all")["scores"]["B → A"] == final["B → A"]


def test_a_run_by_its_path(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not by its name alone: by its folder, by a checkpoint in that, and for --weights by its name."""
    few = ("--num_test", 2, "--rows", 1, "--no_distance")
    assert evaluate("--name", f"{runs}/run/", *few) == 0
    assert evaluate("--name", runs / "run" / "latest.npz", *few, "--epoch", "best") == 2
    assert "give one of them" in capsys.readouterr().err
    options = ("--checkpoints_dir", runs, "--dataroot", runs, "--output", runs / "called.json")
    assert evaluate("--weights", "run", *options) == 2 and "called.json: .json is a kind" in capsys.readouterr().err


def test_loose_weights_and_label_maps(data: Path, generator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    palette, out = data / "palette.txt", data / "out"
    palette.write_text("255 0 0 left\n0 255 0 right\n0 0 255 nowhere\n")
    options = ("--dataroot", data, "--crop_size", 24, "--load_size", 24, "--palette", palette, "--output", out)
    assert evaluate("--weights", generator, *options) == 0
    got = result(out)
    assert list(got["scores"]) == ["A → B"]  # it holds no way back
    assert {"pixel_accuracy", "class_accuracy", "class_iou"} < set(got["scores"]["A → B"]["model"])
    assert got["classes"]["model"]["nowhere"]["share"] == 0 and got["classes"]["model"]["nowhere"]["accuracy"] is None
    # The photos' brightest channel is the other class's: 200 - 255/2 against 200.
    assert got["scores"]["A → B"]["untouched"]["pixel_accuracy"] < 0.1
    assert "left" in capsys.readouterr().out
    assert evaluate("--weights", generator, *options, "--label_domain", "A") == 2


@pytest.mark.parametrize(("name", "channels"), [("gen_ab", (1, 3)), ("gen_ba", (3, 1)), ("gen_ab", (1, 1))])
def test_channels_and_sides_follow_from_the_weights(
    data: Path, name: str, channels: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever way they lead; and so do a U-Net's sides."""
    file = data / "g.npz"
    weights.save(file, {name: ResnetGenerator(*channels, ngf=2, n_blocks=1)})
    options = ("--dataroot", data, "--crop_size", 20, "--load_size", 20, "--no_distance", "--output", data / "out")
    assert evaluate("--weights", file, *options) == 0
    direction = "A → B" if name == "gen_ab" else "B → A"
    rows = result(data / "out")["scores"][direction]
    assert ("untouched" in rows) == (channels[0] == channels[1]) and "retrieval" in rows["model"]
    weights.save(file, {name: UnetGenerator(*channels, num_downs=6, ngf=1)})
    assert evaluate("--weights", file, *options) == 2
    assert "--netG unet_64 wants sides that are multiples of 64" in capsys.readouterr().err


def test_strangers_of_one_name_are_scored_without_pairs(
    data: Path, generator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--dataroot", data, "--crop_size", 24, "--load_size", 24, "--output", data / "out")
    (data / "testA" / "old.gif").write_text("")
    assert evaluate("--weights", generator, *options, "--no_distance") == 0
    said = capsys.readouterr().out
    assert "because testA and testB hold the same names, though only numbers" in said
    assert "left out of testA: 1 x .gif" in said
    assert evaluate("--weights", generator, *options, "--unpaired_test") == 0
    got = result(data / "out")
    assert not got["paired"] and set(got["scores"]["A → B"]["model"]) == {"distance"}


def test_the_contact_sheet_shows_the_best_the_worst_and_what_lies_between(data: Path, generator: Path) -> None:
    from train.evaluation.subject import from_weights

    subject = from_weights(generator, {"dataroot": str(data), "crop_size": 24, "load_size": 24, "device": "cpu"})
    evaluation = Evaluation(subject.config)
    truths = evaluation.pictures["B"]
    worse = [x * (1 - 0.2 * i) for i, x in enumerate(truths)]  # the first is exact
    assert [l1(a, b) for a, b in zip(worse, truths, strict=True)] == sorted(l1(a, b) for a, b in zip(worse, truths, strict=True))  # fmt: skip
    sheet, names = contact_sheet(evaluation, subject.model, {"AtoB": worse}, 2, "sheet")
    assert names == {"A → B": ["0.png", "3.png"]}
    assert sheet.width > 3 * 128 and sheet.height > 2 * 128


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "give either --name RUN or --weights FILE"),
        ("--name run --weights x.pth", "give either --name RUN or --weights FILE"),
        ("--name other", "there is no run 'other'; RUNS holds run"),
        ("--name run --epoch 5", "this run has kept latest"),
        ("--name run --epoch best", "this run has kept latest"),
        ("--name run --num_test -1", "--num_test is -1; wanted at least 0"),
        ("--name run --rows 0", "--rows is 0; wanted at least 1"),
        ("--name run --palette none.txt", "--palette none.txt: cannot be read"),
        ("--name run --dataroot nowhere", "nowhere/trainA: there is no such folder"),
        ("--name run --crop_size 30", "--crop_size 30 is larger than --load_size 28"),
        ("--name run --fid", "--fid needs torch-fidelity or clean-fid"),
        ("--name run --fid_weights none.pth", "--fid needs torch-fidelity or clean-fid"),
        ("--weights GEN", "Name their folder with --dataroot"),
        ("--weights nothing.pth --dataroot x", "nothing.pth: there is no such file"),
        ("--nmae run", "did you mean --name?"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: str, told: str, runs: Path, generator: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    for name in ("torch_fidelity", "cleanfid"):
        monkeypatch.setitem(sys.modules, name, None)
    line = arguments.replace("GEN", str(generator)).split()
    assert main([*line, "--checkpoints_dir", str(runs)]) == 2
    out, err = capsys.readouterr()
    assert told.replace("RUNS", str(runs)) in err and "Traceback" not in err and not out


def test_nothing_to_score(data: Path, generator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (data / "testB").iterdir():
        file.rename(file.with_name(f"b{file.name}"))
    options = ("--dataroot", data, "--crop_size", 24, "--load_size", 24)
    assert evaluate("--weights", generator, *options, "--no_distance") == 2
    assert "nothing to score" in capsys.readouterr().err


def test_how_the_classifier_does_is_said() -> None:
    found = {"scores": {"A → B": {"model": {"distance": 1.0}}}, "classes": {}}
    assert "says little" not in words(found) and "this is not FID" in words(found)
    assert "puts 90% of the test images" in words(found | {"classifier_accuracy": 0.9})
    assert ["says little" in words(found | {"classifier_accuracy": share}) for share in (0.6, 0.9)] == [True, False]


def test_the_maps_of_the_built_in_streets_are_known() -> None:
    for changes, wanted in (
        (dict(builtin="streets"), (CLASSES, "A")),
        (dict(builtin="streets", direction="BtoA"), (CLASSES, "B")),
        (dict(builtin="scenes"), (None, "B")),
        (dict(builtin="streets", dataroot="x"), (None, "B")),
    ):
        known: Any = types.SimpleNamespace(config=Config(**changes), truth=True)
        asked = Asked().on(known, ("AtoB", "BtoA"))
        assert (asked.palette, asked.maps) == wanted


def test_numbers_that_json_lacks_become_null() -> None:
    assert finite({"a": [float("inf"), float("nan"), 1.0, "x"]}) == {"a": [None, None, 1.0, "x"]}
