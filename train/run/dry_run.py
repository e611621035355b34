"""`--dry_run`: everything up to the first steps, with what they say of the rest; no run is left behind."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kernels.device import peak_bytes
from train.data.sources import ImageFolder
from train.errors import NonFiniteLoss, UserError
from train.files.sizes import size_text
from train.models.data_parallel import DataParallel
from train.ranks.group import ALONE
from train.report.page import duration
from train.report.samples import sample_grid, save_png
from train.run.disk import room_told
from train.run.trainer import Run

STEPS = 4  # of which the first, which compiles and makes buffers, is not timed
ROWS = 4  # pairs of the batch in its picture


def check_images(run: Run) -> None:
    """Decode every image, test images too. One UserError names all that cannot be."""
    sources = [
        source for source in (run.dataset.a, run.dataset.b, *run.dataset.test) if isinstance(source, ImageFolder)
    ]
    start, count = time.perf_counter(), sum(map(len, sources))
    if not count:
        return

    def why(source: ImageFolder, i: int) -> str:
        try:
            source.load(i)
        except UserError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(max(1, run.config.num_threads)) as pool:
        jobs = [pool.submit(why, source, i) for source in sources for i in range(len(source))]
        bad = list(dict.fromkeys(filter(None, (job.result() for job in jobs))))
    if bad:
        raise UserError("\n  ".join([f"{len(bad)} of {count} images cannot be used:", *bad]))
    print(f"images   {count} decoded in {duration(time.perf_counter() - start)}, test images among them, all sound")


def dry_run(run: Run) -> int:
    """Prints the networks, what a few steps took and the whole will take; writes a batch as a picture. Returns 0."""
    check_images(run)
    height, width = run.shown[0].a.shape[:2]
    shown: list[str] = []
    for name, network in run.model.networks().items():
        table = network.summary(height, width)
        if table not in shown:  # both generators are built alike, and so are both discriminators
            print(f"\n{name}: {table}")
            shown.append(table)

    images = run.config.images_per_step
    play = DataParallel(run.model, ALONE, run.parallel.exact).step if run.parallel else None
    times, waited = [], 0.0
    batches = run.loader.iterate(run.epoch, run.position)
    for number, batch in enumerate(itertools.islice(batches, STEPS)):
        start, before = time.perf_counter(), run.loader.waited
        try:
            with np.errstate(all="ignore"):
                if play is not None:  # as this rank would by itself
                    play(len(batch.a), batch.a, batch.b, *batch.pairs)
                else:
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
    size, count = run.state_bytes, run.checkpoints
    print(
        f"disk     about {size_text(size)} for each checkpoint, twice that while one replaces another; {count} kept in the end "
        f"(--save_epoch_freq {run.config.save_epoch_freq}, --keep {run.config.keep}), {size_text(count * size)} in all"
    )
    if told := room_told(run.folder, size, count):
        print(f"         {told}")
    print(
        f"time     {seconds:.3g} s a step, {wait:.2g} s of which waiting for images (mean of {len(times[1:] or times)}); so about"
    )
    per_epoch = run.loader.batches_per_epoch
    print(
        f"         {duration(seconds * per_epoch)} an epoch of {per_epoch} steps, {duration(seconds * left)} for all {left}"
    )
    if run.group.size > 1:
        own = len(run.parallel.places(images)) if run.parallel else images
        print(
            f"ranks    all of this for rank 0 of {run.group.size}, which has {own} of a step's {images} images; sending comes on top"
        )
    print(f"batch    {picture}")
    print("dry run: nothing else was written")
    return 0
