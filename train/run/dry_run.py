"""`--dry_run`: everything up to the first steps, with what they say of the rest; no run is left behind."""

from __future__ import annotations

import itertools
import time

import numpy as np

from kernels.device import peak_bytes
from train.errors import NonFiniteLoss, UserError
from train.files.sizes import size_text
from train.report.page import duration
from train.report.samples import sample_grid, save_png
from train.run.trainer import Run

STEPS = 4  # of which the first, which compiles and makes buffers, is not timed
ROWS = 4  # pairs of the batch in its picture


def dry_run(run: Run) -> int:
    """Prints the networks, what a few steps took and the whole will take; writes a batch as a picture. Returns 0."""
    height, width = run.shown[0].a.shape[:2]
    shown: list[str] = []
    for name, network in run.model.networks().items():
        table = network.summary(height, width)
        if table not in shown:  # both generators are built alike, and so are both discriminators
            print(f"\n{name}: {table}")
            shown.append(table)

    times, waited = [], 0.0
    batches = run.loader.iterate(run.epoch, run.position)
    for number, batch in enumerate(itertools.islice(batches, STEPS)):
        start, before = time.perf_counter(), run.loader.waited
        try:
            with np.errstate(all="ignore"):
                run.model.step(batch.a, batch.b, *batch.pairs)
        except NonFiniteLoss as error:
            raise UserError(f"dry run, step {number + 1}: {error}; try a smaller --lr") from error
        times.append(time.perf_counter() - start)
        waited += run.loader.waited - before
        if number == 0:
            picture = run.folder.parent / f"{run.config.name}_dry_run.png"
            pairs = list(zip(batch.a, batch.b, strict=True))[:ROWS]
            save_png(picture, sample_grid([{"A": a, "B": b} for a, b in pairs], "first batch"))
    batches.close()

    weights = sum(p.size for network in run.model.networks().values() for _, p in network.named_parameters())
    peak = peak_bytes(run.model.device)
    wait = waited / len(times)  # s a step
    seconds = float(np.mean(times[1:] or times)) + wait
    left = run.total - run.step
    print(f"\nmemory   {size_text(16 * weights)} for weights, gradients and Adam" + (
        f"; {size_text(peak)} in all, at most, in {len(times)} steps" if peak else ""))  # fmt: skip
    print(f"disk     about {size_text(run.state_bytes)} for each checkpoint, twice that while one replaces another")
    print(
        f"time     {seconds:.3g} s a step, {wait:.2g} s of which waiting for images (mean of {len(times[1:] or times)}); so about"
    )
    per_epoch = run.loader.batches_per_epoch
    print(
        f"         {duration(seconds * per_epoch)} an epoch of {per_epoch} steps, {duration(seconds * left)} for all {left}"
    )
    print(f"batch    {picture}")
    print("dry run: nothing else was written")
    return 0
