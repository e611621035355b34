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
        """The numbers of one record of metrics.jsonl: D_A as "D/D_A", the learning rate as "run/lr".

        OSError where the writer's own thread has ended, as it does on a full disk: what is then put into its queue waits for ever.
        """
        self.check()
        for name, value in record.items():
            if isinstance(value, float):
                group = "run" if name in RUN else name.partition("_")[0]
                self.writer.add_scalar(f"{group}/{name}", value, record["step"])

    def picture(self, image: Image.Image, step: int) -> None:
        """A sample grid. OSError as above."""
        self.check()
        self.writer.add_image("samples", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Hand all to the system. OSError as above."""
        self.check()
        self.writer.close()

    def check(self) -> None:
        """OSError unless the thread that writes is alive."""
        if not self.writer.file_writer.event_writer._worker.is_alive():
            raise OSError("the thread that writes its files has ended; is the disk full?")
