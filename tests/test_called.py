"""How a run is called, and what a folder may be: one place for every command."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from train.errors import UserError
from train.files.folder_names import check_folder
from train.files.runs import config_beside, find_run, run_or_file
from train.models.registry import SYSTEMS
from train.run.exit_code import exit_code


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """checkpoints/r with two checkpoints, beside networks of others, in the folder where commands are typed."""
    monkeypatch.chdir(tmp_path)
    for name in ("r/latest.npz", "r/epoch_005.npz", "theirs/latest_net_G.pth"):
        Path("checkpoints", name).parent.mkdir(parents=True, exist_ok=True)
        Path("checkpoints", name).touch()
    return Path("checkpoints")


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ("r", ""), ("r/", ""), ("checkpoints/r", ""), ("./checkpoints/r/", ""), ("checkpoints/r/latest.npz", "latest"),
        ("r/epoch_005.npz", "epoch_005"), ("checkpoints/../checkpoints/r/epoch_005.npz", "epoch_005"), ("{here}/checkpoints/r", ""),
    ],
)  # fmt: skip
def test_a_run_is_found_by_name_or_path(given: str, state: str, runs: Path) -> None:
    found = find_run(given.format(here=Path.cwd()), runs, "--name")
    assert found.folder.resolve() == (runs / "r").resolve() and found.state == state and found.folder.name == "r"


def test_a_run_is_found_from_inside(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs / "r")
    assert find_run(".", Path("checkpoints"), "--name").folder.name == "r"
    monkeypatch.chdir("..")
    assert find_run("r", Path("checkpoints"), "--name").folder == Path("r")


def test_what_is_no_run_is_told(runs: Path) -> None:
    for given, said in (
        ("x", "--name: there is no run 'x'; checkpoints holds r"),
        ("checkpoints", "--name: the folder 'checkpoints' holds no latest.npz; checkpoints holds r"),
        ("", "--name: which run? Give --name; checkpoints holds r"),
        ("theirs", "--weights checkpoints/theirs translates and evaluates with them; python -m train.convert checkpoints/theirs --run"),
    ):  # fmt: skip
        with pytest.raises(UserError) as error:
            find_run(given, runs, "--name")
        assert said in str(error.value)


def test_weights_are_a_path_or_a_run_of_that_name(runs: Path) -> None:
    assert run_or_file("r", runs) == runs / "r" and run_or_file("checkpoints/r", runs) == runs / "r"
    assert run_or_file("r/latest.npz", runs) == runs / "r" / "latest.npz"
    assert run_or_file("nowhere", runs) == Path("nowhere")  # as typed, so that the error names it so
    Path("r").touch()
    assert run_or_file("r", runs) == Path("r")


def test_the_settings_beside_weights_are_read_if_they_are_there(runs: Path) -> None:
    (runs / "r" / "config.json").write_text('{"direction": "BtoA"}')
    assert config_beside(runs / "r") == config_beside(runs / "r" / "epoch_005.npz") == {"direction": "BtoA"}
    for text in ("[1]", "{", "[" * 10**6):
        (runs / "r" / "config.json").write_text(text)
        assert config_beside(runs / "r") == {}
    assert config_beside(runs / "theirs") == config_beside(Path("nowhere")) == {}


def test_a_folder_is_not_called_as_a_file_is(tmp_path: Path) -> None:
    for name in ("out.heic", "out.JSON", "a/set.zip"):
        with pytest.raises(UserError, match="kind of file; wanted a folder"):
            check_folder(tmp_path / name, "--output")
    (tmp_path / "kept.zip").mkdir()
    for name in ("kept.zip", "results_v1.2", "out", ".hidden"):
        check_folder(tmp_path / name, "--output")


def test_options_of_every_system_are_of_one_kind() -> None:
    """An option that a relative of CycleGAN gives another default takes what it takes there: 64, and 96x64."""
    base = SYSTEMS["train.cyclegan"].settings.options()
    for program, system in SYSTEMS.items():
        for name, field in system.settings.options().items():
            assert name not in base or field.type == base[name].type, f"{program} --{name}"


def test_a_terminal_that_lacks_a_letter_gets_it_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are no UTF-8, and arrows where the terminal knows Latin-1 only; a traceback would come after all the work."""
    terminal = io.TextIOWrapper(raw := io.BytesIO(), "latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)

    @exit_code()
    def command() -> int:
        print(f"A → B of {os.fsdecode(b'caf')}{chr(0xDCE9)}")
        return 0

    assert command() == 0
    terminal.flush()
    assert raw.getvalue() == b"A \\u2192 B of caf\\udce9\n"
