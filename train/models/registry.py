"""The systems: which class trains under which program's name, and so takes up a checkpoint that bears this name.

Ours are listed here. One of your own comes in by `include`, when somebody names its module (--system), and never because a
file says so: a checkpoint from a stranger must not choose which code runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nn.module import SLACK, at_most
from train.config.settings import Config, resolve
from train.errors import UserError, shown
from train.files.finite import check_finite
from train.files.state import check_state, numbers_in
from train.models.augmented_cyclegan import AugmentedCycleGAN
from train.models.cyclegan import CycleGAN
from train.models.model import Model
from train.models.pix2pix import Pix2Pix
from train.models.stochastic_cyclegan import StochasticCycleGAN

SYSTEMS: dict[str, type[Model]] = {
    system.program: system for system in (CycleGAN, Pix2Pix, AugmentedCycleGAN, StochasticCycleGAN)
}
OWN = "the module of the system that made the run, if it is one of your own: it is imported (see CONTRIBUTING.md)"
"""The help of --system."""


def include(module: str) -> None:
    """Import a module and add the system that it declares: its one class whose `program` is the module's name.

    UserError if there is no such module, or none or several such classes in it.
    """
    try:
        if not all(part.isidentifier() for part in module.split(".")):
            raise ModuleNotFoundError(name=module)
        found = vars(importlib.import_module(module)).values()
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):  # something that the module itself imports
            raise
        raise UserError(
            f"--system {module}: there is no such module here; type it as in python -m MODULE, and in the same folder"
        ) from error
    own = {x for x in found if isinstance(x, type) and issubclass(x, Model) and vars(x).get("program") == module}
    if len(own) != 1:
        raise UserError(
            f"--system {module}: {len(own)} of its classes say program = {module!r}; wanted one subclass of "
            "train.models.model.Model that does"
        )
    SYSTEMS[module] = own.pop()


def system_of(state: Mapping[str, Any], file: Path) -> type[Model]:
    """The class that made a run's checkpoint. UserError if it is not in the list."""
    program = str(state.get("program", CycleGAN.program))
    if program not in SYSTEMS:
        raise UserError(
            f"{file}: made by {program!r}, which is none of {', '.join(SYSTEMS)}. If it is a system of your own, add "
            "--system MODULE, which imports it"
        )
    return SYSTEMS[program]


def loaded(
    file: Path, state: Mapping[str, Any], changes: Mapping[str, Any], system: type[Model] | None = None
) -> tuple[Config, Any]:
    """Settings with `changes` and model, from the state in the checkpoint of a run, of `system` or else of the one that it
    names. UserError for what is none."""
    check_state(file, state)
    system = system or system_of(state, file)
    try:
        settings = {name: state["config"][name] for name in system.settings.options() if name in state["config"]}
        config = resolve(system.settings(**{**settings, **changes}))
        config.check()
        with at_most(SLACK + numbers_in(state["model"])):
            model = system(config)
        for name, network in model.networks().items():
            check_finite(file, state["model"]["networks"][name], name)
            network.load_state_dict(state["model"]["networks"][name])
        return config, model
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{shown(file)} is a checkpoint, but not one of a run that this program can load ({type(error).__name__}: {shown(error, 300)})"
        ) from error


class Elsewhere:
    """What a command line knows of the systems (train/config/parser.py)."""

    def __call__(self, word: str) -> str:
        """Which systems have an option that was typed where it is none, in words; "" if none has."""
        name = word.removeprefix("--")
        have = [program for program, system in SYSTEMS.items() if name in system.settings.options() and name != word]
        if not have:
            return ""
        first = f"{', '.join(have[:-1])} and " if have[1:] else ""
        return f"{first}{have[-1]} {'have' if first else 'has'} it"

    def settings(self, program: str) -> type[Config] | None:
        """The settings of a system; None if there is none of that name."""
        return SYSTEMS[program].settings if program in SYSTEMS else None


elsewhere = Elsewhere()
