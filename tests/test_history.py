"""metrics.jsonl stays readable whatever happens to the process that writes it; the progress lines say what matters."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.errors import UserError
from train.files.history import History
from train.run.progress import Progress


def steps(path: Path) -> list[int]:
    return [record["step"] for record in History(path).read()]


def test_records_come_back(tmp_path: Path) -> None:
    history = History(tmp_path / "run" / "metrics.jsonl")
    assert history.read() == []
    assert not (tmp_path / "run").exists()  # reading makes nothing
    history.append({"step": 1, "D_A": 0.1 + 0.2, "lr": 2e-4})
    history.append({"step": 2, "D_A": np.float32(0.25), "lr": np.float64(1e-4)})
    assert history.read() == [{"step": 1, "D_A": 0.1 + 0.2, "lr": 2e-4}, {"step": 2, "D_A": 0.25, "lr": 1e-4}]


def test_numbers_that_are_not_finite_stay_json(tmp_path: Path) -> None:
    history = History(tmp_path / "m.jsonl")
    history.append({"step": 1, "D_A": math.nan, "G_A": np.float32(math.inf), "D_B": -math.inf})
    history.close()

    def no(constant: str) -> None:
        raise AssertionError(constant)

    line = (tmp_path / "m.jsonl").read_text()
    assert json.loads(line, parse_constant=no) == {"step": 1, "D_A": None, "G_A": None, "D_B": None}


def test_flush_hands_lines_over_and_appending_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    history = History(path)
    history.append({"step": 1})
    assert not path.exists() and [record["step"] for record in history.read()] == [1]  # it waits
    history.flush()
    assert steps(path) == [1]
    history.close()
    again = History(path)
    again.append({"step": 2})
    again.close()
    assert steps(path) == [1, 2]


def test_resuming_drops_what_the_checkpoint_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    history = History(path)
    history.truncate(5)  # nothing there yet
    for step in range(1, 10):
        history.append({"step": step})
    history.truncate(6)
    history.append({"step": 7, "again": True})
    history.flush()
    assert steps(path) == [1, 2, 3, 4, 5, 6, 7]
    assert History(path).read()[-1]["again"]
    History(path).truncate(100)
    assert steps(path) == [1, 2, 3, 4, 5, 6, 7]
    History(path).truncate(0)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("torn", ['{"st', '{"step": 3, "D_A": 0.12}', "\x00\x00"])
def test_a_torn_last_line_is_ignored_then_cut(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "m.jsonl"
    whole = '{"step": 1}\n{"step": 2}\n'
    path.write_text(whole + torn)
    assert steps(path) == [1, 2]
    history = History(path)
    history.append({"step": 3})
    history.close()
    assert path.read_text() == whole + '{"step": 3}\n'
    path.write_text(whole + torn)
    History(path).truncate(2)
    assert path.read_text() == whole


def test_what_the_disk_refuses_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it takes nothing, or half a line, as a full disk does: afterwards every line is there, once."""
    path = tmp_path / "m.jsonl"
    history = History(path)
    history.append({"step": 1})
    history.flush()

    class Full(io.FileIO):
        room = 5

        def write(self, data: Any) -> int:
            if not Full.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken = super().write(memoryview(data)[: Full.room])
            Full.room -= taken
            return taken

    history._file = Full(path, "r+b")
    for step in (2, 3):
        history.append({"step": step})
        with pytest.raises(OSError, match="No space left"):
            history.flush()
        assert steps(path) == [1] and [record["step"] for record in history.read()] == list(range(1, step + 1))
    Full.room = 1000
    history.append({"step": 4})
    history.flush(sync=True)
    assert path.read_text() == "".join(f'{{"step": {i}}}\n' for i in range(1, 5))


def test_it_says_when_there_is_enough_to_write(tmp_path: Path) -> None:
    """Again and again while the disk refuses, and not at every step."""
    history = History(tmp_path / "file in the way" / "m.jsonl")
    (tmp_path / "file in the way").write_text("")
    tried = []
    for step in range(1, 1001):
        history.append({"step": step, "text": "x" * 70})  # about 100 bytes
        if history.due:
            tried.append(step)
            with pytest.raises(OSError):
                history.flush()
    assert len(tried) == 1000 * 96 // 8192 and [record["step"] for record in history.read()] == list(range(1, 1001))
    (tmp_path / "file in the way").unlink()
    history.flush()
    assert steps(history.path) == list(range(1, 1001)) and not history.due


def test_a_file_that_was_moved_or_removed(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    history = History(path)
    for step, change in ((1, lambda: path.rename(tmp_path / "moved")), (2, path.unlink), (3, lambda: None)):
        history.append({"step": step})
        history.flush()
        assert steps(path) == [step]
        change()
    assert steps(tmp_path / "moved") == [1]


@pytest.mark.parametrize(
    ("there", "after", "missing"),
    [
        ([], 0, []),
        ([], 4, [(1, 4)]),
        ([1, 2, 3, 4, 5], 4, []),
        ([1, 2], 4, [(3, 4)]),
        ([1, 4, 5], 5, [(2, 3)]),
        ([3, 3, 7], 6, [(1, 2), (4, 6)]),
    ],
)
def test_missing_steps_are_told(tmp_path: Path, there: list[int], after: int, missing: list[tuple[int, int]]) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("".join(f'{{"step": {step}}}\n' for step in there))
    assert History(path).truncate(after) == missing


def test_what_a_power_cut_leaves_behind_the_saved_lines_is_dropped(tmp_path: Path) -> None:
    """Blocks that never reached the disk read as zeros, or as whatever was there; lines of later ones may be whole."""
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n\0\0\0\n{"step": 4}\n')
    with pytest.raises(UserError, match="line 3"):
        History(path).truncate(3)
    assert History(path).truncate(2) == []
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_cut_that_the_disk_refused_is_made_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n')
    history = History(path)
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(History, "_wanted", lambda *args: os.listdir("/not there"))
        history.truncate(1)
    history.append({"step": 2, "again": True})
    history.flush()
    assert path.read_text() == '{"step": 1}\n{"step": 2, "again": true}\n'


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1}\nhello\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"m\.jsonl, line 2: b'hello"):
        History(path).read()
    with pytest.raises(UserError, match="line 2"):
        History(path).truncate(5)
    assert path.read_text().count("\n") == 3


def test_killed_it_loses_at_most_what_was_not_flushed(tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from train.files.history import History
        history = History(sys.argv[1])
        for step in range(1, 1501):
            history.append({"step": step, "D_A": step / 7, "G_A": step / 3})
            if step == 1000:
                history.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "m.jsonl"
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], check=False, timeout=30)
    seen = steps(path)
    assert 1000 <= len(seen) < 1500 and seen == list(range(1, len(seen) + 1))
    History(path).truncate(1000)
    assert len(steps(path)) == 1000


LOSSES = {"D_A": 0.251, "G_A": 0.3, "cycle_A": 1.5, "idt_A": 0.7, "D_B": 0.2, "G_B": 0.4, "cycle_B": 1.25}


def test_progress_without_a_terminal_prints_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=10, start=3, print_freq=3)
    for _ in range(7):
        progress.update(LOSSES, lr=2e-4)
    progress.line("a sample grid was written")
    progress.close()
    out = capsys.readouterr()
    lines = out.err.splitlines()
    assert out.out == "" and [line.split("  ")[0] for line in lines] == [
        "step 6/10",
        "step 9/10",
        "step 10/10",
        "a sample grid was written",
    ]
    assert "D_A 0.251" in lines[0] and "cycle_B 1.25" in lines[0] and "lr 0.0002" in lines[0]
    assert "steps/s" in lines[0] and "left" in lines[0] and "left" not in lines[2]


def test_progress_can_be_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total=2, start=0, enabled=False, print_freq=1) as progress:
        progress.update(LOSSES, lr=1)
        progress.line("x")
    assert capsys.readouterr().err == ""


def test_progress_on_a_terminal_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress(total=4, start=2, print_freq=100) as progress:
        progress.update(LOSSES, lr=1e-3)
        progress.line("above the bar")
        progress.update(LOSSES, lr=1e-3)
    err = capsys.readouterr().err
    assert "4/4" in err and "above the bar\n" in err and "D_A 0.251" in err
