"""How a run begins: afresh in a folder of its own, or from where it was saved last."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nn.module import SLACK, at_most
from train.config.parser import typed
from train.config.settings import Config, resolve
from train.errors import UserError, shown
from train.files import checkpoint
from train.files.claim import LOCK, Claim, names
from train.files.finite import check_finite
from train.files.folder_names import names_a_folder
from train.files.runs import find_run
from train.files.state import check_state, numbers_in
from train.models.model import Model
from train.ranks.launcher import group
from train.run.finish import is_finished
from train.run.trainer import Run


@contextlib.contextmanager
def started(system: type[Model], settings: dict[str, Any], continued: bool, dry: bool = False) -> Iterator[Run]:
    """The run that was asked for, its folder claimed until the context ends, of several ranks by the first. A dry run claims none,
    for it writes in none."""
    ranks = group()
    with Claim() as claim:
        if not dry:
            take = take_saved if continued else take_new
            folder = ranks.broadcast(take(claim, system, settings) if ranks.leads else Path())
            settings = settings | {"name": folder.name, "checkpoints_dir": str(folder.parent)}
        run = (resume_run if continued else new_run)(system, settings)
        run.claim = None if dry or not ranks.leads else claim
        yield run


def take_new(claim: Claim, system: type[Model], settings: dict[str, Any]) -> Path:
    """Take the folder of a new run, whose name is then nobody else's. UserError where another process has it."""
    config = system.settings(**settings)
    parent = Path(config.checkpoints_dir)
    check_name(config.name)
    return claim.take(parent / config.name) if config.name else claim.take_free(parent, stem(config))


def take_saved(claim: Claim, system: type[Model], settings: dict[str, Any]) -> Path:
    """Take the folder of the run that is to go on. UserError where there is none, or another process has it."""
    folder = saved_folder(settings)
    beside = f"train its networks in a run beside it: {typed('train.convert')} {shlex.quote(str(folder))} --run NEW"
    return claim.take(folder, mend=beside)


def stem(config: Config) -> str:
    """What a run without a name is called, if nothing else is called so."""
    return Path(config.dataroot).resolve().name if config.dataroot else config.builtin


def check_name(name: str) -> None:
    """UserError unless it names one folder."""
    if name and not names_a_folder(name):
        raise UserError(f"--name {name!r} must name one folder, without slashes; --checkpoints_dir says where it lies")


def new_run(system: type[Model], settings: dict[str, Any]) -> Run:
    """A run from scratch, in a folder of its own."""
    config = system.settings(**settings)
    parent = Path(config.checkpoints_dir)
    if not config.name:
        config = config.replace(name=next(name for name in names(stem(config)) if not (parent / name).exists()))
    check_name(config.name)
    if (parent / config.name / "latest.npz").exists():
        raise UserError(
            f"{shown(parent / config.name)} already holds a run; add --continue_train to go on with it, or choose another --name"
        )
    return Run(system, resolve(config))


def saved_folder(settings: dict[str, Any]) -> Path:
    """The folder of the run `--name`, or of the only one there is. UserError where there is none."""
    parent = Path(settings.get("checkpoints_dir", Config.checkpoints_dir))
    name = settings.get("name") or _only_run(parent)
    unsaved = name and not (parent / name / "latest.npz").exists()
    if unsaved and any((parent / name / file).exists() for file in ("config.json", LOCK)):
        raise UserError(f"run {name!r} was stopped before it was first saved; start it without --continue_train")
    folder, copy = find_run(name, parent, "--continue_train")
    if copy not in ("", "latest"):
        raise UserError(
            f"--continue_train --name {name}: a run goes on from its latest.npz. From {copy}.npz another one can begin: "
            f"python -m train.convert {shlex.quote(name)} --run NEW"
        )
    return folder


def resume_run(system: type[Model], settings: dict[str, Any]) -> Run:
    """The run `--name`, as it was saved last; settings typed now must not make it another run."""
    folder = saved_folder(settings)
    parent, name = folder.parent, folder.name
    file = folder / "latest.npz"
    state = checkpoint.load(file)
    check_state(file, state)
    check_finite(file, state.get("model"))
    try:
        saved, of = state["config"], state.get("program", "train.cyclegan")
        if of != system.program:
            raise UserError(f"run {name!r} was made by another program; go on with {typed(of)} --continue_train")
        known_settings = {option: saved[option] for option in system.settings.options() if option in saved}
        settings = {**known_settings, **settings, "name": name, "checkpoints_dir": str(parent)}  # it may have moved
        config = resolve(system.settings(**settings))
        check_same_run(saved, config, folder if of == "train.cyclegan" else None)
        config.check()
        with at_most(SLACK + numbers_in(state["model"])):
            run = Run(system, config)
        run.load_state_dict(state)
        if config.lr != saved.get("lr"):
            run.tell(
                f"lr       {saved.get('lr')} until now, {config.lr} from here on; a run of its own, from its beginning, makes: "
                f"{typed('train.convert')} {shlex.quote(str(folder))} --run NEW --lr {config.lr}"
            )
        finished = is_finished(run)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{shown(file)} is a checkpoint, but not one that this program can continue "
            f"({type(error).__name__}: {shown(error, 300)}); it may come from another version. Start afresh under another --name"
        ) from error
    if finished:
        raise UserError(
            f"run {name!r} has done {run.step} steps of {run.total}; to train on, raise "
            f"{'--max_steps' if run.total == config.max_steps else '--n_epochs or --n_epochs_decay'}"
        )
    return run


def _only_run(parent: Path) -> str:
    """The name of the only run there is; "" if there are none or several."""
    runs = [path.parent.name for path in parent.glob("*/latest.npz")]
    return runs[0] if len(runs) == 1 else ""


def check_same_run(saved: dict[str, Any], config: Config, folder: Path | None = None) -> None:
    """Refuse to continue under settings that make it another run.

    `saved` is the checkpoint's config as a dict. Fields marked `resume="fixed"` must agree; one that the checkpoint
    does not know yet counts as its default. Raises `UserError` with every field that differs and how to agree; and, where
    these do not say what the networks are, how a run of its own begins with those that are saved in `folder`.
    """
    fields = config.options()
    lines, flags, asked_for = [], [], []
    for name in sorted(saved.keys() - fields.keys()):
        lines.append(f"  {name}: saved {saved[name]!r}, a setting that this version of the program does not have")
    for name, field in fields.items():
        was, asked = saved.get(name, field.default), getattr(config, name)
        if field.metadata.get("resume") == "fixed" and was != asked:
            lines.append(f"  {name}: saved {was!r}, asked for {asked!r}")
            switch = f"leave out --{name}" if asked else f"--{name}"
            flags.append(switch if isinstance(was, bool) else f"--{name} {was}")
            asked_for.append(f"--{name}" if isinstance(asked, bool) else f"--{name} {shlex.quote(str(asked))}")
            folder = None if name in config.of_networks() else folder
    if lines:
        agree = f"To go on with the saved run: {', '.join(flags)}." if flags else ""
        beside = ""
        if folder and asked_for:
            beside = (
                f"To train the saved networks on under these settings, as a run of its own: {typed('train.convert')} "
                f"{shlex.quote(str(folder))} --run NEW {' '.join(asked_for)}\n"
            )
        raise UserError(
            "The checkpoint belongs to a run with other settings:\n" + "\n".join(lines) + f"\n{agree}\n{beside}"
            "To start afresh with the settings asked for: leave out --continue_train and give another --name."
        )
