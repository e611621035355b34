"""`--tensorboard`: the run's numbers and sample grids for TensorBoard too. Loaded only where it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from train.errors import UserError

RUN = ("lr", "seconds", "wait")  # the rest of a record is about the networks


def require() -> Any:
    """The library that writes TensorBoard's files without TensorFlow or PyTorch; UserError if it is not there."""
    try:
        return importlib.import_module("tensorboardX")
    except ImportError as error:
        raise UserError('--tensorboard needs tensorboardX: pip install -e ".[tensorboard]"') from error


class Board:
    """Writes to `folder`, in which what an earlier sitting noted beyond `step` is hidden."""

    def __init__(self, folder: Path, step: int) -> None:
        self.writer = require().SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, record: Mapping[str, Any]) -> None:
        """The numbers of one record of metrics.jsonl: D_A as "D/D_A", the learning rate as "run/lr"."""
        for name, value in record.items():
            if isinstance(value, float):
                group = "run" if name in RUN else name.partition("_")[0]
                self.writer.add_scalar(f"{group}/{name}", value, record["step"])

    def picture(self, image: Image.Image, step: int) -> None:
        """A sample grid."""
        self.writer.add_image("samples", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Hand all to the system."""
        self.writer.close()
