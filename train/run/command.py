"""The command around a run: new or continued, introduced and summed up, every mishap told in one line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernels.device import Device, get_device
from kernels.gpu import autotune as tuning
from kernels.memory import peak_bytes, size_text
from train.config.options import parse
from train.config.settings import Config
from train.data.dataset import PartlyPairedDataset
from train.data.sources import BUILTIN
from train.errors import UserError
from train.evaluation.metrics import format_scores
from train.files import checkpoint
from train.models.model import Model
from train.run.dry_run import rehearse
from train.run.trainer import Run

SWITCHES = {"dry_run": "show networks, memory, time and a batch as a picture from a few steps; leave no run behind"}


def run_command(
    make_model: Callable[[Any], Model],
    program: str,
    description: str | None,
    arguments: list[str] | None,
    config: type[Config] = Config,
) -> int:
    """Parse, train, tell what was written. Returns the exit status: 0, 2 for a user's error, 128 + signal if stopped.

    `make_model` makes a system from its settings, of which `config` is the class; `program` is the module that is run.
    """

    def work() -> int:
        settings, continued = parse(arguments, program, description, config, SWITCHES)
        dry = settings.pop("dry_run", False)
        run = (resume_run if continued else new_run)(make_model, settings, program, config)
        introduce(run)
        measure_tiles(run.config)
        if dry:
            return rehearse(run)
        run.train()
        return farewell(run)

    return told(work)


def told(work: Callable[[], int]) -> int:
    """`work()`, which returns the exit status; a mishap is told in one line and has a status of its own."""
    try:
        return work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"error: {out_of_memory(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        mend = "make room, check that you may write there, or choose another --checkpoints_dir"
        print(f"error: {where}{error.strerror or error}; {mend}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped at once; what was saved before is kept", file=sys.stderr)
        return 128 + signal.SIGINT


def new_run(
    make_model: Callable[[Any], Model], settings: dict[str, Any], program: str, config_type: type[Config] = Config
) -> Run:
    """A run from scratch, in a folder of its own."""
    config = config_type(**settings)
    parent = Path(config.checkpoints_dir)
    if config.name in (".", "..") or set(config.name) & set("/\\\0"):
        raise UserError(
            f"--name {config.name!r} must name one folder, without slashes; --checkpoints_dir says where it lies"
        )
    if not config.name:
        stem = Path(config.dataroot).resolve().name if config.dataroot else config.builtin
        names = [stem, *(f"{stem}-{i}" for i in range(2, 1000))]
        config = config.replace(name=next(name for name in names if not (parent / name).exists()))
    elif (parent / config.name / "latest.npz").exists():
        raise UserError(
            f"{parent / config.name} already holds a run; add --continue_train to go on with it, or choose another --name"
        )
    return Run(make_model, resolve(config), program)


def resume_run(
    make_model: Callable[[Any], Model], settings: dict[str, Any], program: str, config_type: type[Config] = Config
) -> Run:
    """The run `--name`, as it was saved last; settings typed now must not make it another run."""
    parent = Path(settings.get("checkpoints_dir", Config.checkpoints_dir))
    runs = sorted(path.parent.name for path in parent.glob("*/latest.npz"))
    name = settings.get("name") or (runs[0] if len(runs) == 1 else "")
    if name not in runs:
        if name and (parent / name / "config.json").exists():
            raise UserError(f"run {name!r} was stopped before it was first saved; start it without --continue_train")
        known = f"{parent} holds {', '.join(runs)}" if runs else f"{parent} holds no run yet"
        raise UserError(
            f"--continue_train: {f'there is no run {name!r}' if name else 'which run? Give --name'}; {known}"
        )
    state = checkpoint.load(parent / name / "latest.npz")
    try:
        saved, of = state["config"], state.get("program", "train.cyclegan")
        if of != program:
            raise UserError(f"run {name!r} was made by another program; go on with python -m {of} --continue_train")
        known_settings = {option: saved[option] for option in config_type.options() if option in saved}
        settings = {**known_settings, **settings, "name": name, "checkpoints_dir": str(parent)}  # it may have moved
        config = resolve(config_type(**settings))
        checkpoint.check_same_run(saved, config)
        config.check()
        run = Run(make_model, config, program)
        run.load_state_dict(state)
        finished = run.step >= run.total
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{parent / name / 'latest.npz'} is a checkpoint, but not one that this program can continue "
            f"({type(error).__name__}: {error}); it may come from another version. Start afresh under another --name"
        ) from error
    if finished:
        raise UserError(
            f"run {name!r} has done {run.step} steps of {run.total}; to train on, raise "
            f"{'--max_steps' if run.total == config.max_steps else '--n_epochs or --n_epochs_decay'}"
        )
    return run


def resolve(config: Config) -> Config:
    """The config with its device named: auto becomes what there is."""
    try:
        return config.replace(device=get_device(config.device).name)
    except RuntimeError as error:
        raise UserError(str(error)) from error


def out_of_memory(error: MemoryError) -> UserError:
    """What was asked for, how much was held, and the options that need less. NumPy and CuPy raise the same error."""
    on_gpu = type(error).__module__.startswith("cupy")
    peak = peak_bytes(Device("cuda" if on_gpu else "cpu"))
    asked = str(error).rstrip(".") or "an array could not be made"
    return UserError(
        f"out of memory on {'the GPU' if on_gpu else 'this machine'}: {asked}"
        + (f"; at most {size_text(peak)} were held" if peak else "")
        + ". A smaller --crop_size needs much less (half the side, a quarter of the memory); so do --batch_size 1 (--accumulate makes up for it), "
        + ("--precision bf16, " if on_gpu else "")
        + "--checkpointing, a smaller --ngf or --ndf, and, somewhat, fewer --n_blocks"
    )


def introduce(run: Run) -> None:
    """What is about to happen."""
    c = run.config
    data = c.dataroot or f"built-in {c.builtin} ({BUILTIN[c.builtin][1]})"
    weights = sum(p.size for network in run.model.networks().values() for _, p in network.named_parameters())
    print(f"run      {c.name}, on {c.device}" + (f", going on after step {run.step}" if run.step else ""))
    pairs = f", {len(run.dataset.known)} pairs" if isinstance(run.dataset, PartlyPairedDataset) else ""
    print(f"data     {data}: {len(run.dataset.a)} images of A, {len(run.dataset.b)} of B{pairs}")
    print(f"networks {c.networks()}: {weights / 1e6:.2f} M weights in all")
    batch = f"batch {c.batch_size}" + (f" x {c.accumulate}" if c.accumulate > 1 else "")
    print(f"steps    {run.total}, {batch}, {c.crop_size} pixels, learning rate {c.lr}")
    print(f"folder   {run.folder}", flush=True)


def measure_tiles(config: Config) -> None:
    """--tune: from here on, kernels are measured where the file knows nothing yet. UserError where it cannot be written."""
    if not config.tune:
        return
    if config.device != "cuda":
        print(
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
    print(f"tiles    measured on this GPU in the first steps, kept in {path}", flush=True)


def farewell(run: Run) -> int:
    """Scores, files, and how to go on. Returns the exit status."""
    if run.state == "interrupted":
        print(
            f"\nstopped after step {run.step} of {run.total}; everything is saved. To go on:\n  {run.command_to_go_on()}"
        )
        return 128 + run.signal
    scores = run.finish()
    peak = peak_bytes(run.model.device)
    held = f", at most {size_text(peak)} of memory" if peak else ""
    print(f"\n{run.total} steps done, {run.seconds:.0f} s of training{held}.")
    for title, table in (scores or {}).items():
        print(f"\n{format_scores(table, title)}")
    if scores:
        print("\nuntouched input: the picture as it is. mean image: the same average picture for everything.")
    print(f"\nreport   {run.folder / 'report.html'}")
    print(f"samples  {run.sample_path(run.step)}")
    print(f"weights  {run.folder / 'latest.npz'}")
    print(f"scores   {run.command('train.evaluate')}")
    return 0
