"""Real ranks of one run, of which one comes to grief; whether the others end with it, in time, with a clear word, and go on."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.attack.runs import make_data
from train.errors import UserError
from train.files import checkpoint

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import errno, os, signal, sys
import train.report.page, train.run.same_everywhere as same
from train.cyclegan import main
from train.files import checkpoint
from train.run.trainer import Run

kind, rank, step = sys.argv[1].split(":")
arguments, train_on, save = sys.argv[2:], Run.train_on, checkpoint.save
train.report.page.cards = lambda *args: []
if int(os.environ.get("PMI_RANK") or os.environ["OMPI_COMM_WORLD_RANK"]) == int(rank):
    if kind == "config":
        arguments += ["--lr", "0.5"]
    if kind == "version":
        same.code = lambda: "another"

    def grief(run, batch):
        if run.step == int(step):
            print("GRIEF", flush=True)
            if kind == "exception":
                raise RuntimeError("grief")
            if kind in ("SIGKILL", "SIGSTOP"):
                os.kill(os.getpid(), getattr(signal, kind))
            if kind == "image":
                root = run.config.dataroot
                for name in os.listdir(f"{root}/trainA"):
                    with open(f"{root}/trainA/{name}", "r+b") as file:
                        file.truncate(100)
        return train_on(run, batch)

    def full(path, state):
        if kind == "disk" and state["run"]["step"] > int(step):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(path, state)

    Run.train_on, checkpoint.save = grief, full
sys.exit(main(arguments))
"""
LINE = (
    "--preset tiny --device cpu --load_size 24 --crop_size 24 --batch_size 4 --ngf 1 --ndf 1 --n_blocks 1 --pool_size 2 --num_threads 0 "
    "--n_epochs 20 --n_epochs_decay 0 --max_steps 12 --save_latest_freq 2 --sample_freq 1000 --save_epoch_freq 0 --watch_freq 3 --name run"
)
KINDS = {
    "exception": r"rank {rank} of {size} on \S+: RuntimeError",
    "SIGKILL": r"RUNNING AT|signal 9",
    "SIGSTOP": r"rank {rank} of {size} on \S+ has not been heard of for \d+ s",
    "image": r"rank \d of {size} on \S+: .*trainA",
    "disk": r"rank 0 of {size} on \S+: .*No space left",
    "config": r"rank {rank} of {size} on \S+ has another --lr than rank 0: 0.5|rank \d of {size} on \S+ has another --lr",
    "version": r"rank \d of {size} on \S+ has another version of the program",
}
"""What can befall a rank, and what is told then. That of a SIGKILL is the launcher's word."""
PATIENCE = 3  # s, --rank_timeout
IN_TIME = 10.0  # s from the grief until all have ended; where a rank hangs after that time has passed
TIMEOUT = 240  # s: a hang


@dataclass
class Outcome:
    """How a run ended: its status, its last words, and the seconds since it began to train."""

    code: int
    said: str
    seconds: float


def mpiexec() -> str | None:
    """That of this environment, or else of the machine."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def launch(size: int, *command: str, cwd: Path, **how: object) -> subprocess.Popen[str]:
    """`size` ranks of a Python command."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # fmt: skip
    binary = mpiexec()
    assert binary is not None
    many = ["--map-by", ":OVERSUBSCRIBE"] if "Open MPI" in version(binary) else []
    return subprocess.Popen(
        [binary, *many, "-n", str(size), sys.executable, *command],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, **how,
    )  # type: ignore[call-overload]  # fmt: skip


def version(binary: str) -> str:
    """What mpiexec says of itself."""
    return subprocess.run([binary, "--version"], check=False, capture_output=True, text=True).stdout


def grief(folder: Path, size: int, kind: str, rank: int, step: int, *more: str) -> Outcome:
    """A run of `size` ranks in this folder, in which that befalls one of them before a step."""
    data = folder / "data"
    if not data.exists():
        make_data(data)
    options = [
        *LINE.split(),
        "--dataroot",
        str(data),
        "--checkpoints_dir",
        str(folder / "runs"),
        "--rank_timeout",
        str(PATIENCE),
    ]
    process = launch(size, "-c", PROGRAM, f"{kind}:{rank}:{step}", *options, *more, cwd=folder)
    assert process.stdout is not None
    said, start = "", time.perf_counter()
    timer = Killer(process)
    with timer:
        for line in process.stdout:
            said += line
            if line.startswith(("report ", "GRIEF")):
                start = time.perf_counter()
        code = process.wait()
    return Outcome(-9 if timer.fired else code, said, time.perf_counter() - start)


class Killer:
    """Ends a process group that hangs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        import threading

        self.process, self.fired = process, False
        self.timer = threading.Timer(TIMEOUT, self.fire)

    def fire(self) -> None:
        self.fired = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def __enter__(self) -> None:
        self.timer.start()

    def __exit__(self, *error: object) -> None:
        self.timer.cancel()


def faults(folder: Path, size: int, kind: str, rank: int, step: int) -> list[str]:
    """What is wrong with how such a run ends."""
    outcome = grief(folder, size, kind, rank, step)
    found = []
    words = KINDS[kind].format(rank=rank, size=size)
    limit = IN_TIME + (PATIENCE if kind == "SIGSTOP" else 0)
    if outcome.code == -9:
        found.append("it hangs")
    elif outcome.code == 0:
        found.append("it ends with status 0")
    if not re.search(words, outcome.said):
        found.append(f"it does not say {words}")
    if outcome.said.count("error: ") > 1:
        found.append("it says more than one error")
    if outcome.seconds > limit:
        found.append(f"it takes {outcome.seconds:.1f} s")
    latest = folder / "runs" / "run" / "latest.npz"
    if latest.exists():
        try:
            checkpoint.load(latest)
        except UserError as error:
            found.append(f"the last checkpoint is damaged: {error}")
    if left := survivors(str(folder)):
        found.append(f"processes are left: {left}")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    return [f"{kind} on rank {rank} of {size} before step {step + 1}: {what}\n{outcome.said[-1500:]}" for what in found]


def survivors(word: str) -> list[int]:
    """Processes whose command line holds this word, a second later."""

    def running() -> list[int]:
        pids = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if word.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                    pids.append(int(path.parent.name))
        return pids

    end = time.perf_counter() + 2
    while (left := running()) and time.perf_counter() < end:
        time.sleep(0.1)
    return left


def report(tries: int, seed: int) -> list[str]:
    """So many runs, each of which comes to grief at random; all that is wrong with how they end."""
    rng, found, counts = random.Random(seed), [], Counter[str]()
    for number in range(tries):
        kind, size, step = rng.choice([*KINDS]), rng.choice([2, 3, 4]), rng.randrange(1, 8)
        rank = 0 if kind == "disk" else rng.randrange(1 if kind in ("config", "version") else 0, size)
        with tempfile.TemporaryDirectory() as folder:
            new = faults(Path(folder), size, kind, rank, step)
        counts[kind] += 1
        found += new
        print("\n".join(new) or f"{number + 1}/{tries} {kind} on rank {rank} of {size}: sound", flush=True)
    print(
        f"\n{tries} runs came to grief ({', '.join(f'{n} {kind}' for kind, n in counts.items())}); faults: {len(found)}"
    )
    return found
