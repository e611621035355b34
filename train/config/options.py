"""The command line of a run: options generated from Config. `python -m train.config.options` prints them as docs/options.md has them."""

from __future__ import annotations

import argparse
import sys
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.config import Size, sides
from train.config.config_file import blame, read_settings
from train.config.parser import Elsewhere, Parser
from train.config.settings import ABOUT_PRESETS, Config
from train.errors import UserError


class Parsed(NamedTuple):
    """Settings, whether to continue an earlier run, and the names of those settings that were typed or stand in a file."""

    settings: dict[str, Any]
    continued: bool
    asked: frozenset[str]


def parse(
    arguments: Sequence[str] | None,
    program: str,
    description: str | None,
    config: type[Config] = Config,
    switches: Mapping[str, str] | None = None,
    elsewhere: Elsewhere | None = None,
    under: Mapping[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Parsed:
    """The settings given on the command line, and whether to continue an earlier run.

    Only options that were typed (or set by `--preset` or in the file `--config`) are in the dict. `switches` are further
    options of the program, by name with their help, which are on or off and no settings of a run; `texts` are others that
    take a text, and say so much of the settings that the program checks them; those typed are in the dict too. `elsewhere` says of a word that is no option who has it. `under` are settings on which those typed go, in place of a
    preset's. Raises UserError for a wrong option or value.
    """
    parser = Parser(
        program,
        config=config,
        elsewhere=elsewhere,
        usage="%(prog)s [options]",
        description=(description or "").split("\n")[0],
        formatter_class=_Help,
    )
    group = parser.add_argument_group("presets", "\n".join(_presets(config)))
    group.add_argument(
        "--preset",
        choices=tuple(config.presets),
        help="named settings, on top of which other options go (default: tiny without --dataroot, else paper)",
    )
    group.add_argument(
        "--config",
        type=Path,
        help="a file of settings, over which a preset's and under which typed ones go: TOML, or a run's own config.json",
    )
    parser.add_argument(
        "--continue_train",
        action="store_true",
        help="go on with the run --name where it stopped, under its settings (default: off)",
    )
    for name, text in (switches or {}).items():
        parser.add_argument(f"--{name}", action="store_true", default=argparse.SUPPRESS, help=text + " (default: off)")
    for name, text in (texts or {}).items():
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS, help=text + " (default: none)")
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, field in config.options().items():
        group = field.metadata["group"]
        add_option(groups.setdefault(group, parser.add_argument_group(group)), config, name)
    given = vars(parser.parse_args(_spelled_out(list(sys.argv[1:] if arguments is None else arguments))))
    file, preset, go_on = given.pop("config"), given.pop("preset"), given.pop("continue_train")
    in_file = read_settings(file, config) if file else {}
    preset = preset or in_file.get("preset")
    in_file = {name: value for name, value in in_file.items() if name not in {*given, "preset"}}
    given = in_file | given
    switched = {name: given.pop(name) for name in (*(switches or {}), *(texts or {})) if name in given}
    if preset is None and not go_on and not under:
        preset = "paper" if given.get("dataroot") else "tiny"
    settings = {**(under or {}), **(config.presets[preset] if preset else {}), **given}
    if not go_on and not switched.keys() & (texts or {}).keys():  # else they are checked together with the saved ones
        try:
            config(**settings).check()
        except UserError as error:
            raise blame(error, file, in_file) if file else error from None
    return Parsed({**settings, **switched}, go_on, frozenset(given))


def _presets(config: type[Config]) -> Iterator[str]:
    """A line for each preset, and one with what it sets."""
    for name, settings in config.presets.items():
        yield f"{name}: {ABOUT_PRESETS.get(name, 'see below')}"
        if settings:
            words = " ".join(f"--{option} {value}" for option, value in settings.items())
            yield from textwrap.wrap(words, 96, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def add_option(group: argparse._ActionsContainer, config: type[Config], name: str) -> None:
    """Add the setting `name` to a command line; it is absent from the result where it was not typed."""
    field, kind = config.options()[name], typing.get_type_hints(config)[name]
    meta = field.metadata
    options: dict[str, Any] = {"default": argparse.SUPPRESS}
    if kind is bool:
        options |= {"action": "store_true", "help": meta["help"] + " (default: off)"}
    else:
        shown = "" if field.default == "" else f" (default: {field.default})"
        kind = pixels if kind == Size else kind
        options |= {"type": kind, "help": meta["help"] + shown}
        options |= {"choices": meta["choices"]} if meta["choices"] else {"metavar": kind.__name__.upper()}
    group.add_argument(f"--{name}", **options)


def page() -> str:
    """docs/options.md: every option of the systems that train, with its default and unit."""
    lines = [
        "# Every option of a run",
        "",
        "The same text as `python -m train.cyclegan --help`, for reading at leisure (written by `python -m train.config.options`). The",
        "other systems have these less what makes no sense for them, and a few of their own, which their `--help` lists.",
        "*Free* ones may change when a run is continued; the others belong to what the run is.",
    ]
    group = ""
    for name, field in Config.options().items():
        meta = field.metadata
        if meta["group"] != group:
            group = meta["group"]
            lines += ["", f"## {group}", "", "| option | default | meaning |", "|---|---|---|"]
        default = "off" if field.default is False else "" if field.default == "" else f"{field.default}"
        text = meta["help"] + (f"; one of {', '.join(meta['choices'])}" if meta["choices"] else "")
        text += " *(free)*" if meta["resume"] == "free" else ""
        lines.append(f"| `--{name}` | {default} | {text.replace('|', chr(92) + '|').replace('<', '&lt;')} |")
    links = "Presets and how to use these: [practice.md](practice.md)."
    return "\n".join([*lines, "", links, ""])


def pixels(text: str) -> Size:
    """A size as it was typed. Raises ArgumentTypeError for what is none."""
    try:
        width, height = sides(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size in pixels; wanted a side such as 256, or WIDTHxHEIGHT such as 320x192"
        ) from None
    return width if width == height else f"{width}x{height}"


def _spelled_out(arguments: list[str]) -> list[str]:
    """`--netG resnet_9blocks`, as users of the reference implementation type it, in our two options."""
    spelled: list[str] = []
    for word in arguments:
        before, _, kind = word.rpartition("=")
        if kind in ("resnet_6blocks", "resnet_9blocks") and "--netG" in (before, *spelled[-1:]):
            spelled += [*filter(None, [before]), "resnet", "--n_blocks", kind[7]]
        else:
            spelled.append(word)
    return spelled


class _Help(argparse.HelpFormatter):
    """Leaves the lines of a group's description as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in text.splitlines())


if __name__ == "__main__":
    print(page(), end="")
