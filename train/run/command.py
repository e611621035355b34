"""The command around a run: new or continued, introduced and summed up, every mishap told in one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kernels.device import peak_bytes
from kernels.gpu import autotune as tuning
from train.config.options import parse
from train.config.settings import Config
from train.data.describe import test_partners, training_images, white_level
from train.errors import UserError, shown
from train.evaluation.metrics import format_scores
from train.files.sizes import size_text
from train.models.model import Model
from train.models.registry import SYSTEMS, elsewhere
from train.run.dry_run import dry_run
from train.run.exit_code import exit_code, say
from train.run.finish import finish
from train.run.start import started
from train.run.trainer import Run

SWITCHES = {"dry_run": "show networks, memory, time and a batch as a picture from a few steps; leave no run behind"}


@exit_code()
def run_command(system: type[Model], arguments: Sequence[str] | None = None) -> int:
    """Parse, train, tell what was written. Returns the exit status: 0, 2 for a user's error, 128 + signal if stopped."""
    about = sys.modules[system.__module__].__doc__
    settings, continued = parse(arguments, system.program, about, system.settings, SWITCHES, elsewhere)
    dry = settings.pop("dry_run", False)
    with started(system, settings, continued, dry) as run:
        introduce(run)
        measure_tiles(run.config)
        if dry:
            return dry_run(run)
        run.train()
        return farewell(run)


def introduce(run: Run) -> None:
    """What is about to happen."""
    c = run.config
    weights = sum(p.size for network in run.model.networks().values() for _, p in network.named_parameters())
    say(f"run      {shown(c.name)}, on {c.device}" + (f", going on after step {run.step}" if run.step else ""))
    say(f"data     {training_images(run.dataset)}")
    if run.dataset.test:
        say(f"test     {test_partners(c, *run.dataset.test)}")
    for line in white_level((run.dataset.a, run.dataset.b)):
        say(f"range    {line}")
    say(f"networks {c.networks()}: {weights / 1e6:.2f} M weights in all")
    batch = " x ".join(map(str, [c.batch_size, *(n for n in (c.accumulate, c.n_critic) if n > 1)]))
    rate = f"{c.lr}" + (f", {c.lr_D} of the discriminators" if c.lr_D else "")
    say(f"steps    {run.total}, batch {batch}, {c.crop_size} pixels, learning rate {rate}")
    say(f"report   {shown(run.folder / 'report.html')}: open it in a browser, it follows the run")
    if run.step >= run.total:
        say("all steps are done; what is missing of the end is made now: samples, scores, report")


def measure_tiles(config: Config) -> None:
    """--tune: from here on, kernels are measured where the file knows nothing yet. UserError where it cannot be written."""
    if not config.tune:
        return
    if config.device != "cuda":
        say(
            f"tiles    --tune changes nothing here: it measures kernels on a GPU, and this run computes on {config.device}"
        )
        return
    path = tuning.file_called(config.tune)
    try:
        tuning.start(path)
    except OSError as error:
        raise UserError(
            f"--tune {path}: {error.strerror or error}; name a file that can be written, or auto"
        ) from error
    say(f"tiles    measured on this GPU in the first steps, kept in {path}")


def farewell(run: Run) -> int:
    """Scores, files, and how to go on. Returns the exit status."""
    if run.state == "interrupted":
        say(
            f"\nstopped after step {run.step} of {run.total}; everything is saved. To go on:\n  {run.command_to_go_on()}"
        )
        return 128 + run.signal
    scores = finish(run)
    peak = peak_bytes(run.model.device)
    held = f", at most {size_text(peak)} of memory" if peak else ""
    say(f"\n{run.total} steps done, {run.seconds:.0f} s of training{held}.")
    for title, table in (scores or {}).items():
        say(f"\n{format_scores(table, title)}")
    if scores:
        say("\nuntouched input: the picture as it is. mean image: the same average picture for everything.")
    say(f"\nreport   {shown(run.folder / 'report.html')}")
    say(f"samples  {shown(run.display.sample_path(run.step))}")
    say(f"weights  {shown(run.folder / 'latest.npz')}")
    own = "" if run.system.program in SYSTEMS else f" --system {run.system.program}"
    say(f"scores   {run.command('train.evaluate' + own)}")
    return 0
