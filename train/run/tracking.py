"""`--track`: the run's numbers and sample grids for a tracker too. Its library is loaded only where it is asked for.

A tracker is made for a run under its settings, in whose folder it may write; what an earlier sitting noted up to `step` it
has. What it raises, `train/run/display.py` tells, and tries again later: no tracker ends a run.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from train.config.settings import Config
from train.errors import UserError

RUN = ("lr", "seconds", "wait")  # the rest of a record is about the networks
PROJECT = "palindrome"  # under which trackers that have projects list our runs
LIBRARIES = {"tensorboard": "tensorboardX", "trackio": "trackio", "wandb": "wandb", "mlflow": "mlflow"}


class Tracker(Protocol):
    """What is asked of a tracker. Any of it may raise anything."""

    def write(self, record: Mapping[str, Any]) -> None:
        """The numbers of one record of metrics.jsonl."""

    def picture(self, image: Image.Image, step: int) -> None:
        """A sample grid."""

    def close(self) -> None:
        """Hand all over."""


def asked(config: Config) -> str:
    """The name of the tracker that the settings ask for; "" for none."""
    return "tensorboard" if config.tensorboard else config.track.removeprefix("none")


def library(name: str) -> Any:
    """A tracker's library; UserError if it is not there."""
    try:
        return importlib.import_module(LIBRARIES[name])
    except ImportError as error:
        cure = 'pip install -e ".[tensorboard]"' if name == "tensorboard" else f"pip install {LIBRARIES[name]}"
        raise UserError(f"--track {name} needs {LIBRARIES[name]}: {cure}") from error


def tracker(config: Config, folder: Path, step: int) -> Tracker:
    """The one that the settings ask for."""
    return TRACKERS[asked(config)](config, folder, step)


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Of a record what is a number: D_A as "D/D_A", the learning rate as "run/lr"."""
    values = {name: value for name, value in record.items() if isinstance(value, float)}
    return {f"{'run' if name in RUN else name.partition('_')[0]}/{name}": value for name, value in values.items()}


class Board:
    """TensorBoard's files, in the run's folder, in which what an earlier sitting noted beyond `step` is hidden.

    OSError where the writer's own thread has ended, as it does on a full disk: what is then put into its queue waits for ever.
    """

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        self.writer = library("tensorboard").SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, record: Mapping[str, Any]) -> None:
        self.check()
        for name, value in numbers(record).items():
            self.writer.add_scalar(name, value, record["step"])

    def picture(self, image: Image.Image, step: int) -> None:
        self.check()
        self.writer.add_image("samples", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        self.check()
        self.writer.close()

    def check(self) -> None:
        """OSError unless the thread that writes is alive."""
        if not self.writer.file_writer.event_writer._worker.is_alive():
            raise OSError("the thread that writes its files has ended; is the disk full?")


class Trackio:
    """trackio: kept on this machine; `trackio show` opens them."""

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        self.library = library("trackio")
        self.library.init(project=PROJECT, name=config.name, config=config.as_dict(), resume="allow")

    def write(self, record: Mapping[str, Any]) -> None:
        self.library.log(numbers(record), step=record["step"])

    def picture(self, image: Image.Image, step: int) -> None:
        self.library.log({"samples": self.library.Image(image.convert("RGB"))}, step=step)

    def close(self) -> None:
        self.library.finish()


class WeightsAndBiases:
    """Weights & Biases, under the account and in the mode that its own command and variables say."""

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        self.library = library("wandb")
        self.run = self.library.init(
            project=PROJECT, name=config.name, id=re.sub(r"[^\w-]", "-", config.name), resume="allow",
            config=config.as_dict(), dir=str(folder),
        )  # fmt: skip

    def write(self, record: Mapping[str, Any]) -> None:
        self.run.log(numbers(record), step=record["step"])

    def picture(self, image: Image.Image, step: int) -> None:
        self.run.log({"samples": self.library.Image(image.convert("RGB"))}, step=step)

    def close(self) -> None:
        self.run.finish()


class MLflow:
    """MLflow, where MLFLOW_TRACKING_URI says, else on this machine. It is not waited for."""

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        self.library = library("mlflow")
        self.library.set_experiment(PROJECT)
        self.library.start_run(run_name=config.name)
        self.library.log_params(config.as_dict())

    def write(self, record: Mapping[str, Any]) -> None:
        self.library.log_metrics(numbers(record), step=record["step"], synchronous=False)

    def picture(self, image: Image.Image, step: int) -> None:
        self.library.log_image(image.convert("RGB"), artifact_file=f"samples/step_{step:06}.png")

    def close(self) -> None:
        self.library.end_run()


TRACKERS: dict[str, Any] = {"tensorboard": Board, "trackio": Trackio, "wandb": WeightsAndBiases, "mlflow": MLflow}
