"""The dry run, which leaves nothing behind, and what is written for TensorBoard."""

from __future__ import annotations

import json
import re
import struct
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.command.typed import picture
from train.cyclegan import main
from train.run import disk, display

TINY = (
    "--preset tiny --device cpu --load_size 28 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 1 --max_dataset_size 6 "
    "--sample_freq 2 --watch_freq 1 --name run"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, and without reports, which have tests of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)


def run(options: str) -> int:
    return main([*TINY.split(), *options.split()])


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def test_a_dry_run_tells_and_leaves_one_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            "--dry_run --batch_size 2 --crop_size 24x16 --load_size 32x28 --accumulate 2 --netD n_layers --n_layers_D 1"
        )
        == 0
    )
    out = capsys.readouterr().out
    for words in (
        "steps    16, batch 2 x 2, 24x16 pixels",
        "gen_ab: ResnetGenerator on a 16x24 picture",
        "disc_a: PatchDiscriminator on a 16x24 picture",
        "for weights, gradients and Adam",
        "for each checkpoint",
        "an epoch of 2 steps",
        "for all 16",
        "batch    checkpoints/run_dry_run.png",
        "nothing else was written",
    ):
        assert words in out, out
    assert "gen_ba" not in out  # it is built like gen_ab
    assert list(files()) == ["checkpoints/run_dry_run.png"]
    with Image.open("checkpoints/run_dry_run.png") as picture:
        assert picture.height > 4 * 16 and picture.width > 2 * 24  # four pairs
    assert run("--max_steps 1") == 0  # the name is still free


def test_a_dry_run_of_a_run_that_goes_on_leaves_it_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--max_steps 1") == 0
    before = files()
    assert main(["--continue_train", "--name", "run", "--max_steps", "0", "--dry_run"]) == 0
    assert "for all 47" in capsys.readouterr().out
    Path("checkpoints/run_dry_run.png").unlink()
    assert files() == before


def test_a_dry_run_decodes_every_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also those of a test folder, and those that its few steps do not meet; all that are broken are named."""
    for folder in ("trainA", "trainB", "testA", "testB"):
        for i in range(4):
            picture(tmp_path / "data" / folder / f"{i}.png")
    assert run(f"--dataroot {tmp_path}/data --dry_run --max_dataset_size 3") == 0
    assert "images   14 decoded in " in (out := capsys.readouterr().out), out
    for file in ("trainA/2.png", "testB/3.png"):
        whole = (tmp_path / "data" / file).read_bytes()
        (tmp_path / "data" / file).write_bytes(whole[: len(whole) // 2])
    assert run(f"--dataroot {tmp_path}/data --dry_run --max_dataset_size 3 --name x") == 2
    captured = capsys.readouterr()
    assert "error: 2 of 14 images cannot be used:\n" in captured.err and "disk  " not in captured.out
    assert f"{tmp_path}/data/trainA/2.png: cannot be decoded" in captured.err
    assert f"{tmp_path}/data/testB/3.png: cannot be decoded" in captured.err


def test_a_dry_run_tells_the_disk_that_all_checkpoints_need(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does a run, where there is not so much room."""
    line = "--n_epochs 4 --n_epochs_decay 4 --save_epoch_freq 2 --pool_size 0"  # 4 copies beside the latest
    assert run(f"{line} --dry_run") == 0
    told = re.search(
        r"disk .* (\d+) kB for each checkpoint, .*; 5 kept in the end \(--save_epoch_freq 2, --keep 0\), (\d+) kB",
        capsys.readouterr().out,
    )
    assert told and abs(int(told[2]) - 5 * int(told[1])) <= 5
    assert run(f"{line} --keep 2 --max_steps 40 --dry_run") == 0
    assert "; 3 kept in the end (--save_epoch_freq 2, --keep 2), " in capsys.readouterr().out
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 4 * 1000 * int(told[1]))
    warning = "5 checkpoints will take "
    assert run(f"{line} --dry_run") == 0 and warning in capsys.readouterr().out
    assert run(f"{line} --name a --max_steps 1") == 0 and warning not in capsys.readouterr().err
    assert run(f"{line} --name b") == 0 and f"warning: checkpoints/b: {warning}" in capsys.readouterr().err
    assert run(f"{line} --name c --keep 1") == 0 and warning not in capsys.readouterr().err


def test_a_dry_run_refuses_what_a_run_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--dry_run --crop_size 30") == 2 and "--crop_size 30 is larger" in capsys.readouterr().err
    assert run("--dry_run --lr 1e30") == 2
    assert "dry run, step 2: loss" in capsys.readouterr().err


def events(folder: Path) -> dict[str, dict[int, Any]]:
    """Values by tag and step, read from TensorBoard's files: length, checksum, message, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, Any]] = defaultdict(dict)
    for file in sorted(folder.glob("events*")):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            for value in event.summary.value:
                found[value.tag][event.step] = value.simple_value if value.HasField("simple_value") else value.image
    return found


def test_tensorboard_has_what_metrics_jsonl_has() -> None:
    assert run("--tensorboard --max_steps 4") == 0
    seen = events(Path("checkpoints/run/tensorboard"))
    for line in Path("checkpoints/run/metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for tag, name in (("D/D_A", "D_A"), ("run/lr", "lr"), ("cycle/cycle_B", "cycle_B"), ("grad/grad_G", "grad_G")):
            assert seen[tag][record["step"]] == pytest.approx(record[name], rel=1e-6)
    assert sorted(seen["samples"]) == [0, 2, 4] and seen["samples"][2].width > 100
    assert "run/step" not in seen and np.isfinite(list(seen["run/seconds"].values())).all()


def test_tensorboard_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert run("--tensorboard") == 2
    assert '--track tensorboard needs tensorboardX: pip install -e ".[tensorboard]"' in capsys.readouterr().err
    assert files() == {}


class Library:
    """A stand-in for a tracker's library: any call is noted, and answered by itself."""

    def __init__(self, name: str) -> None:
        self.name, self.calls, self.fails = name, [], False

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Library:
            self.calls.append((name, args, kwargs))
            if self.fails and name in ("log", "log_metrics"):
                raise ConnectionError("no such server")
            return self

        return call


LOGS = {"trackio": "log", "wandb": "log", "mlflow": "log_metrics"}


@pytest.mark.parametrize("name", LOGS)
def test_trackers_have_what_metrics_jsonl_has(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a run is the same with one as without."""
    monkeypatch.setitem(sys.modules, name, Library(name))
    assert run(f"--track {name} --max_steps 2") == 0
    calls = sys.modules[name].calls  # type: ignore[attr-defined]
    lines = [json.loads(line) for line in Path("checkpoints/run/metrics.jsonl").read_text().splitlines()]
    logged = [
        (args[0], kwargs["step"]) for called, args, kwargs in calls if called == LOGS[name] and "samples" not in args[0]
    ]
    assert [step for _, step in logged] == [1, 2]
    for (values, _), line in zip(logged, lines, strict=True):
        assert (
            values["D/D_A"] == line["D_A"]
            and values["run/lr"] == line["lr"]
            and values["cycle/cycle_A"] == line["cycle_A"]
        )
    shown = [kwargs.get("step", args[-1:]) for called, args, kwargs in calls if called in ("Image", "log_image")]
    assert len(shown) == 2  # samples after 0 and 2 steps
    begun = {"trackio": "init", "wandb": "init", "mlflow": "log_params"}[name]
    ((_, args, kwargs),) = [call for call in calls if call[0] == begun]
    assert (kwargs.get("config") or args[0])["crop_size"] == 24
    assert calls[-1][0] in ("finish", "end_run")


def test_a_tracker_that_fails_ends_no_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    library = Library("wandb")
    library.fails = True
    monkeypatch.setitem(sys.modules, "wandb", library)
    assert run("--track wandb --max_steps 3") == 0
    assert capsys.readouterr().err.count("warning: wandb: no such server") == 1
    assert len(Path("checkpoints/run/metrics.jsonl").read_text().splitlines()) == 3


def test_trackers_that_are_off_or_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in LOGS:
        monkeypatch.setitem(sys.modules, name, None)
        assert run(f"--track {name}") == 2
        assert f"--track {name} needs {name}: pip install {name}" in capsys.readouterr().err
    assert run("--track wandb --tensorboard") == 2
    assert "choose one of them" in capsys.readouterr().err
    assert run("--max_steps 1") == 0  # though none can be imported
