"""The command around a run: new or continued, introduced and summed up, every mishap told in one line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from kernels.device import peak_bytes
from kernels.gpu import autotune as tuning
from train.config.options import parse
from train.config.settings import Config
from train.errors import UserError, shown
from train.evaluation.metrics import format_scores
from train.files.sizes import size_text
from train.models.model import Model
from train.models.registry import SYSTEMS, elsewhere
from train.ranks.launcher import join, rehearsing
from train.run.dry_run import dry_run
from train.run.exit_code import exit_code, say
from train.run.finish import finish
from train.run.introduce import introduce
from train.run.several import train_seeds
from train.run.start import started
from train.run.trainer import Run
from train.weights.carried import agreed, carried, take_over

SWITCHES = {"dry_run": "show networks, memory, time and a batch as a picture from a few steps; leave no run behind"}

TEXTS = {
    "from": "fine-tune: begin with the networks of this run (name, folder or checkpoint) of the same system or, where its networks "
    "are plain, of any file that train.convert reads"
}


@exit_code()
def run_command(system: type[Model], arguments: Sequence[str] | None = None) -> int:
    """Parse, train, tell what was written. Returns the exit status: 0, 2 for a user's error, 128 + signal if stopped."""
    ranks = join()
    about = sys.modules[system.__module__].__doc__
    settings, continued, asked = parse(
        arguments, system.program, about, system.settings, SWITCHES, elsewhere, texts=TEXTS
    )
    dry, source = settings.pop("dry_run", False), settings.pop("from", None)
    if ranks.size > 1 and settings.get("seeds", 1) > 1:
        raise UserError(
            "--seeds is for one process: it trains run after run. Leave it out, or the launcher; --seed chooses one"
        )
    if dry and not ranks.leads:
        return 0  # rank 0 makes it, and speaks for all
    if source is not None and (continued or settings.get("seeds", 1) > 1):
        raise UserError("--from begins a run, one at a time; leave out --continue_train and --seeds, or --from")
    if source is not None:
        parent = Path(settings.get("checkpoints_dir", Config.checkpoints_dir))
        brought = carried(source, parent, system, settings.get("upsample", "") if "upsample" in asked else "")
        settings = agreed(settings, brought.settings, asked, f"--from {shown(source)}")
        system.settings(**settings).check()
    if settings.get("seeds", 1) > 1 and not dry:
        if continued:
            raise UserError("--continue_train: leave it out, --seeds goes on with what is there by itself")
        return train_seeds(system, settings)
    with rehearsing() if dry else contextlib.nullcontext(), started(system, settings, continued, dry) as run:
        introduce(run)
        if source is not None:
            fresh = [
                *take_over(run.model, brought.states),
                "optimisers",
                *["pools"] * bool(run.config.pool_size),
                "schedule",
            ]
            left = f"; left out: {shown(', '.join(brought.left_out), 200)}" if brought.left_out else ""
            say(
                f"from     {shown(source)}: {', '.join(brought.states)} and their kind and size; fresh: {', '.join(fresh)}{left}"
            )
        measure_tiles(run.config)
        if dry:
            return dry_run(run)
        run.train()
        return farewell(run)


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
    if not run.group.leads:
        return 0
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
