"""What a run leaves behind, as two runs can be compared: to the bit, without clock times and places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from train.files import checkpoint


def result(run: Path) -> dict[str, Any]:
    """The state, the records and samples of a run's folder, and the networks of its other checkpoints."""
    state = checkpoint.load(run / "latest.npz")
    del state["run"]["seconds"], state["config"]
    metrics: dict[int, dict[str, Any]] = {}
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        metrics.setdefault(line["step"], {}).update(
            line | {"seconds": 0, "wait": 0}
        )  # scores may have a line of their own
    return {
        "state": leaves(state),
        "metrics": metrics,
        "samples": {file.name: file.read_bytes() for file in (run / "samples").glob("step_0*")},
        "kept": {file.name: leaves(checkpoint.load(file)["model"]) for file in run.glob("[eb]*.npz")},
    }


def leaves(tree: Any) -> dict[str, Any]:
    """A tree as one flat dict; arrays as type and bytes."""
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {f"{key}/{path}": leaf for key, item in items for path, leaf in leaves(item).items()}
    return {"": (str(tree.dtype), tree.shape, tree.tobytes()) if isinstance(tree, np.ndarray) else tree}


def assert_same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Like ==, but naming the first thing that differs."""
    for part, leaf in wanted.items():
        assert got[part].keys() == leaf.keys(), (part, sorted(got[part].keys() ^ leaf.keys())[:3])
        different = [key for key in leaf if got[part][key] != leaf[key]]
        assert not different, (part, different[:3])
