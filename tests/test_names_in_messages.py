"""Names with line breaks and terminal escapes: an error stays one line, and nothing that cannot be seen is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command.typed import TINY, picture
from train import convert, doctor, evaluate, probe, translate
from train.cyclegan import main
from train.files import checkpoint
from train.files.atomic import write_bytes
from train.files.claim import Claim
from train.files.history import History

BAD = "two\nlines\x1b[2J"


def trained(line: list[str]) -> int:
    return main([*TINY.split(), *line])


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (trained, ["--dataroot", BAD]),
        (trained, ["--name", BAD, "--continue_train"]),
        (trained, ["--continue_train", "--checkpoints_dir", BAD]),
        (trained, ["--dataroot", "data", "--name", f"a/{BAD}"]),
        (translate.main, ["--weights", f"{BAD}.pth", "--input", "in.png", "--output", "out"]),
        (translate.main, ["--weights", f"{BAD}.xyz", "--input", "in.png", "--output", "out"]),
        (translate.main, ["--weights", "empty", "--input", BAD, "--output", BAD]),
        (evaluate.main, ["--name", BAD]),
        (probe.main, ["--name", BAD]),
        (convert.main, [BAD]),
        (convert.main, [f"{BAD}.npz"]),
        (doctor.main, [BAD]),
    ],
)
def test_an_error_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    command: Callable[[list[str]], int], line: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("data/trainA/a.png", "data/trainB/b.png", "in.png", f"{BAD}/x.txt", f"{BAD}.xyz/y.txt"):
        if name.endswith("png"):
            picture(name)
        else:
            Path(name).parent.mkdir()
            Path(name).touch()
    assert command(line) == 2
    said = capsys.readouterr()
    wanted = 1 if "--dataroot" not in line or "data" in line else 4  # one line for each problem
    assert said.err.startswith("error: ") and said.err.count("\n") <= wanted and "\x1b" not in said.err + said.out, (
        said.err
    )
    assert "two\nlines" not in said.err + said.out


def test_files_that_refuse(tmp_path: Path) -> None:
    from train.data.palette import read_palette
    from train.errors import UserError
    from train.files.claim import Taken
    from train.weights.convert import convert as write_weights

    (tmp_path / BAD).mkdir()
    (tmp_path / BAD / "metrics.jsonl").write_text("no record\n")
    with Claim() as claim:
        claim.take(tmp_path / BAD)
        calls: list[tuple[type[Exception], Callable[[], Any]]] = [
            (Taken, lambda: Claim().take(tmp_path / BAD)),
            (UserError, lambda: write_bytes(tmp_path / BAD / "metrics.jsonl" / "x", b"")),
            (UserError, lambda: History(tmp_path / BAD / "metrics.jsonl").read()),
            (UserError, lambda: checkpoint.load(tmp_path / BAD / "none.npz")),
            (UserError, lambda: read_palette(tmp_path / BAD / "none.txt")),
            (UserError, lambda: write_weights({}, tmp_path / f"weights.{BAD}")),
            (UserError, lambda: write_weights({}, tmp_path / BAD / "weights.pth", size=(8, 8))),
        ]
        for kind, call in calls:
            with pytest.raises(kind) as raised:
                call()
            assert "\n" not in str(raised.value) and "\x1b" not in str(raised.value)
