"""What the training doctor says of whole runs: sound ones, and ones with a setting that breaks them, under several seeds.

    python -m tests.doctor_rates [FOLDER] [--seeds 3]     24 runs of half a minute each, then the table of docs/practice.md

A rule that speaks in a sound run is a false alarm; one that a broken run is to bring about, and does, a hit.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import tempfile
from pathlib import Path

from train.cyclegan import main
from train.files.history import History
from train.report.doctor import examine

WORSE, WON = "worse than the untouched input", "discriminator has won"
RUNS = {
    "sound": ("", ""),
    "no cycle and no identity loss": ("--lambda_A 0 --lambda_B 0", WORSE),
    "no adversarial loss": ("--lambda_GAN 0", ""),
    "cycle and identity fifty times as heavy": ("--lambda_A 500 --lambda_B 500", WON),
    "a hundredth of the adversarial loss": ("--lambda_GAN 0.01", WON),
    "the log loss, ten times the rate": ("--gan_mode vanilla --lr 0.01", WORSE),
    "no image pool": ("--pool_size 0", ""),
    "no identity loss": ("--lambda_identity 0", ""),
}
"""Name -> options, and the rule that is to speak; "" where none is."""


def said(folder: Path) -> tuple[list[str], list[float]]:
    """The rules that speak at the end of a run, and its retrieval in both directions."""
    settings, scores = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("config", "scores"))
    scores.pop("step")
    rules = {f.rule for f in examine(History(folder / "metrics.jsonl").read(), settings, scores)}
    return sorted(rules), [rows["model"]["retrieval"] for rows in scores.values()]


def rates(folder: Path, seeds: int) -> str:
    """Train what is not there yet; the table as Markdown."""
    table = ["| run | retrieval, A → B and B → A | rules that speak |", "|---|---|---|"]
    for i, (name, (options, wanted)) in enumerate(RUNS.items()):
        spoke = collections.Counter({wanted: 0} if wanted else {})
        retrieval = []
        for seed in range(seeds):
            run = folder / f"{i}-{seed}"
            if not (run / "scores.json").exists():
                line = f"--device cpu --checkpoints_dir {folder} --name {i}-{seed} --seed {seed} {options}"
                with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                    main(line.split())
            rules, found = said(run)
            spoke.update(rules)
            retrieval.append(" ".join(f"{value:.0%}" for value in found))
            print(f"{name}, seed {seed}: {', '.join(rules) or 'silent'}; retrieval {retrieval[-1]}", flush=True)
        kinds = ", ".join(
            f"{rule}{'' if rule == wanted else ' (a false alarm)'}: {n} of {seeds}" for rule, n in spoke.items()
        )
        typed = f" (`{options}`)" if options else ""
        table.append(f"| {name}{typed} | {', '.join(retrieval)} | {kinds or 'none'} |")
    return "\n".join(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where the runs lie (default: a temporary folder)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind (default: 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(rates(options.folder or Path(scratch), options.seeds))
