"""`emoji`: the same emoji as two houses draw them, Google's Noto (A) and Twemoji (B), 64x64 pixels, laid on white.

The emoji are dealt out by what they show: a hand in five skin tones is one thing. Some things are shown in trainA only, others
in trainB only, so training is unpaired; a third lot is for the test, there both drawings are kept under one name.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from train.data.opening import opened
from train.errors import UserError
from train.prepare.download import Expected, discard, fetch
from train.prepare.unpack import read_tar

VERSION = "16.0.0"
SERVER = "https://registry.npmjs.org/{package}/-/{package}-{version}.tgz"
ARCHIVES = {
    "google": Expected(
        74344091,
        "sha512:6517b17f3b3b315a0b9e6cd998db0ee132a19c0269e43fbe566e8fa54a47fe31104257a6a7797cf028d9f83a19d9f68cf51e10c5990e3c90a84fc0e53e17d0dc",
    ),
    "twitter": Expected(
        61683754,
        "sha512:ec5fae0ae1c7fbb427adcd793f9b676ef2a483d13ab65ce2e0c9d3dae5b5465378a4b613cdae9c3ff76cb487d20ccb698c52d6b997b05a0f2305bb8bd9ec842d",
    ),
}
SIDE = 64  # pixels

README = """Emoji as Noto draws them (A) and as Twemoji does (B), {side} x {side} pixels, on white.

trainA  {train_a:4d} of Noto
trainB  {train_b:4d} of Twemoji, other emoji than trainA
testA   {test:4d} of Noto, other emoji than both
testB   {test:4d} of Twemoji, the same emoji as testA under the same names

A file is named after its code points. Skin tones of one emoji are kept together; the test shows the plain one only.
Emoji that differ by gender count as different ones.
Train with: python -m train.cyclegan --preset tiny --dataroot {out} --load_size 64 --crop_size 64

Sources: npm packages emoji-datasource-google and emoji-datasource-twitter {version} (MIT, Copyright (c) 2013 Cal
Henderson). The pictures have licences of their own:
A: Noto Emoji, Copyright Google, Apache License 2.0, https://github.com/googlefonts/noto-emoji
B: Twemoji, Copyright Twitter, Inc and other contributors, CC-BY 4.0, https://github.com/jdecked/twemoji
Laying them on white is the only change.
"""


def emoji(folder: Path, out: Path, url: str, any_version: bool, train: int, test: int, seed: int) -> None:
    """Download both archives, deal the emoji out and write them. `url` names another server, with {package} and
    {version} in it. train: at most so many pictures of each domain (0: all there are); test: pairs."""
    pictures: dict[str, dict[str, bytes]] = {}
    kinds: dict[str, str] = {}
    archives: list[Path] = []
    for house, expected in ARCHIVES.items():
        package = f"emoji-datasource-{house}"
        archive = out.parent / ".downloads" / f"{package}-{VERSION}.tgz"
        archives.append(archive)
        address = (url or SERVER).replace("{package}", package).replace("{version}", VERSION)
        fetch(address, archive, Expected() if any_version else expected, package)
        start, index = f"package/img/{house}/64/", "package/emoji.json"
        found = dict(read_tar(archive, lambda name: name.startswith(start) or name == index))  # noqa: B023  used at once
        if index not in found or len(found) < 2:
            raise UserError(
                f"{address}: holds no {index if index not in found else start}; is it the package {package}?"
            )
        kinds |= kinds_of(json.loads(found.pop(index)))
        pictures[house] = {name.removeprefix(start): content for name, content in found.items()}
    parts = deal(pictures["google"].keys() & pictures["twitter"].keys(), kinds, train, test, seed)
    jobs = [(part, name) for part, names in parts.items() for name in names]
    for part, name in tqdm(jobs, desc="emoji", unit="image"):
        (folder / part).mkdir(exist_ok=True)
        house = "google" if part.endswith("A") else "twitter"
        on_white(pictures[house][name], name).save(folder / part / name)
    readme = README.format(
        side=SIDE, train_a=len(parts["trainA"]), train_b=len(parts["trainB"]), test=test, seed=seed, version=VERSION,
        out=shlex.quote(out.as_posix()),
    )  # fmt: skip
    (folder / "README.txt").write_text(readme, encoding="utf-8")
    discard(*archives)


def kinds_of(index: list[dict[str, Any]]) -> dict[str, str]:
    """What each picture shows: its file's name -> the name of the plain emoji's file, itself for a plain one."""
    kinds: dict[str, str] = {}
    for entry in index:
        variations = entry.get("skin_variations", {}).values()
        kinds |= {picture["image"]: entry["image"] for picture in (entry, *variations)}
    return kinds


def deal(names: set[str], kinds: Mapping[str, str], train: int, test: int, seed: int) -> dict[str, list[str]]:
    """File names for each part: no kind is in two of them, but for testA and testB, which are the same plain emoji."""
    plain = sorted(name for name in names if kinds.get(name) == name)
    plain = [plain[i] for i in np.random.default_rng(seed).permutation(len(plain))]
    if len(plain) < test + 2:
        raise UserError(f"--test {test}: there are {len(plain)} emoji; leave at least 2 for training")
    shown, rest = plain[:test], plain[test:]
    members: dict[str, list[str]] = {}
    for name in sorted(names):
        members.setdefault(kinds.get(name, ""), []).append(name)
    sides: dict[str, list[str]] = {"trainA": [], "trainB": []}
    for kind in rest:
        min(sides.values(), key=len).extend(members[kind])
    there_are = min(map(len, sides.values()))
    if train > there_are:
        raise UserError(
            f"--train {train}: there are {there_are} pictures for each domain at --test {test}; ask for fewer"
        )
    return {part: sorted(side[: train or None]) for part, side in sides.items()} | {"testA": shown, "testB": shown}


def on_white(content: bytes, name: str) -> Image.Image:
    """A picture without its transparency. UserError where it is none of the wanted size."""
    with opened(Path(name), content) as image:
        rgba = image.convert("RGBA")
    if rgba.size != (SIDE, SIDE):
        raise UserError(f"{name}: {rgba.width}x{rgba.height} pixels, wanted {SIDE}x{SIDE}")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
