"""Real processes of one run, killed at random moments, started again, now and then two at once; and how the run ends."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.attack.runs import LINE, make_data
from tests.run_result import assert_same, result

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, train.report.page
from train.cyclegan import main
train.report.page.cards = lambda *args: []
sys.exit(main())
"""  # without the slow part of its reports
COMPLETE = "has done 30 steps"
REFUSALS = ("is in use by process", COMPLETE, "already holds a run")
"""What one of two processes is told, according to how far the other is."""
TIMEOUT = 900  # s
KILLS = "--n_blocks 1 --pool_size 2 --eval_freq 0 --n_epochs 10 --max_steps 30 --sample_freq 10"
OFTEN = 6  # kills of one run, then it may end


class Runs:
    """Runs of one command, one after the other, each in a folder of its own; `life` of an undisturbed process in seconds,
    until it begins to train and until it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.line = [*LINE.split(), *KILLS.split(), "--dataroot", str(make_data(folder / "data"))]
        self.tried: Counter[str] = Counter()
        self.faults: list[str] = []
        start = time.perf_counter()
        process = self.start()
        assert self.wait_for_training(process), process.communicate()
        middle = time.perf_counter()
        _, said = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, said
        self.life = middle - start, time.perf_counter() - middle
        self.wanted = self.left()

    @property
    def run(self) -> Path:
        return self.folder / str(self.number) / "run"

    def start(self) -> subprocess.Popen[str]:
        """A process that begins the run, or goes on with it."""
        options = [
            "--checkpoints_dir",
            str(self.run.parent),
            *["--continue_train"] * (self.run / "latest.npz").exists(),
        ]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *self.line, *options],
            cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def wait_for_training(self, process: subprocess.Popen[str]) -> bool:
        """Until it has told how many steps there are; False if it ended."""
        assert process.stdout is not None
        while (line := process.stdout.readline()) and not line.startswith("steps "):
            pass
        return bool(line)

    def left(self) -> dict[str, Any]:
        """What the run left."""
        found = result(self.run)
        lines = (self.run / "metrics.jsonl").read_text().splitlines()
        found["names"] = dict.fromkeys(str(path.relative_to(self.run)) for path in self.run.rglob("*"))
        return found | {"lines": {"": len(lines)}}

    def kill_one(self, rng: random.Random, kills: int, often: int = OFTEN) -> int:
        """A run from its start to its end, killed at most so many times; how many times it was."""
        self.number += 1
        killed = 0
        while True:
            processes = [self.start() for _ in range(1 + (rng.random() < 0.25))]
            if killed < min(kills, often):
                if rng.random() < 0.75:
                    self.wait_for_training(processes[0])
                    moment = rng.uniform(0, self.life[1] / (1 + killed))  # less and less is left to do
                else:
                    moment = rng.uniform(0, sum(self.life))
                start = time.perf_counter()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    processes[-1].wait(moment)  # no longer than it lives
                    if (
                        not killed and not processes[1:]
                    ):  # a whole run, faster than the first, which loads what others find
                        self.life = self.life[0], min(self.life[1], time.perf_counter() - start)
                for process in processes:
                    process.kill()
            said = [process.communicate(timeout=TIMEOUT)[1] for process in processes]
            statuses = [process.returncode for process in processes]
            self.tried["starts"] += len(statuses)
            killed += statuses.count(-signal.SIGKILL)
            for status, words in zip(statuses, said, strict=True):
                over = killed and COMPLETE in words  # the one before was killed after its work, at its exit
                refused = status == 2 and (over or (len(statuses) > 1 and any(why in words for why in REFUSALS)))
                self.tried["refused"] += refused
                if not (refused or status in (0, -signal.SIGKILL)):
                    self.faults.append(f"run {self.number}: exit status {status}: {words}")
            if any(status != -signal.SIGKILL for status in statuses) and -signal.SIGKILL not in statuses:
                break
        self.tried["runs"] += 1
        self.tried["kills"] += killed
        try:
            assert_same(self.left(), self.wanted)
        except Exception as error:  # noqa: BLE001  a file that cannot be read, too
            self.faults.append(f"run {self.number}: {error!r}")
        return killed


COLUMNS = ("kills", "starts", "refused", "runs")


def report(count: int, seed: int) -> int:
    """Print what became of `count` kills; the number of faults."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder).resolve())
        while runs.tried["kills"] < count:
            runs.kill_one(rng, count - runs.tried["kills"])
    for column in COLUMNS:
        print(f"{column:10}{runs.tried[column]:8,}")
    for fault in runs.faults:
        print(f"  {fault}")
    print(f"\n{runs.tried['kills']} kills, {len(runs.faults)} faults")
    return len(runs.faults)
