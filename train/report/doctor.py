"""The training doctor: named rules that tell from a run's records what commonly goes wrong, and which option to try.

`python -m train.doctor` asks it about a run, a run asks it as it goes, and its report shows the findings.

A rule speaks only after a whole window of looks (train/run/watch.py), so that the first steps and single bad ones do not count.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from train.data.loader import FLAT
from train.evaluation.metrics import Scores

Record = Mapping[str, Any]
WINDOW = 10  # looks
DIRECTIONS = {"A": "A → B", "B": "B → A"}


@dataclass(frozen=True)
class Finding:
    """What a rule found: in which direction ("" if in none), in words, and what to try."""

    rule: str
    where: str
    seen: str
    advice: str

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"{self.rule}{where}: {self.seen}. Try: {self.advice}"


@dataclass(frozen=True)
class Window:
    """The last WINDOW looks, the seconds that steps took and waited since the first of them, the names of all nearly flat
    images so far, the run's settings, and its final scores under a title for each direction, where there are any."""

    looks: Sequence[Record]
    seconds: float
    wait: float
    flat: Sequence[str]
    settings: Mapping[str, Any]
    scores: Mapping[str, Scores]

    def values(self, key: str) -> np.ndarray:
        """A number of all looks; none at all where a look lacks it, or where the window is not full yet."""
        found = [look[key] for look in self.looks if look.get(key) is not None]
        return np.array(found if len(found) == WINDOW else [], np.float64)


@dataclass(frozen=True)
class Rule:
    """`find` yields the direction and what was seen, where `limit` is passed. Pieces of advice are parted by "; "."""

    name: str
    looks_at: str
    limit: float
    reason: str
    advice: str
    find: Callable[[Window, float], Iterator[tuple[str, str]]]


def inverted(window: Window, limit: float) -> Iterator[tuple[str, str]]:
    for name, direction in DIRECTIONS.items():
        values = window.values(f"luma_{name}")
        if len(values) and np.median(values) < limit:
            yield direction, f"light becomes dark (correlation {np.median(values):.2f})"


def won(window: Window, limit: float) -> Iterator[tuple[str, str]]:
    if window.settings.get("gan_mode") == "wgangp":
        return  # its critic is meant to tell real from fake; the penalty keeps it of use
    for name, direction in DIRECTIONS.items():
        keys = (f"D_{name}_real", f"D_{name}_fake", f"D_{name}_spread")
        real, fake, spread = (window.values(key) for key in keys)
        if not len(real) or not len(spread) or real.mean() <= fake.mean():
            continue
        middle = (real + fake) / 2
        variance = np.mean(spread**2 + (middle - middle.mean()) ** 2)  # of all scores of the window
        share = ((real.mean() - fake.mean()) / 2) ** 2 / variance
        if share > limit:
            yield direction, f"D_{name} is hardly ever mistaken ({share:.0%} of how its scores vary is real or fake)"


def below(key: str, words: str) -> Callable[[Window, float], Iterator[tuple[str, str]]]:
    """Finds the directions whose number stays below the limit throughout the window."""

    def find(window: Window, limit: float) -> Iterator[tuple[str, str]]:
        for name, direction in DIRECTIONS.items():
            values = window.values(key.format(name))
            if len(values) and values.max() < limit:
                yield direction, words.format(name, values.max())

    return find


def flat(window: Window, limit: float) -> Iterator[tuple[str, str]]:
    if window.flat:
        more = f" and {len(window.flat) - 3} more" if len(window.flat) > 3 else ""
        yield "", f"nearly one colour: {', '.join(window.flat[:3])}{more}"


def waiting(window: Window, limit: float) -> Iterator[tuple[str, str]]:
    if len(window.looks) == WINDOW and window.wait > limit * window.seconds:
        yield "", f"{window.wait / window.seconds:.0%} of the time goes into waiting for images"


def slow_rank(window: Window, limit: float) -> Iterator[tuple[str, str]]:
    found = [look["ranks"] for look in window.looks if look.get("ranks")]
    if len(found) < WINDOW or len({np.shape(ranks) for ranks in found}) > 1:
        return
    work, wait, _, *images = np.median(np.array(found, np.float64), axis=0).T  # [ranks] each; once images were not told
    own = np.maximum(images[0], 1) if images else np.ones(len(work))
    busy = (work + wait) / own
    rank = int(busy.argmax())
    others = float(np.median(np.delete(busy, rank)))
    if busy[rank] > limit * others and (work + wait)[rank] == (work + wait).max():
        seen = f"it takes {busy[rank]:.3g} s for each of its images, {wait[rank] / own[rank]:.2g} s of which waiting for it"
        yield f"rank {rank}", f"{seen}; the others take {others:.3g} s and then wait"


def worse(window: Window, limit: float) -> Iterator[tuple[str, str]]:
    for title, rows in window.scores.items():
        model, untouched = (rows.get(who, {}).get("retrieval") for who in ("model", "untouched"))
        if model is not None and untouched is not None and model - untouched < limit:
            yield (
                title,
                f"the true partner is found for {model:.0%} of translations, and for {untouched:.0%} of the untouched inputs",
            )


RULES = (
    Rule(
        "colours inverted",
        "correlation of light and dark between a picture and its translation: median of the window",
        -0.3,
        "translations keep what is where, and light mostly stays light; two generators that both invert undo each other, "
        "so the cycle loss cannot see it and training does not find back",
        "begin again with another --seed; a larger --lambda_identity",
        inverted,
    ),
    Rule(
        "discriminator has won",
        "share of the variance of a discriminator's scores that is real against fake: of the window",
        0.9,
        "one that is never mistaken gives the generator hardly any direction; with least squares this is a loss of "
        "about 0.03, where 0.25 is undecided",
        "a smaller --ndf; fewer layers: --netD n_layers --n_layers_D 2; a larger --slower_D",
        won,
    ),
    Rule(
        "discriminator has collapsed",
        "standard deviation of a discriminator's scores over patches and pictures: largest of the window",
        0.02,
        "labels are 1 apart; one that says the same of everything teaches nothing",
        "a smaller --lr; --gan_mode lsgan",
        below("D_{}_spread", "D_{} says the same of every picture (its scores differ by {:.2g})"),
    ),
    Rule(
        "generator does nothing",
        "difference between a picture and its translation, relative to the picture's contrast: largest of the window",
        0.1,
        "cycle and identity losses are smallest where nothing changes; the discriminator must outweigh them",
        "a smaller --lambda_identity (0.1, or 0); then smaller --lambda_A and --lambda_B; a larger --lambda_L1",
        below("change_{}", "pictures of {} come out as they went in (changed by {:.1%} of their contrast)"),
    ),
    Rule(
        "mode collapse",
        "how much translations of different pictures differ from each other, relative to real ones: largest of the window",
        0.2,
        "a generator that paints one convincing picture whatever it is given fools the discriminator, but loses the content",
        "larger --lambda_A and --lambda_B (the cycle needs the content back); a larger --lambda_L1; a smaller --lr",
        below("variety_{}", "different pictures of {} become nearly the same one (variety {:.2f} of real ones')"),
    ),
    Rule(
        "nearly flat images",
        "standard deviation of each training image, from -1 to 1: any image seen",
        FLAT,
        "instance norm divides by an image's deviation: it blows up what noise there is, and can end in NaN",
        "remove these images; crop larger (--crop_size), so that a crop holds more than one colour; where all are dark for 12 bits "
        "in files of 16, begin again with --white_level 4095",
        flat,
    ),
    Rule(
        "waiting for images",
        "share of the time spent waiting for images: of the window",
        0.2,
        "the networks stand still meanwhile",
        "a larger --num_threads; --cache_mb 2000; smaller files (store them at --load_size)",
        waiting,
    ),
    Rule(
        "slow rank",
        "seconds of its own that a rank takes for each of its images, over the median of the others: median of the window",
        1.3,
        "all ranks move together, at the pace of the slowest",
        "a look at what else runs on its host, at its disk, at its clock",
        slow_rank,
    ),
    Rule(
        "worse than the untouched input",
        "retrieval (see train.evaluate) of the translations less that of the inputs: once, where the truth of test images is known",
        0.0,
        "whatever it paints, it has lost more of what the picture showed than it has translated",
        "larger --lambda_A and --lambda_B; more steps; a larger --lambda_L1",
        worse,
    ),
)
NAN = Rule(
    "not a number",
    "every loss of every step; then, once, every image, weight and layer (train/run/diagnose.py)",
    0.0,
    "the first thing that is not finite is named, before it reaches the weights",
    "a smaller --lr; images that are not almost one flat colour",
    lambda window, limit: iter(()),  # the step itself tells, and stops the run
)


def examine(
    records: Iterable[Record],
    settings: Mapping[str, Any] | None = None,
    scores: Mapping[str, Scores] | None = None,
) -> list[Finding]:
    """What the rules find in the last window of these records, oldest first, of a run under these settings, and in its scores."""
    doctor = Doctor(records, settings)
    doctor.scores = scores or {}
    return doctor.findings()


def is_look(record: Record) -> bool:
    """Whether a look (train/run/watch.py) is part of a record."""
    return any(key.startswith("grad_") for key in record)


def fitting(advice: str, settings: Mapping[str, Any]) -> str:
    """The pieces of advice that a run with these settings (none: any run) can follow: it has the options, and they are not
    set so already."""

    def fits(piece: str) -> bool:
        options = re.findall(r"--(\w+)(?: (\w+))?", piece)
        done = [str(settings.get(name)) == value for name, value in options]
        return all(name in settings for name, _ in options) and not (done and all(done))

    return "; ".join(piece for piece in advice.split("; ") if not settings or fits(piece))


class Doctor:
    """Examines a run as it goes: `hear` each record, and it tells what is new.

    It remembers the last WINDOW looks and no more, so that it takes no longer, and no more memory, the longer the run is.
    """

    def __init__(self, records: Iterable[Record] = (), settings: Mapping[str, Any] | None = None) -> None:
        self.settings = settings or {}
        self.looks: deque[tuple[Record, dict[str, float]]] = deque(maxlen=WINDOW)  # and the times from each to the next
        self.flat: dict[str, None] = {}  # names, in order
        self.known: set[tuple[str, str]] = set()
        self.scores: Mapping[str, Scores] = {}  # final ones
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Remember what there is to remember of a record."""
        if is_look(record):
            self.looks.append((record, {"seconds": 0.0, "wait": 0.0}))
        for name, spent in self.looks[-1][1].items() if self.looks else ():
            self.looks[-1][1][name] = spent + (record.get(name) or 0)
        if "flat" in record:
            self.flat |= dict.fromkeys(filter(None, record["flat"].split("\n")))

    def hear(self, record: Record) -> list[Finding]:
        """What is found now and was not found at the record before."""
        self.add(record)
        if not is_look(record) and "flat" not in record:
            return []
        return self.news()

    def judge(self, scores: Mapping[str, Scores]) -> list[Finding]:
        """What is found now that the run has these scores, and was not found before."""
        self.scores = scores
        return self.news()

    def news(self) -> list[Finding]:
        """What is found and was not found when it was last asked for."""
        findings = self.findings()
        new = [finding for finding in findings if (finding.rule, finding.where) not in self.known]
        self.known = {(finding.rule, finding.where) for finding in findings}
        return new

    def findings(self) -> list[Finding]:
        """All that is found in the window as it is now."""
        seconds, wait = (sum(times[name] for _, times in self.looks) for name in ("seconds", "wait"))
        window = Window([look for look, _ in self.looks], seconds, wait, list(self.flat), self.settings, self.scores)
        return [
            Finding(rule.name, where, seen, fitting(rule.advice, window.settings))
            for rule in RULES
            for where, seen in rule.find(window, rule.limit)
        ]


def table() -> str:
    """The rules, as Markdown."""
    rows = ["| rule | looks at | limit | because | try |", "|---|---|---|---|---|"]
    for rule in (*RULES, NAN):
        limit = f"{rule.limit:g}" if rule.limit else "any"
        rows.append(f"| {rule.name} | {rule.looks_at} | {limit} | {rule.reason} | {rule.advice} |")
    return "\n".join(rows)
