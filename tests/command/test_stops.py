"""Whoever asks a run to stop, and however often: what was done is saved, and no traceback is shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command.typed import TINY
from train.cyclegan import CycleGAN, main
from train.files import checkpoint
from train.run.command import run_command

ROOT = Path(__file__).resolve().parents[2]


class Signalled(CycleGAN):
    """Gets these signals, one after the other, within its second step."""

    signals: tuple[int, ...] = ()
    made = 0

    def step(self, a: Any, b: Any) -> dict[str, float]:
        self.made += 1
        for number in self.signals if self.made == 2 else ():
            os.kill(os.getpid(), number)
        return super().step(a, b)


def signalled(root: Path, *signals: int) -> int:
    """Exit status of a run that is to make four steps."""
    Signalled.signals = signals
    return run_command(Signalled, [*TINY.split(), "--dataroot", str(root), "--max_steps", "4"])


def saved() -> int:
    """The step that is saved."""
    return checkpoint.load("checkpoints/data/latest.npz")["run"]["step"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_what_systems_and_queues_send(root: Path, number: int) -> None:
    """Also twice, as it happens: they ask no more than once."""
    before = signal.signal(number, signal.SIG_DFL)  # whoever tests under nohup ignores SIGHUP
    try:
        assert signalled(root, number, number) == 128 + number
        assert saved() == 2 and signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert main(["--continue_train", "--max_steps", "3"]) == 0


def test_under_nohup_a_terminal_may_close(root: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signalled(root, signal.SIGHUP) == 0
        assert saved() == 4 and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_twice_ends_at_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert signalled(root, signal.SIGINT, signal.SIGINT) == 130
    err = capsys.readouterr().err
    assert "Ctrl-C once more: at once" in err and "stopped at once; what was saved before is kept" in err
    assert "Traceback" not in err and not Path("checkpoints/data/latest.npz").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_while_the_last_state_is_saved(root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """It is saved all the same."""
    save = checkpoint.save

    def asked(path: Path, state: Any) -> None:
        os.kill(os.getpid(), number)
        save(path, state)

    monkeypatch.setattr(checkpoint, "save", asked)
    signalled(root)
    assert saved() == 4


def test_ctrl_c_while_python_imports(tmp_path: Path) -> None:
    """It comes while the first of the libraries is loaded, which takes its time."""
    (tmp_path / "stand_in").mkdir()
    (tmp_path / "stand_in" / "numpy.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)"
    )
    done = subprocess.run(
        [sys.executable, "-m", "train.cyclegan"], check=False, cwd=ROOT, capture_output=True, text=True, timeout=30,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "stand_in")},
    )  # fmt: skip
    assert done.returncode == -signal.SIGINT and done.stderr == done.stdout == ""


HIGH = """
import sys
from kernels.dispatch import references
from train.cyclegan import main
from train.run import display
display.write_report = lambda *a, **k: None
with references():
    sys.exit(main())
"""


def test_nobody_reads_what_it_says(root: Path, tmp_path: Path) -> None:
    """`| head -1`, or a terminal that has gone: the run is brought to its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HIGH, *TINY.split(), "--dataroot", str(root), "--print_freq", "1", "--max_steps", "3"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    lines = (tmp_path / "checkpoints" / "data" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3] and saved() == 3
