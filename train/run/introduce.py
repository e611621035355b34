"""What is about to happen, told before a run begins."""

from __future__ import annotations

import os
import platform

from train.data.describe import test_partners, training_images, white_level
from train.errors import shown
from train.run.exit_code import say
from train.run.trainer import Run


def ranks(run: Run) -> str:
    """How many there are, where, and by which numbers systems know their processes."""
    from kernels.cpu import threads

    images, size = run.config.images_per_step, run.group.size
    own = len(run.parallel.places(images)) if run.parallel else images
    told = run.group.gather((platform.node(), os.getpid(), threads.COUNT, own))
    hosts = "; ".join(
        f"{host}, processes {', '.join(str(pid) for h, pid, *_ in told if h == host)}"
        for host in dict.fromkeys(h for h, *_ in told)
    )
    counts, shares = (sorted({numbers[i] for numbers in told}) for i in (2, 3))
    uneven = f"; {shares[0]} to {shares[-1]} of a step's {images} images each, and all wait for who has most"
    return (
        f"{size}, {run.config.allreduce} sums, {' to '.join(map(str, counts))} threads each: {hosts}"
        f"{uneven if len(shares) > 1 else ''}"
    )


def introduce(run: Run) -> None:
    """What is about to happen."""
    c = run.config
    weights = sum(p.size for network in run.model.networks().values() for _, p in network.named_parameters())
    say(f"run      {shown(c.name)}, on {c.device}" + (f", going on after step {run.step}" if run.step else ""))
    say(f"data     {training_images(run.dataset)}")
    if run.dataset.test:
        say(f"test     {test_partners(c, *run.dataset.test)}")
    if run.evaluation:
        say(f"val      {run.evaluation.told()}")
    for line in white_level((run.dataset.a, run.dataset.b)):
        say(f"range    {line}")
    say(f"networks {c.networks()}: {weights / 1e6:.2f} M weights in all")
    batch = " x ".join(map(str, [c.batch_size, *(n for n in (c.accumulate, c.n_critic) if n > 1)]))
    rate = f"{c.lr}" + (f", {c.lr_D} of the discriminators" if c.lr_D else "")
    if run.group.size > 1:
        say(f"ranks    {ranks(run)}")
    say(f"steps    {run.total}, batch {batch}, {c.crop_size} pixels, learning rate {rate}")
    say(f"report   {shown(run.folder / 'report.html')}: open it in a browser, it follows the run")
    if run.step >= run.total:
        say("all steps are done; what is missing of the end is made now: samples, scores, report")
