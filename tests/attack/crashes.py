"""A short run of each system, stopped at every change that it makes to the disk, and continued.

kill        the process ends after so many changes, or in the middle of one
power cut   and what was not synced has reached the disk or not (tests/attack/disk.py)
ENOSPC      from some change on, the disk takes no more; then there is room again
EIO         one change fails

After each, the run goes on, or is started again where nothing was saved yet, and must end with the bits of one that nothing
happened to. What a kill leaves is worked out from the changes of one run, and equal states are gone on from once. A run that
went on is stopped at each of its changes too.
"""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import random
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image

from tests.attack import disk
from tests.attack.disk import TEMPORARY, UNSURE, Disk, Folder
from tests.attack.recording import Change, recorded
from tests.attack.runs import LATEST, METRICS, System, make_data, quick, within
from train.files import checkpoint

T = TypeVar("T")
NEEDED = re.compile(r"(checkpoints|/run|config\.json|(latest|best|epoch_\d+)\.npz|(scores|lock)\.json)(\.\d+\.tmp)?$")
"""What a run may end for: its folder, its settings, its states, its scores."""
ROOM = ("create", "write", "mkdir")  # changes that a full disk refuses


class Point(NamedTuple):
    """What a disk may hold after a mishap, and how many steps must be saved there."""

    mishap: str  # "kill" or "power cut"
    words: str
    folder: Folder
    promised: int


def points(start: Folder, changes: Sequence[Change]) -> Iterator[Point]:
    """After each change of a run that began with this folder, and in the middle of each write."""
    now, promised = Disk(start), step_in(start.get(LATEST))
    for number, change in enumerate(changes):
        words = f"change {number}: {change}"
        if change.kind == "mark":
            promised = change.at
            continue
        if (
            change.kind == "write"
            and change.path.endswith(TEMPORARY)
            and number
            and changes[number - 1].kind == "write"
        ):
            now.apply(change)
            continue  # the state is that of before
        if change.kind == "write":
            yield Point("kill", f"{words}, half done", now.halfway(change), promised)
        now.apply(change)
        yield Point("kill", words, now.now(), promised)
        for how, folder in now.after_power_cut():
            yield Point("power cut", f"{words}; {how}", folder, promised)


def damage(point: Point) -> str:
    """What is wrong with a state, before anybody goes on from it; "" if nothing is."""
    return unsound(point.folder, point.promised) or hole(point.folder)


def unsound(folder: Folder, promised: int) -> str:
    """Which file is not whole, or which step is not saved."""
    for path, content in folder.items():
        sure = path != METRICS and not path.endswith(UNSURE)
        if sure and (why := broken(Path(path).suffix, content)):
            return f"{path} is damaged: {why}"
    saved = step_in(folder.get(LATEST))
    return f"step {saved} is saved, {promised} were promised" if saved < promised else ""


def hole(folder: Folder) -> str:
    """Which records of steps that are saved are missing."""
    saved = step_in(folder.get(LATEST))
    lines = (folder.get(METRICS) or b"").splitlines()[:saved]
    try:
        steps = [json.loads(line)["step"] for line in lines]
    except ValueError as error:
        return f"{METRICS} is damaged before step {saved}: {error}"
    return "" if steps == list(range(1, saved + 1)) else f"{METRICS} has steps {steps}, {saved} are saved"


@functools.lru_cache(1000)
def broken(suffix: str, content: bytes | None) -> str:
    """Why a file, or a folder, is not whole; "" if it is."""
    if content is None:
        return ""
    try:
        match suffix:
            case ".npz":
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    assert archive.testzip() is None
            case ".png":
                Image.open(io.BytesIO(content)).load()
            case ".json":
                json.loads(content)
            case ".html":
                assert content.rstrip().endswith(b"</html>")
    except Exception as error:  # noqa: BLE001  of a dozen types
        return repr(error)
    return ""


@functools.lru_cache(1000)
def step_in(latest: bytes | None) -> int:
    """The step that is saved, 0 if none is."""
    if latest is None:
        return 0
    with zipfile.ZipFile(io.BytesIO(latest)) as archive:
        return json.loads(archive.read(checkpoint.MANIFEST))["tree"]["run"]["step"]


@dataclass
class Outcome:
    """What was tried with one system, and what came of it."""

    tried: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, what: str, words: str, why: str) -> None:
        self.tried[what] += 1
        if why:
            self.faults.append(f"{words}: {why}")


def attack(system: System, rng: random.Random, count: int | None = None) -> Outcome:
    """Everything above; or `count` states that a run goes on from, and a fourth of that of refusals."""
    outcome = Outcome()
    states = crash(outcome, {}, changes := system.changes)
    again = {step_in(point.folder.get(LATEST)): point for point in states if point.mishap == "kill"}  # the last of each
    if count is not None:
        again = dict([rng.choice([*again.items()])])
    for point in again.values():
        more, why = system.recorded(point.folder)
        outcome.add("again", f"{point.mishap} after {point.words}", why)
        states += crash(outcome, point.folder, more)
    for point in chosen(states, rng, count):
        with within(point.folder):
            outcome.add("state", f"{point.mishap} after {point.words}", system.end())
    numbers = [(kind, i) for kind in ("ENOSPC", "EIO") for i in range(len(changes)) if refusable(kind, changes, i)]
    for kind, number in chosen(numbers, rng, count and count // 4):
        outcome.add(kind, f"{kind} at change {number}: {changes[number]}", refused(system, kind, number))
    return outcome


def crash(outcome: Outcome, start: Folder, changes: Sequence[Change]) -> list[Point]:
    """Look at all points of a run; those whose states are sound, each state once."""
    states: dict[object, Point] = {}
    for point in points(start, changes):
        why = damage(point)
        outcome.add(point.mishap, f"{point.mishap} after {point.words}", why)
        if not why:
            states.setdefault(disk.key(point.folder), point)
    return [*states.values()]


def chosen(these: list[T], rng: random.Random, count: int | None) -> list[T]:
    """`count` of them, or all."""
    return these if count is None else rng.sample(these, min(count, len(these)))


def refusable(kind: str, changes: Sequence[Change], i: int) -> bool:
    """Whether a disk may refuse this change. Of many writes that follow each other the first and the last are enough."""
    change = changes[i]
    if change.kind == "write" and all(c.kind == "write" and c.file == change.file for c in changes[i - 1 : i + 2]):
        return False
    return change.kind in ROOM if kind == "ENOSPC" else change.kind != "mark"


def refused(system: System, kind: str, number: int) -> str:
    """What is wrong with a run to which the disk says no, and with what becomes of it later."""
    code = getattr(errno, kind)
    hit: list[Change] = []  # which may be another than in the first run: clock times have more digits or fewer

    def refuse(i: int, change: Change) -> OSError | None:
        if i < number or (change.kind not in ROOM if kind == "ENOSPC" else hit):
            return None
        hit.append(change)
        return OSError(code, os.strerror(code))

    with within({}) as root:
        with recorded(root, refuse) as recording:
            status, said = system.run("", recording)
        promised = max((change.at for change in recording.changes if change.kind == "mark"), default=0)
        if status not in (0, 2) or (status == 2) != (said.count("error: ") == 1) or "Traceback" in said:
            return f"exit status {status}: {said}"
        if status == 0:
            return system.difference(said)
        if kind == "EIO" and not NEEDED.search(hit[0].path):
            return f"ended for what the run does not need: {said}"
        found = disk.found_in(root)
        told = "warning: metrics.jsonl" in said
        return unsound(found, promised) or ("" if told else hole(found)) or system.end(said)


COLUMNS = ("kill", "power cut", "state", "again", "ENOSPC", "EIO")


def report(count: int | None, seed: int, names: Sequence[str]) -> int:
    """Print what became of each system; the number of faults."""
    print(f"{'system':20}" + "".join(f"{column:>11}" for column in COLUMNS) + f"{'FAULT':>11}", flush=True)
    bad = 0
    with tempfile.TemporaryDirectory() as folder, quick():
        data = make_data(Path(folder).resolve() / "data")
        for name in names:
            outcome = attack(System(name, data), random.Random(f"{seed} {name}"), count)
            numbers = [*(outcome.tried[column] for column in COLUMNS), len(outcome.faults)]
            print(f"{name:20}" + "".join(f"{n:11,}" for n in numbers), flush=True)
            for fault in outcome.faults[:20]:
                print(f"  {fault}", flush=True)
            bad += len(outcome.faults)
    print(f"\n{bad} faults")
    return bad
