"""One process at a time writes into a run's folder; others are told whose it is; and a folder is known wherever it goes."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest

from tests.test_atomic import other_process
from train.files import claim as module
from train.files.claim import LOCK, Claim, Taken

TAKES = """
    import sys
    from pathlib import Path
    from train.files.claim import Claim
    claim = Claim()
    print(claim.take(Path(sys.argv[1])), flush=True)
    sys.stdin.read()
"""


def test_another_process_is_told_whose_it_is(tmp_path: Path) -> None:
    """For as long as that lives, and not a moment longer."""
    folder = tmp_path / "run"
    other = other_process(TAKES, folder)
    told = (
        rf"run is in use by process {other.pid} on {re.escape(socket.gethostname())}, since 20\d\d-.*; wait .* --name$"
    )
    for _ in range(2):
        with pytest.raises(Taken, match=told) as refused:
            Claim().take(folder)
        assert "\n" not in str(refused.value)
    assert json.loads((folder / LOCK).read_text())["process"] == other.pid
    other.kill()
    other.wait()
    with Claim() as claim:
        claim.take(folder)
        assert json.loads((folder / LOCK).read_text())["process"] == os.getpid()
        with pytest.raises(Taken):
            Claim().take(folder)
    assert not (folder / LOCK).exists()


def test_each_gets_a_name_of_its_own(tmp_path: Path) -> None:
    claims = [Claim() for _ in range(3)]
    assert [claim.take_free(tmp_path, "x").name for claim in claims] == ["x", "x-2", "x-3"]


def test_what_was_made_and_is_empty_goes(tmp_path: Path) -> None:
    with Claim() as claim:
        claim.take(tmp_path / "a" / "b" / "one")
        with Claim() as beside:
            beside.take(tmp_path / "a" / "b" / "two")
            (tmp_path / "a" / "b" / "two" / "latest.npz").touch()
    assert sorted(os.listdir(tmp_path / "a" / "b")) == ["two"]
    shutil.rmtree(tmp_path / "a" / "b" / "two")
    with Claim() as claim:
        claim.take(tmp_path / "a" / "b" / "one")
    assert os.listdir(tmp_path / "a") == ["b"]  # which was there


def test_temporary_files_of_the_dead_go(tmp_path: Path) -> None:
    """And those of the living stay, whatever they are called."""
    writes = "import sys; from train.files.atomic import _opened; f = _opened(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    (tmp_path / "samples").mkdir()
    dead, alive = tmp_path / "samples" / ".step_000001.png.1.tmp", tmp_path / ".latest.npz.2.tmp"
    other = other_process(writes, alive)
    dead.touch()
    (tmp_path / ".mine.tmp").touch()
    with Claim() as claim:
        claim.take(tmp_path)
    assert alive.exists() and not dead.exists() and (tmp_path / ".mine.tmp").exists()
    other.kill()
    other.wait()
    with Claim() as claim:
        claim.take(tmp_path)
    assert not alive.exists()


def test_where_a_disk_knows_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that the file names decides, where it can be looked for; else whoever reads the error."""
    monkeypatch.setattr(module, "lock", lambda file: None)
    monkeypatch.setattr(module, "MOMENT", 0.0)
    other = other_process(TAKES, tmp_path)
    with pytest.raises(
        Taken, match=f"process {other.pid} .*knows no locks, but a process of this number runs: delete .*{LOCK}"
    ):
        Claim().take(tmp_path)
    other.kill()
    other.wait()
    with Claim() as claim:
        claim.take(tmp_path)
    (tmp_path / LOCK).write_text(json.dumps({"host": "elsewhere", "process": 1, "since": "2026\n"}))
    with pytest.raises(
        Taken, match=r"process 1 on elsewhere, since 2026\\n .*nobody can tell .*: delete .*lock.json if it"
    ):
        Claim().take(tmp_path)
    for garbage in ("", "[]", '{"host": ', json.dumps({"host": socket.gethostname(), "process": "x"})):
        (tmp_path / LOCK).write_text(garbage)
        with Claim() as claim:
            claim.take(tmp_path)


def test_two_at_once_where_a_disk_knows_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds another's name in the file after a moment lets go."""
    monkeypatch.setattr(module, "lock", lambda file: None)
    theirs = {"host": "elsewhere", "process": 1, "since": "now"}
    monkeypatch.setattr(module.time, "sleep", lambda seconds: (tmp_path / LOCK).write_text(json.dumps(theirs)))
    with pytest.raises(Taken, match="process 1 on elsewhere"):
        Claim().take(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text()) == theirs


@pytest.mark.skipif(os.name == "nt", reason="Windows moves no folder in which files are open")
def test_a_folder_is_known_wherever_it_goes(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "run"
    with Claim() as claim:
        assert claim.take(folder) == claim.place() == folder
        (tmp_path / "checkpoints").rename(tmp_path / "old")
        assert claim.place() == tmp_path / "old" / "run"
        folder.mkdir(parents=True)  # another of that name
        assert claim.place() == tmp_path / "old" / "run"
        shutil.rmtree(tmp_path / "old" / "run")
        assert claim.place() is None
    assert folder.exists()
