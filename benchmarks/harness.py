"""Fair comparisons: each side in a process of its own, correctness first, then alternating measurements.

    start (fresh processes, timed) -> gate (equal weights and inputs, results against a truth) -> timing in pairs -> gate

Large work takes minutes, so nothing is run that is not used: the truth and the whole gate once, a further start one run
only, whose result is checked too; and what is known is printed at once. Two thread pools in one process disturb each other, so every contestant lives in a `Worker`. A contestant whose result
is wrong or that cannot run gets a row with an `error` and no speed; if that is "ours", nothing is timed at all.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.burner import burning
from benchmarks.worker import Result, Worker, WorkerError

Row = dict[str, Any]
Differ = Callable[[Result, Result], float]
"""How far a result lies from the truth, in units of what is allowed: above 1 (or NaN) is wrong."""


def contest(
    contestants: Mapping[str, str],
    work: Any,
    *,
    truth: str,
    differ: Differ,
    keys: int = 3,
    pairs: int = 5,
    starts: int = 3,
    at_least: float = 0.3,
    after: Callable[[Result, Result], str] | None = None,
    burner: int = 0,
) -> list[Row]:
    """One row per contestant (name -> "module:Class"); the first is "ours", and ratios are ours / theirs.

    truth     "module:Class" whose results for keys 0 .. keys-1, in turn, all others must match; `keys` itself is timed
    pairs     alternating measurements; each repeats until it has taken `at_least` seconds
    starts    fresh processes per contestant, for the time from nothing to the end of the first run
    burner    so many cores are occupied by other programs in every second round, whose times are `busy` in the rows
    after     given the gate's last result and that of the last run that was timed: why the timing does not count, or "";
              None: that run must match the truth as those at the gate
    """
    ours = next(iter(contestants))
    rows: dict[str, Row] = {name: {"provider": name} for name in contestants}
    workers: dict[str, Worker] = {}
    last: dict[str, Result] = {}  # results at the gate
    try:
        judge = Worker(truth, work)
        judge("load")
        expected = [judge("result", key)[0] for key in range(keys if after else keys + 1)]
        judge.close()
        for index in range(starts):
            for name, spec in contestants.items():
                with _failing_into(rows[name]):
                    if name in workers:
                        workers.pop(name).close()
                    gate = expected[: 1 if index else keys]
                    last[name] = _start(name, spec, work, gate, differ, rows[name], workers)
            _tell("first result", index, starts, {name: row.get("starts", [])[index:] for name, row in rows.items()})
        if "error" not in rows[ours]:
            _time(rows, workers, keys, pairs, at_least, burner)
            for name, worker in workers.items():
                if "error" not in rows[name]:
                    with _failing_into(rows[name]):
                        timed = worker("timed")
                        _refuse(rows[name], after(last[name], timed) if after else _off(differ(timed, expected[keys])))
    finally:
        for worker in workers.values():
            worker.close()
    for row in rows.values():
        if "error" in row or "seconds" not in row:  # no number may look like the speed of something that works
            row.pop("starts", None)
    _compare(rows, ours)
    return list(rows.values())


def _start(
    name: str, spec: str, work: Any, expected: list[Result], differ: Differ, row: Row, workers: dict[str, Worker]
) -> Result:
    """A fresh process, its first run, and the gate; the last result there."""
    result: Result = {}
    if "error" in row:
        return result
    worker = Worker(spec, work)
    worker("load")
    row.setdefault("difference", 0.0)
    for key, truth in enumerate(expected):
        result, seconds = worker("result", key)
        if key == 0:
            row.setdefault("starts", []).append(worker.build_seconds + seconds)
        difference = differ(result, truth)
        row["difference"] = max(row["difference"], difference)
        if not difference <= 1:
            worker.close()
            _refuse(row, f"wrong result: {difference:.3g} times the allowed difference in run {key + 1}; not timed")
            return result
    workers[name] = worker
    return result


def _off(difference: float) -> str:
    """What is wrong with what was timed, by its difference from the truth."""
    return "" if difference <= 1 else f"wrong after the timing: {difference:.3g} times the allowed difference"


def _refuse(row: Row, reason: str) -> None:
    """No speed beside a result that is not right."""
    if reason:
        for name in ("seconds", "samples", "busy", "busy_samples", "slowdown"):
            row.pop(name, None)
        row |= {"error": reason, "wrong": True}


def _time(rows: dict[str, Row], workers: dict[str, Worker], key: Any, pairs: int, at_least: float, burner: int) -> None:
    """Alternate: in every round each contestant is timed once, every other round in reverse order; and again beside burners."""
    for index in range(pairs):
        names = [name for name in rows if name in workers and "error" not in rows[name]]
        for samples, occupied in (("samples", 0), ("busy_samples", burner))[: 2 if burner else 1]:
            with burning(occupied):
                for name in names[:: -1 if index % 2 else 1]:
                    with _failing_into(rows[name]):
                        times = workers[name]("time", key, at_least)
                        rows[name].setdefault(samples, []).append(statistics.median(times))
            known = {name: rows[name].get(samples, [])[index:] for name in rows}
            _tell("timing" if not occupied else "beside a burner", index, pairs, known)
    for name, worker in workers.items():
        row = rows[name]
        if "error" not in row:
            with _failing_into(row):
                row |= {"seconds": spread(row["samples"]), **worker("memory")}
                if burner:
                    row |= {"busy": spread(row["busy_samples"])}
                    row |= {"slowdown": spread(ratios(row["busy_samples"], row["samples"]))}


def _tell(what: str, index: int, count: int, seconds: Mapping[str, Sequence[float]]) -> None:
    """One round's seconds, as soon as they are known."""
    known = ", ".join(f"{name} {values[0]:.3g} s" for name, values in seconds.items() if values)
    print(f"  {what} {index + 1} of {count}: {known}", flush=True)


def _compare(rows: dict[str, Row], ours: str) -> None:
    """Ratios ours / theirs: of times pair by pair, of peaks and starts."""
    mine = rows[ours]
    for name, row in rows.items():
        if name == ours or "seconds" not in row or "seconds" not in mine:
            continue
        row["ratio"] = spread(ratios(mine["samples"], row["samples"]))
        if "busy" in row:
            row["busy_ratio"] = spread(ratios(mine["busy_samples"], row["busy_samples"]))
        row["memory_ratio"] = mine["peak_mb"] / row["peak_mb"]
        row["start_ratio"] = statistics.median(mine["starts"]) / statistics.median(row["starts"])


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Pair by pair; a pair was measured close together in time."""
    return [a / b for a, b in zip(mine, theirs, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 80th percentile and range."""
    p80 = sorted(values)[round(0.8 * (len(values) - 1))]
    return {"median": statistics.median(values), "p80": p80, "low": min(values), "high": max(values)}


@contextlib.contextmanager
def _failing_into(row: Row) -> Iterator[None]:
    """An error of a contestant becomes its row's `error`."""
    try:
        yield
    except WorkerError as error:
        row["error"], row["details"] = str(error), error.details
