"""`--from DIR_A DIR_B`: any two folders of images as a data set, checked, without duplicates, split for training and testing.

A picture that is in the training set and, the same or nearly so, in the test set makes a score a lie. So of pictures that
are equal byte by byte, or look the same (scaled, saved again, a little brighter; train/prepare/alike.py), one stays. A picture
that is in both folders belongs to neither domain and is left out altogether; but two of one name that only look the same
are partners, such as a photo in gray and in colour. left_out.txt names each and says why.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from train.data.listing import pictures_below
from train.errors import UserError, shown
from train.prepare.alike import Picture, Twins, look, twins_among
from train.prepare.place import PARTS, VAL, check_room

README = """{a} (A) and {b} (B).

{counts}

{left_out}{pairs}Train with: python -m train.cyclegan --dataroot {out}
"""


class LeftOut(NamedTuple):
    """A picture that is left out: what to say of it, and how doubtful that is: how far it differs from its like."""

    why: str
    doubt: float


def from_folders(
    sources: tuple[Path, Path],
    folder: Path,
    out: Path,
    test_fraction: float,
    val_fraction: float,
    keep_similar: bool,
    seed: int,
) -> None:
    """Copy the images of two folders into trainA trainB testA testB, and valA valB where a share is to be kept for choosing,
    below `folder`; `out` is where that will come to lie."""
    for source in sources:
        if not source.is_dir():
            raise UserError(f"--from {shown(source)}: there is no such folder")
    if sources[0].resolve() == sources[1].resolve():
        raise UserError(
            f"--from {shown(sources[0])} {shown(sources[1])}: one and the same folder; wanted a folder for each domain"
        )
    log: list[LeftOut] = []
    read = [look_at(source, log) for source in sources]
    paired = {p.name for p in read[0]} == {p.name for p in read[1]}  # before any is left out
    kept = distinct(read, [source.name for source in sources], keep_similar, log)
    for source, pictures in zip(sources, kept, strict=True):
        if len(pictures) < 2:
            more = f"; {worst(log, 3)}" if log else ""
            raise UserError(f"--from {shown(source)}: leaves {len(pictures)} images; wanted at least 2{more}")
    parts = split(kept, test_fraction, paired, seed, val_fraction)
    check_room(
        out.parent, sum((sources[i % 2] / name).stat().st_size for i, names in enumerate(parts) for name in names)
    )
    names_of_parts = (*PARTS, *VAL)[: len(parts)]
    jobs = [(i, name) for i, names in enumerate(parts) for name in names]
    for i, name in tqdm(jobs, desc="copying", unit="image"):
        target = folder / names_of_parts[i] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(sources[i % 2] / name, target)
    if log:
        lines = "\n".join(left.why for left in log)
        (folder / "left_out.txt").write_text(lines + "\n", encoding="utf-8")
        print(worst(log, 5))
    readme = README.format(
        a=shown(sources[0].as_posix()), b=shown(sources[1].as_posix()), out=shown(shlex.quote(out.as_posix())),
        counts="\n".join(f"{part:7} {len(names):5} images" for part, names in zip(names_of_parts, parts, strict=True)),
        left_out=f"{len(log)} images were left out: left_out.txt says which and why.\n" if log else "",
        pairs="Both folders held the same names: test images of one name are partners, for evaluation.\n" if paired else "",
    )  # fmt: skip
    (folder / "README.txt").write_text(readme, encoding="utf-8")


def worst(log: list[LeftOut], most: int) -> str:
    """How many pictures are left out, and those of which that may be wrong first."""
    doubtful = sorted(log, key=lambda left: -left.doubt)
    alike = sum(left.doubt >= 0 for left in log)
    way = (
        f"\n{alike} of them only look the same as another, the least alike of these first; --keep_similar keeps them"
        if alike
        else ""
    )
    return f"left out {len(log)} images, such as:\n  " + "\n  ".join(left.why for left in doubtful[:most]) + way


def look_at(source: Path, log: list[LeftOut]) -> list[Picture]:
    """The pictures of a folder that can be read; `log` gets those that cannot."""
    pictures = []
    listing = pictures_below(source)
    for remark in listing.remarks(source):
        print(remark)
    for name in tqdm(listing.pictures, desc=f"reading {source.name}", unit="image"):
        try:
            pictures.append(look(source, name))
        except UserError as error:
            log.append(LeftOut(str(error), -1))
    if not pictures:
        raise UserError(f"--from {shown(source)}: holds no image that can be read{f'; {log[-1].why}' if log else ''}")
    return pictures


def distinct(
    read: list[list[Picture]], names: list[str], keep_similar: bool, log: list[LeftOut]
) -> list[list[Picture]]:
    """Each domain's pictures without duplicates, and without those that the other domain has too."""

    def leave_out(it: str, other: str, twins: Twins, more: str = "") -> None:
        how = "equals" if twins.equal else "looks the same as"
        log.append(LeftOut(shown(f"{it}: {how} {other}{more}"), -1 if twins.equal else twins.difference))

    kept = []
    for pictures, name in zip(read, names, strict=True):
        gone: dict[int, int] = {}
        for twins in twins_among(pictures, pictures, keep_similar):  # the first of each lot stays
            i, j = twins.first, twins.second
            if i < j and i not in gone and j not in gone:
                gone[j] = i
                leave_out(f"{name}/{pictures[j].name}", f"{name}/{pictures[i].name}", twins)
        kept.append([p for i, p in enumerate(pictures) if i not in gone])
    drop: tuple[set[int], set[int]] = set(), set()
    for twins in twins_among(kept[0], kept[1], keep_similar):
        a, b = kept[0][twins.first].name, kept[1][twins.second].name
        if twins.equal or stem(a) != stem(b):
            leave_out(f"{names[0]}/{a}", f"{names[1]}/{b}", twins, "; both are left out")
            drop[0].add(twins.first)
            drop[1].add(twins.second)
    return [[p for i, p in enumerate(pictures) if i not in drop[side]] for side, pictures in enumerate(kept)]


def stem(name: str) -> str:
    """A picture's name without its extension, by which it is known as the partner of another."""
    return str(PurePosixPath(name).with_suffix(""))


def split(
    kept: list[list[Picture]], test_fraction: float, paired: bool, seed: int, val_fraction: float = 0.0
) -> list[list[str]]:
    """Names for trainA, trainB, testA, testB, and with a `val_fraction` valA, valB; of paired folders test and val take the same
    names from both. Which are for testing does not depend on the share for val."""
    names = [sorted(p.name for p in pictures) for pictures in kept]
    common = set(names[0]) & set(names[1])
    held: list[list[set[str]]] = []  # for each domain what is kept for testing, and for val
    for domain, own in enumerate(names):
        if paired and held:
            held.append(held[0])
            continue
        pool, left = sorted(common if paired else own), len(own) - 1  # one at least to train on
        order = [pool[i] for i in np.random.default_rng([seed, domain]).permutation(len(pool))]
        parts = []
        for share in (test_fraction, val_fraction):
            count = min(max(1, round(share * len(own))), left, len(order)) if share else 0
            parts.append(set(order[:count]))
            order, left = order[count:], left - count
        held.append(parts)
    train = [sorted({*own} - parts[0] - parts[1]) for own, parts in zip(names, held, strict=True)]
    tests, vals = ([sorted(parts[k]) for parts in held] for k in (0, 1))
    return [*train, *tests, *(vals if val_fraction else [])]
