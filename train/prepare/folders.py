"""`--from DIR_A DIR_B`: any two folders of images as a data set, checked, without duplicates, split for training and testing.

A picture that is in the training set and, the same or nearly so, in the test set makes a score a lie. So of pictures that
are equal byte by byte, or look the same (scaled, saved again, a little brighter), one stays. A picture that is in both
folders belongs to neither domain and is left out altogether. left_out.txt names each and says why.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from train.data.images import load_image
from train.data.listing import list_images
from train.errors import UserError, shown
from train.prepare.place import PARTS, check_room

GRID = 16  # the hash compares GRID x GRID neighbours: 256 bits
ALIKE = 12  # bits; pictures that differ in at most so many, and then in
NEAR = 0.03  # … the mean absolute difference of their GRID x GRID thumbnails, 0 to 1, look the same

README = """{a} (A) and {b} (B).

{counts}

{left_out}{pairs}Made by: python -m train.prepare --from {a} {b} --name {name} --test_fraction {fraction} --seed {seed}
Train with: python -m train.cyclegan --dataroot {out}
"""


@dataclass(frozen=True)
class Picture:
    """A readable file: its name below its folder, its content's hash, how it looks."""

    name: str
    digest: str
    bits: np.ndarray  # uint64 [4]: where brightness rises from a place to its right neighbour
    thumbnail: np.ndarray  # float32 [GRID,GRID], 0 to 1


def from_folders(
    sources: tuple[Path, Path], folder: Path, out: Path, test_fraction: float, keep_similar: bool, seed: int
) -> None:
    """Copy the images of two folders into trainA trainB testA testB below `folder`; `out` is where that will come to lie."""
    for source in sources:
        if not source.is_dir():
            raise UserError(f"--from {source}: there is no such folder")
    if sources[0].resolve() == sources[1].resolve():
        raise UserError(f"--from {sources[0]} {sources[1]}: one and the same folder; wanted a folder for each domain")
    log: list[str] = []
    read = [look_at(source, log) for source in sources]
    paired = {p.name for p in read[0]} == {p.name for p in read[1]}  # before any is left out
    kept = distinct(read, [source.name for source in sources], keep_similar, log)
    for source, pictures in zip(sources, kept, strict=True):
        if len(pictures) < 2:
            more = f"; what was left out: {'; '.join(log[:3])}" if log else ""
            raise UserError(f"--from {source}: leaves {len(pictures)} images; wanted at least 2{more}")
    parts = split(kept, test_fraction, paired, seed)
    check_room(
        out.parent, sum((sources[i % 2] / name).stat().st_size for i, names in enumerate(parts) for name in names)
    )
    jobs = [(i, name) for i, names in enumerate(parts) for name in names]
    for i, name in tqdm(jobs, desc="copying", unit="image"):
        target = folder / PARTS[i] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(sources[i % 2] / name, target)
    if log:
        (folder / "left_out.txt").write_text("\n".join(log) + "\n", encoding="utf-8")
        print(f"left out {len(log)} images, such as:\n  " + "\n  ".join(log[:5]))
    readme = README.format(
        a=shown(sources[0].as_posix()), b=shown(sources[1].as_posix()), name=shown(out.name), fraction=test_fraction, seed=seed,
        out=out.as_posix(),
        counts="\n".join(f"{part:7} {len(names):5} images" for part, names in zip(PARTS, parts, strict=True)),
        left_out=f"{len(log)} images were left out: left_out.txt says which and why.\n" if log else "",
        pairs="Both folders held the same names: test images of one name are partners, for evaluation.\n" if paired else "",
    )  # fmt: skip
    (folder / "README.txt").write_text(readme, encoding="utf-8")


def look_at(source: Path, log: list[str]) -> list[Picture]:
    """The pictures of a folder that can be read; a line in `log` for each that cannot."""
    pictures = []
    names, links = list_images(source)
    if links:
        print(links)
    for name in tqdm(sorted(names), desc=f"reading {source.name}", unit="image"):
        path = source / name
        try:
            gray = load_image(path, 1)[..., 0] / 2 + 0.5  # [H,W]
        except UserError as error:
            log.append(str(error))
            continue
        small = np.asarray(Image.fromarray(gray).resize((GRID + 1, GRID), Image.Resampling.BOX))  # [GRID,GRID+1]
        bits = np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)
        pictures.append(Picture(name, hashlib.sha256(path.read_bytes()).hexdigest(), bits, small[:, :-1]))
    if not pictures:
        raise UserError(f"--from {source}: holds no image that can be read{f'; {log[-1]}' if log else ''}")
    return pictures


def distinct(read: list[list[Picture]], names: list[str], keep_similar: bool, log: list[str]) -> list[list[Picture]]:
    """Each domain's pictures without duplicates, and without those that the other domain has too."""
    kept = []
    for pictures, name in zip(read, names, strict=True):
        twins = twins_among(pictures, pictures, keep_similar)
        gone: dict[int, int] = {}
        for i, j, exact in twins:  # i < j; the first of each lot stays
            if i < j and i not in gone and j not in gone:
                gone[j] = i
                how = "equals" if exact else "looks the same as"
                log.append(shown(f"{name}/{pictures[j].name}: {how} {name}/{pictures[i].name}"))
        kept.append([p for i, p in enumerate(pictures) if i not in gone])
    both = twins_among(kept[0], kept[1], keep_similar)
    for i, j, exact in both:
        how = "equals" if exact else "looks the same as"
        log.append(shown(f"{names[0]}/{kept[0][i].name}: {how} {names[1]}/{kept[1][j].name}; both are left out"))
    drop = ({i for i, _, _ in both}, {j for _, j, _ in both})
    return [[p for i, p in enumerate(pictures) if i not in drop[side]] for side, pictures in enumerate(kept)]


def twins_among(first: list[Picture], second: list[Picture], keep_similar: bool) -> list[tuple[int, int, bool]]:
    """(index in first, index in second, equal byte by byte?) of all that are or look the same, in order."""
    if not first or not second:
        return []
    bits, thumbnails = np.stack([p.bits for p in second]), np.stack([p.thumbnail for p in second])
    digests = np.array([p.digest for p in second])
    found = []
    for i, p in enumerate(first):
        same = digests == p.digest
        if not keep_similar:
            alike = np.bitwise_count(bits ^ p.bits).sum(axis=1) <= ALIKE
            alike[alike] = np.abs(thumbnails[alike] - p.thumbnail).mean(axis=(1, 2)) <= NEAR
        for j in np.flatnonzero(same if keep_similar else same | alike):
            found.append((i, int(j), bool(same[j])))
    return found


def split(kept: list[list[Picture]], test_fraction: float, paired: bool, seed: int) -> list[list[str]]:
    """Names for trainA, trainB, testA, testB; of paired folders the test takes the same names from both."""
    names = [sorted(p.name for p in pictures) for pictures in kept]
    tests: list[set[str]] = []
    for domain, own in enumerate(names):
        pool = sorted(set(names[0]) & set(names[1])) if paired else own
        wanted = min(max(1, round(test_fraction * len(own))), len(own) - 1, len(pool)) if test_fraction else 0
        if paired and tests:
            tests.append(tests[0] & set(own))
            continue
        rng = np.random.default_rng([seed, domain])
        tests.append({pool[i] for i in rng.permutation(len(pool))[:wanted]})
    return [
        *(sorted(set(own) - test) for own, test in zip(names, tests, strict=True)),
        *(sorted(test) for test in tests),
    ]
