"""Stopped at any change to the disk, a run goes on to the same end. `python -m tests.attack crashes` tries all of them, and
`python -m tests.attack kills` kills real processes; here are some, others every time, and what such a search must find."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from unittest import mock

import pytest

from tests.attack import crashes
from tests.attack.disk import Disk, found_in, lay_out
from tests.attack.kills import Runs
from tests.attack.recording import Change, recorded
from tests.attack.runs import SYSTEMS, System, make_data, quick
from train.files import checkpoint
from train.files.atomic import sync_folder
from train.run.display import Display

COUNT = 4  # states that a run of each system goes on from
Write = Callable[[BinaryIO], object]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with quick():
        yield make_data(tmp_path_factory.mktemp("crashes") / "data")


@pytest.fixture(scope="module")
def pix2pix(data: Path) -> System:
    """The quickest."""
    return System("pix2pix", data)


@pytest.fixture
def seed() -> int:
    """Another one in each run; pytest shows what is printed where a test fails."""
    return int.from_bytes(os.urandom(4), "little")


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_run_goes_on_wherever_it_was_stopped(data: Path, name: str, seed: int) -> None:
    print(f"python -m tests.attack crashes --system {name} --count {COUNT} --seed {seed}")
    outcome = crashes.attack(System(name, data), random.Random(f"{seed} {name}"), COUNT)
    assert not outcome.faults, "\n".join(outcome.faults)
    assert outcome.tried["kill"] > 100 and outcome.tried["power cut"] > 300 and outcome.tried["state"] == COUNT


def test_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    """Real processes, sometimes two at once."""
    print(f"python -m tests.attack kills --count 3 --seed {seed}")
    runs = Runs(tmp_path)
    rng = random.Random(seed)
    while runs.tried["kills"] < 2:
        runs.kill_one(rng, 3)
    assert not runs.faults, "\n".join(runs.faults)


# -- the search finds what it is there for


def unsynced(path: Path, write: Write, size: int = 0) -> None:
    with open(path.with_suffix(".tmp"), "wb") as file:
        write(file)
    os.replace(path.with_suffix(".tmp"), path)
    sync_folder(path.parent)


def unsynced_name(path: Path, write: Write, size: int = 0) -> None:
    with open(path.with_suffix(".tmp"), "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path.with_suffix(".tmp"), path)


def in_place(path: Path, write: Write, size: int = 0) -> None:
    with open(path, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def renamed_first(path: Path, write: Write, size: int = 0) -> None:
    with open(path.with_suffix(".tmp"), "wb") as file:
        os.replace(path.with_suffix(".tmp"), path)
        write(file)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


@pytest.mark.parametrize(
    ("owner", "name", "broken", "mishap", "said"),
    [
        (checkpoint, "write_atomically", unsynced, "power cut", "latest.npz is damaged"),
        (checkpoint, "write_atomically", unsynced_name, "power cut", "step 0 is saved, 2 were promised"),
        (checkpoint, "write_atomically", in_place, "kill", "latest.npz is damaged"),
        (checkpoint, "write_atomically", renamed_first, "kill", "latest.npz is damaged"),
        (Display, "sync", lambda display: None, "kill", "metrics.jsonl has steps [1], 2 are saved"),
        (Display, "sync", lambda display: display.history.flush(), "power cut", "metrics.jsonl has steps"),
    ],
)
def test_broken_writing_is_found(
    pix2pix: System, owner: object, name: str, broken: Callable[..., None], mishap: str, said: str
) -> None:
    with mock.patch.object(owner, name, broken):
        changes, why = pix2pix.recorded({})
    assert not why  # where nothing happens, nothing is amiss
    first = next((point, why) for point in crashes.points({}, changes) if (why := crashes.damage(point)))
    assert first[0].mishap == mishap and said in first[1], first[1]


def test_another_end_is_found(pix2pix: System) -> None:
    """A state that a run goes on from, but not to the same bits: one number of a moment lost."""
    load = checkpoint.load

    def forgetful(path: Path) -> object:
        state = load(path)
        state["model"]["optimizers"]["g"]["m"][0][...] = 0
        return state

    state = [point for point in crashes.points({}, pix2pix.changes) if point.promised == 2][-1]
    with crashes.within(state.folder):
        assert not pix2pix.end()
    with crashes.within(state.folder), mock.patch("train.run.start.checkpoint.load", forgetful):
        assert "optimizers/g/m/0" in pix2pix.end()


def test_what_ends_a_run_without_need_is_found(pix2pix: System) -> None:
    """As a sample that the disk refuses."""
    first = next(i for i, change in enumerate(pix2pix.changes) if ".png" in change.path)
    assert not crashes.refused(pix2pix, "EIO", first)
    with mock.patch("train.run.display.Attempts.__call__", lambda self, what, do: do()):
        assert "ended for what the run does not need" in crashes.refused(pix2pix, "EIO", first)


# -- the disk


def after(*changes: Change) -> Disk:
    disk = Disk()
    for change in changes:
        disk.apply(change)
    return disk


CREATE, WRITE = Change("create", "a", 1), Change("write", "a", 1, data=b"12345678")
SYNC, SYNC_NAME = Change("fsync", "", 1), Change("sync", "")


def test_what_was_not_synced_may_be_lost() -> None:
    assert after(CREATE, WRITE).now() == {"a": b"12345678"}
    found = [folder for _, folder in after(CREATE, WRITE).after_power_cut()]
    contents = [b"", b"12345678", bytes(8), b"1234", b"\0\0\0\x005678"]
    assert found == [{}, *({"a": content} for content in contents)]
    assert [folder for _, folder in after(CREATE, WRITE, SYNC).after_power_cut()] == [{}, {"a": b"12345678"}]
    assert [folder for _, folder in after(CREATE, WRITE, SYNC, SYNC_NAME).after_power_cut()] == [{"a": b"12345678"}]


def test_a_rename_may_come_before_what_it_names() -> None:
    renamed = Change("rename", "a", to="b")
    found = [folder for _, folder in after(CREATE, SYNC_NAME, WRITE, renamed).after_power_cut()]
    assert {"b": b""} in found and {"a": b"12345678"} in found and {} not in found


def test_what_is_in_a_lost_folder_is_lost() -> None:
    file = CREATE._replace(path="f/a")
    made = after(Change("mkdir", "f"), file, SYNC, Change("sync", "f"))
    assert [folder for _, folder in made.after_power_cut()] == [{}, {"f": None, "f/a": b""}]


def test_the_recording_says_what_was_done(tmp_path: Path) -> None:
    """Made once more, the changes give the same folder; on top of what lay there before."""
    before = {"old": b"1234", "folder": None, "folder/x": b"x"}
    lay_out(before, tmp_path)
    with recorded(tmp_path) as recording:
        with open(tmp_path / "old", "r+b") as file:
            file.seek(2)
            file.truncate()
            file.write(b"zz")
        (tmp_path / "folder" / "new").write_text("text")
        os.replace(tmp_path / "folder" / "new", tmp_path / "folder" / "x")
        with open(tmp_path / "log", "a+b") as file:
            file.write(b"1")
            file.flush()
            os.fsync(file.fileno())
        (tmp_path / "made").mkdir()
        sync_folder(tmp_path)
    disk = Disk(before)
    for change in recording.changes:
        disk.apply(change)
    assert disk.now() == found_in(tmp_path)
    lasting = disk.lasting
    assert disk.synced[lasting["log"]] == b"1" and disk.synced[lasting["old"]] == b"1234" and "made" in lasting


def test_what_goes_past_the_recording_is_noticed(pix2pix: System) -> None:
    def past(path: Path, write: Write, size: int = 0) -> None:
        in_place(path, write)
        with open(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as file:
            file.write(b" ")

    with mock.patch.object(checkpoint, "write_atomically", past), pytest.raises(AssertionError, match="went past"):
        pix2pix.recorded({})
