"""How the ranks of a run keep together: what they tell each other after each step, and what each step cost each of them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from kernels.device import to_host
from train.errors import UserError
from train.models.data_parallel import DataParallel
from train.models.model import Model
from train.ranks.group import Group
from train.ranks.shards import units

if TYPE_CHECKING:
    from train.data.loader import Batch

PARTS = ("work", "wait", "comm", "images")
"""Of a rank's step, in seconds: computing, waiting for its images, waiting for the other ranks and sending; and how many images of
each domain were its own."""


class Pace:
    """Of every rank the mean seconds of the steps' parts, since they were last asked for."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.sums, self.steps = np.zeros((group.size, len(PARTS))), 0
        self.signal = 0  # that asked one of the ranks to stop
        self.flat: tuple[str, ...] = ()  # images of the last step that are nearly one colour

    def meet(self, asked: int, times: Sequence[float], batch: Batch) -> None:
        """After a step: every rank tells which signal it had, how long the parts took, and what was odd about its images."""
        told = self.group.gather((asked, (*times, len(batch.a)), batch.flat))
        self.signal = max(signal for signal, _, _ in told)
        self.flat = tuple(name for _, _, flat in told for name in flat)
        self.sums += [own for _, own, _ in told]
        self.steps += 1

    def take(self) -> dict[str, Any]:
        """For the record: of every rank the mean [work, wait, comm, images] of the steps since the last time, if there are several."""
        if self.group.size == 1 or not self.steps:
            return {}
        means = (self.sums / self.steps).round(6).tolist()
        self.sums, self.steps = np.zeros_like(self.sums), 0
        return {"ranks": means}


def check_shares(parallel: DataParallel) -> None:
    """UserError unless every rank gets a sample of each step."""
    config, size, together = parallel.model.config, parallel.group.size, parallel.model.together
    batch = config.batch_size * config.accumulate
    shares = len(units(range(batch), together))
    if shares < size:
        few = f", {together} of which stay together (batch norm)" if together > 1 else ""
        refuse(
            f"--batch_size {config.batch_size}: a step's {batch} images{few} are too few for {size} ranks; --batch_size is that of "
            f"all ranks together: at least {size * together if together > 1 else -(-size // config.accumulate)}, or mpiexec -n {shares}"
        )


def check_weights(group: Group, model: Model, step: int) -> None:
    """UserError, on every rank, unless all have the same weights."""
    if group.size == 1:
        return
    found = 0
    for network in model.networks().values():
        for _, p in network.named_parameters():
            found = zlib.crc32(np.ascontiguousarray(to_host(p.data)).data, found)
    told = group.gather((found, group.name))
    for other, name in told:
        if other != told[0][0]:
            refuse(
                f"after step {step} {name} has other weights than rank 0: a fault of its memory, its processor or this program. "
                "Nothing of it was saved; what was saved before is sound as far as was seen"
            )


def refuse(text: str) -> NoReturn:
    """Raises UserError, as every rank does."""
    error = UserError(text)
    error.everywhere = True
    raise error
