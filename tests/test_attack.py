"""Mutated files of every kind: each is refused in one line, or read and sound. `python -m tests.attack` makes more of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.files import attack
from tests.attack.measure import CLEAR, measured
from tests.attack.mutate import KINDS, mutations

COUNT = 60  # of each kind: seconds, not minutes

pytestmark = pytest.mark.skipif(not CLEAR.exists(), reason="memory is read from /proc")


@pytest.fixture(scope="module")
def seed() -> Iterator[int]:
    """Another one in each run; pytest shows what is printed where a test fails."""
    yield int.from_bytes(os.urandom(4), "little")


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_refused_or_sound(tmp_path: Path, kind: str, seed: int) -> None:
    print(f"python -m tests.attack --seed {seed} --count {COUNT} --kind '{kind}'")
    counts, faults = attack(kind, COUNT, seed, tmp_path)
    assert not faults, "\n".join(f"{file}: {result}" for file, result in faults)
    assert sum(counts.values()) == COUNT and counts["refused"] > 5, counts


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    one, two, other = (mutations("npz", 5, seed, tmp_path / str(i)) for i, seed in enumerate((1, 1, 2)))
    assert [f.read_bytes() for f in one] == [f.read_bytes() for f in two] != [f.read_bytes() for f in other]


def test_what_kills_a_reader_or_is_no_line_is_a_fault(tmp_path: Path) -> None:
    """The harness sees a crash, another exception, and what comes after them."""
    files = [tmp_path / name for name in ("sound.npy", "a\nb.npy", "gone.npy")]
    KINDS["npy"][2](files[0])
    files[1].write_bytes(b"x")
    outcomes = [result.outcome for result in measured("picture", files)]
    assert outcomes == ["sound", "refused", "refused"]
    for reader, wanted in (("no such reader", "FAULT"), ("crash", "FAULT")):
        assert [result.outcome for result in measured(reader, files[:2])] == [wanted] * 2
