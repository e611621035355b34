"""Real ranks under mpiexec: to the bit what one process does, with one end where one of them comes to grief, and going on in
another number. `python -m tests.attack ranks` tries more of it."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from tests import missing
from tests.attack import ranks
from tests.attack.runs import quick
from tests.ranks_program import SYSTEMS, played
from tests.run_result import assert_same, result
from train.cyclegan import main
from train.ranks.group import ALONE

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def mpi() -> None:
    """Both are there, or why not."""
    for what, found in (("mpi4py", importlib.util.find_spec("mpi4py")), ("mpiexec", ranks.mpiexec())):
        if found is None:
            missing.lacking(what, 'pip install -e ".[mpi]"')


def on(size: int, *command: str, cwd: Path) -> str:
    """What so many ranks of a Python command print."""
    process = ranks.launch(size, *command, cwd=cwd)
    said, _ = process.communicate(timeout=ranks.TIMEOUT)
    assert process.returncode == 0, said
    return said


def test_every_system_makes_the_same_steps_on_three_ranks_as_on_one(tmp_path: Path) -> None:
    said = on(3, "-m", "tests.ranks_program", cwd=tmp_path)
    found = json.loads(said.splitlines()[-1])
    assert found.keys() == SYSTEMS.keys()
    for name, digests in found.items():
        assert digests == played(name, ALONE), name


def test_a_run_is_killed_and_goes_on_with_other_ranks_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Begun on two by the README's own command, killed, gone on with on four; beside one process that was left alone."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = re.search(r"^mpiexec -n 2 python (-m train\.cyclegan .*?)(?: +#.*)?$", readme, re.MULTILINE)
    assert command and "--batch_size 4" in command[1]
    assert ranks.faults(tmp_path, 2, "SIGKILL", 1, 5) == []
    run = tmp_path / "runs" / "run"
    assert (run / "latest.npz").exists() and not (run / "scores.json").exists()
    options = ["--checkpoints_dir", str(run.parent), "--name", "run", "--continue_train"]
    said = on(4, *shlex.split(command[1]), *options, cwd=tmp_path)
    assert "going on after step 4" in said and "ranks    4, exact sums" in said
    alone = tmp_path / "alone" / "run"
    words = [*ranks.LINE.split(), "--dataroot", str(tmp_path / "data"), "--checkpoints_dir", str(alone.parent)]
    with quick():
        assert main([*words, "--allreduce", "exact"]) == 0
    assert_same(without_times(result(run)), without_times(result(alone)))


def without_times(found: dict) -> dict:
    for record in found["metrics"].values():
        record.pop("ranks", None)
    return found


@pytest.mark.parametrize(("kind", "rank"), [("SIGSTOP", 0), ("image", 1), ("config", 1)])
def test_one_that_comes_to_grief_ends_all(kind: str, rank: int, tmp_path: Path) -> None:
    assert ranks.faults(tmp_path, 2, kind, rank, 3) == []


def test_the_harness_sees_a_hang_and_a_wrong_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "grief", lambda *args: ranks.Outcome(-9, "error: a\nerror: b", 100.0))
    said = "\n".join(ranks.faults(tmp_path, 2, "exception", 1, 3))
    assert all(
        word in said for word in ("it hangs", "does not say rank 1 of 2", "more than one error", "takes 100.0 s")
    )
