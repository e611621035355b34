"""What the training doctor says of whole runs: sound ones, and ones with a setting that breaks them, under several seeds.

    python -m tests.doctor_rates [FOLDER] [--seeds 3]     24 runs of half a minute each, then the tables of docs/practice.md
    python -m tests.doctor_rates FOLDER --record          the same, and what the rules looked at goes into doctor_rates.json

A rule that speaks in a sound run is a false alarm; one that a broken run is to bring about, and does, a hit. `tests/test_doctor.py`
holds today's rules against what was recorded.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train.cyclegan import Config, main
from train.files.history import History
from train.report.doctor import WINDOW, examine, is_look

FILE = Path(__file__).parent / "data" / "doctor_rates.json"
WORSE, WON = "worse than the untouched input", "discriminator has won"
SOUND = "sound"
NAMED = {
    SOUND: ("", ""),
    "no cycle and no identity loss": ("--lambda_A 0 --lambda_B 0", WORSE),
    "cycle and identity fifty times as heavy": ("--lambda_A 500 --lambda_B 500", WON),
    "a hundredth of the adversarial loss": ("--lambda_GAN 0.01", WON),
    "the log loss, ten times the rate": ("--gan_mode vanilla --lr 0.01", WORSE),
}
"""Name -> options, and the rule that is to speak."""
SHELF = {
    "no adversarial loss": ("--lambda_GAN 0", ""),
    "no image pool": ("--pool_size 0", ""),
    "no identity loss": ("--lambda_identity 0", ""),
}
"""What no rule can tell from a sound run: the first is broken all the same, the others do not break here."""
Kept = dict[str, Any]
"""Of a run what the rules look at: its last looks, the settings that are not the preset's, its final scores."""


def kept(folder: Path) -> Kept:
    """What there is to look at in the folder of a run."""
    settings, scores = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("config", "scores"))
    scores.pop("step")
    looks = [record for record in History(folder / "metrics.jsonl").read() if is_look(record)][-WINDOW:]
    numbers = [
        {k: float(f"{v:.4g}") for k, v in look.items() if k[:2] in ("D_", "ch", "gr", "lu", "va")} for look in looks
    ]
    plain = Config(**Config.presets["tiny"]).as_dict()
    other = {k: v for k, v in settings.items() if v != plain[k] and k not in ("name", "checkpoints_dir", "device")}
    rows = {
        title: {who: {"retrieval": table[who]["retrieval"]} for who in ("model", "untouched")}
        for title, table in scores.items()
    }
    return {"settings": other, "scores": rows, "looks": numbers}


def said(run: Kept) -> list[str]:
    """The rules that speak at its end."""
    settings = Config(**Config.presets["tiny"]).as_dict() | run["settings"]
    return sorted({finding.rule for finding in examine(run["looks"], settings, run["scores"])})


def retrieval(run: Kept) -> list[float]:
    """In both directions."""
    return [rows["model"]["retrieval"] for rows in run["scores"].values()]


def trained(folder: Path, seeds: int) -> dict[str, list[Kept]]:
    """Train what is not there yet; what is kept of every run, by name."""
    found: dict[str, list[Kept]] = {}
    for i, (name, (options, _)) in enumerate({**NAMED, **SHELF}.items()):
        for seed in range(seeds):
            run = folder / f"{i}-{seed}"
            if not (run / "scores.json").exists():
                line = f"--device cpu --checkpoints_dir {folder} --name {i}-{seed} --seed {seed} {options}"
                with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                    main(line.split())
            found.setdefault(name, []).append(kept(run))
            print(f"{name}, seed {seed}: {', '.join(said(found[name][-1])) or 'silent'}", flush=True)
    return found


def table(runs: Mapping[str, Sequence[Kept]], of: Mapping[str, tuple[str, str]]) -> str:
    """What was said, as Markdown."""
    lines = ["| run | retrieval, A → B and B → A | rules that speak |", "|---|---|---|"]
    for name, (options, wanted) in of.items():
        spoke = collections.Counter({wanted: 0} if wanted else {})
        for run in runs[name]:
            spoke.update(said(run))
        kinds = ", ".join(
            f"{rule}{'' if rule == wanted else ' (a false alarm)'}: {n} of {len(runs[name])}"
            for rule, n in spoke.items()
        )
        numbers = ", ".join(" ".join(f"{value:.0%}" for value in retrieval(run)) for run in runs[name])
        typed = f" (`{options}`)" if options else ""
        lines.append(f"| {name}{typed} | {numbers} | {kinds or 'none'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where the runs lie (default: a temporary folder)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind (default: 3)")
    parser.add_argument("--record", action="store_true", help=f"write {FILE.name}")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        runs = trained(given.folder or Path(scratch), given.seeds)
    print(f"{table(runs, NAMED)}\n\n{table(runs, SHELF)}")
    if given.record:
        lines = ",\n".join(
            f" {json.dumps(name)}: [\n  " + ",\n  ".join(map(json.dumps, of)) + "\n ]" for name, of in runs.items()
        )
        FILE.write_text(f"{{\n{lines}\n}}\n", "utf-8")
