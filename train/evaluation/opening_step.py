"""The model and the two pictures that a step is opened on: a run as it was saved, or a fresh tiny one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.config.settings import PRESETS, Config
from train.data.dataset import dataset
from train.data.images import load_image
from train.data.preprocess import preprocess
from train.errors import UserError, shown
from train.files import checkpoint
from train.files.runs import find_run
from train.files.state import check_state
from train.models.cyclegan import CycleGAN
from train.models.registry import loaded

CHANGES: dict[str, Any] = {
    "device": "cpu",
    "precision": "tf32",
    "checkpointing": False,
    "batch_size": 1,
    "accumulate": 1,
    "num_threads": 0,
}
"""What is otherwise than in the run: a step on one picture of each domain, on the CPU. None of it changes what is learned
from that picture (`checkpointing` computes the same numbers again)."""
FRESH: dict[str, Any] = {**PRESETS["tiny"], "ngf": 8, "ndf": 8, "netD": "n_layers", "n_layers_D": 2, **CHANGES}
"""The model without a run, half as wide as the preset's: it is computed by the references. With three strided layers a score
would see more than the 64 pixels there are."""


@dataclass
class Subject:
    """What is opened."""

    model: CycleGAN
    a: np.ndarray  # [1,H,W,C] in [-1, 1]
    b: np.ndarray
    names: tuple[str, str]  # of the pictures
    run: str  # "" for a fresh model
    step: int  # steps made so far
    batch: int = 1  # pictures of each domain that the run's own steps see


def subject(weights: str, images: Sequence[Path]) -> Subject:
    """The model that `weights` name and the pictures; by default those that would come next in its training.

    UserError for what cannot be opened.
    """
    model, run, place = saved(weights) if weights else fresh()
    config = model.config
    if images:
        channels = config.input_nc, config.output_nc
        pictures = [
            preprocess(load_image(file, n, config.white_level), config, None)
            for file, n in zip(images, channels, strict=True)
        ]
        names = images[0].name, images[1].name
    else:
        try:
            data = dataset(config)
        except UserError as error:
            raise UserError(f"{error}\nor name two pictures: --images A B") from error
        sample = data.sample(place["epoch"], place["position"] % len(data))
        pictures, names = [sample.a, sample.b], (sample.name_a, sample.name_b)
    for picture, name in zip(pictures, names, strict=True):
        why = config.misfit(picture.shape[1], picture.shape[0])
        if why:
            raise UserError(f"{shown(name)}, {picture.shape[1]}x{picture.shape[0]} pixels: {why}")
    a, b = (np.ascontiguousarray(picture[None], np.float32) for picture in pictures)
    return Subject(model, a, b, names, run, place["step"], 1 if images else place["batch"])


def fresh() -> tuple[CycleGAN, str, dict[str, int]]:
    """A model that has learned nothing."""
    return CycleGAN(Config(**FRESH)), "", {"step": 0, "epoch": 1, "position": 0, "batch": 1}


def saved(given: str) -> tuple[CycleGAN, str, dict[str, int]]:
    """A run of train.cyclegan, called by its name or path, with its optimisers and pools; its name, and where it stands."""
    called = find_run(given, Path(Config.checkpoints_dir), "--weights")
    file = called.folder / f"{called.state or 'latest'}.npz"
    state = checkpoint.load(file)
    check_state(file, state)
    made = state.get("program", CycleGAN.program) if "run" in state else "networks alone"
    if made != CycleGAN.program:
        raise UserError(
            f"--weights {shown(given)}: holds {shown(made)}; train.explain opens runs of {CycleGAN.program}"
        )
    config, model = loaded(file, state, CHANGES)
    try:
        model.load_state_dict(state["model"])
        start = {"step": 0, "epoch": 1, "position": 0}  # of a run that train.convert made
        place = {name: int(state["run"].get(name, first)) for name, first in start.items()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{shown(file)} is a checkpoint, but not one whose training can go on ({type(error).__name__}: {shown(error, 300)})"
        ) from error
    batch = int(state["config"].get("batch_size", 1)) * int(state["config"].get("accumulate", 1))
    place |= {"position": place["position"] * batch, "batch": batch}
    return model, config.name or file.parent.name, place
