"""The data sets of the CycleGAN paper, from the authors' server: names, sizes, what they show, where they come from.

Sizes, image counts and checksums are those that TensorFlow Datasets recorded for the same files (its catalogue page
cycle_gan and url_checksums/cycle_gan.txt); origins are as the authors' code documents them (docs/datasets.md). The authors
state no licence for any of them: the pictures remain under the terms of where they were collected.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from train.data.images import decode
from train.data.listing import pictures_below
from train.errors import UserError, shown
from train.prepare.download import Expected, discard, fetch
from train.prepare.place import PARTS, check_room
from train.prepare.unpack import unzip

SERVER = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/{name}.zip"


@dataclass(frozen=True)
class PaperSet:
    """One set: its archive's bytes and SHA-256, images in trainA trainB testA testB, and words about it."""

    a: str
    b: str
    size: int
    counts: tuple[int, int, int, int]
    sha256: str
    origin: str


WIKIART = "paintings from Wikiart, photos from Flickr (tags landscape, landscapephotography)"
PHOTO = "landscape photos"

SETS = {
    "apple2orange": PaperSet("apples", "oranges", 78456409, (995, 1019, 266, 248), "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8", "ImageNet"),
    "cezanne2photo": PaperSet("Cezanne", PHOTO, 279885071, (525, 6287, 58, 751), "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff", WIKIART),
    "facades": PaperSet("photos of facades", "label maps of them", 35135868, (400, 400, 106, 106), "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0", "CMP Facade Database"),
    "horse2zebra": PaperSet("horses", "zebras", 116867962, (1067, 1334, 120, 140), "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", "ImageNet (wild horse, zebra)"),
    "iphone2dslr_flower": PaperSet("flowers by phone", "flowers by DSLR camera", 339964458, (1812, 3325, 569, 480), "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113", "Flickr"),
    "maps": PaperSet("aerial photos", "street maps of them", 1476754427, (1096, 1096, 1098, 1098), "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e", "Google Maps"),
    "monet2photo": PaperSet("Monet", PHOTO, 305231073, (1072, 6287, 121, 751), "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04", WIKIART),
    "summer2winter_yosemite": PaperSet("Yosemite in summer", "Yosemite in winter", 132640856, (1231, 962, 309, 238), "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9", "Flickr"),
    "ukiyoe2photo": PaperSet("ukiyo-e prints", PHOTO, 292946532, (562, 6287, 263, 751), "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08", WIKIART),
    "vangogh2photo": PaperSet("Van Gogh", PHOTO, 306590349, (400, 6287, 400, 751), "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff", WIKIART),
}  # fmt: skip

README = """{a} (A) and {b} (B): the set {name} of the CycleGAN paper (Zhu, Park, Isola, Efros 2017).

{counts}

Origin of the pictures: {origin}. The authors state no licence; the terms of the origin hold.
Fetched from: {url}
{checksum} ({size:,} bytes)
Train with: python -m train.cyclegan --dataroot {out}
"""


def paper(name: str, folder: Path, out: Path, url: str, any_version: bool) -> None:
    """Download (to out's parent, resumable), unpack and check the set `name`; `out` is where `folder` will come to lie."""
    about = SETS[name]
    url = url or SERVER.format(name=name)
    archive = out.parent / ".downloads" / f"{name}.zip"
    here = sum(file.stat().st_size for file in (archive, archive.with_name(f"{name}.zip.part")) if file.exists())
    check_room(
        out.parent, max(0, about.size - here) + about.size
    )  # of the archive, and pictures that hardly shrink in it
    expected = Expected() if any_version else Expected(about.size, f"sha256:{about.sha256}")
    checksum = fetch(url, archive, expected, name)
    size = archive.stat().st_size
    unzip(archive, folder)
    left_out = check_images(folder)
    pair_names(folder)
    counts = count(folder)
    if not any_version and tuple(counts.values()) != about.counts:
        raise UserError(f"{url}: holds {counts} images, wanted {dict(zip(PARTS, about.counts, strict=True))}")
    source = {"url": url, "bytes": size, "checksum": checksum, "images": counts}
    (folder / "source.json").write_text(json.dumps(source, indent=2), encoding="utf-8")
    if left_out:
        (folder / "left_out.txt").write_text("\n".join(left_out) + "\n", encoding="utf-8")
        print(f"left out {len(left_out)} files that cannot be read; see left_out.txt")
    readme = README.format(
        name=name, a=about.a, b=about.b, counts="\n".join(f"{part:7} {n:5} images" for part, n in counts.items()),
        origin=about.origin, url=url, checksum=checksum, size=size, out=shlex.quote(out.as_posix()),
    )  # fmt: skip
    (folder / "README.txt").write_text(readme, encoding="utf-8")
    discard(archive)


def check_images(folder: Path) -> list[str]:
    """Decode every image below `folder` and remove what cannot be read; a line for each of these.

    UserError where one of trainA and trainB is left with nothing, or more than one in twenty cannot be read.
    """
    files = [folder / name for name in pictures_below(folder).pictures]
    left_out = []
    for path in tqdm(files, desc="checking", unit="image"):
        if why := unreadable(path):
            left_out.append(shown(f"{path.relative_to(folder).as_posix()}: {why}"))
            path.unlink()
    if len(left_out) * 20 > len(files):
        raise UserError(
            f"{len(left_out)} of {len(files)} images cannot be read, such as {left_out[0]}; the archive seems damaged"
        )
    empty = [part for part, n in count(folder).items() if not n and part.startswith("train")]
    if empty:
        raise UserError(
            f"the archive holds no images in {' and '.join(empty)}; wanted trainA and trainB, in it or below"
        )
    return left_out


def unreadable(path: Path) -> str:
    """Why an image cannot be decoded to its end; "" if it can."""
    try:
        decode(path)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""


def count(folder: Path) -> dict[str, int]:
    """Images in each part of a data set."""
    return {part: len(pictures_below(folder / part).pictures) for part in PARTS}


def pair_names(folder: Path) -> None:
    """Give test images that are the same but for _A and _B, as in maps and facades, one name: so their pairs are known."""
    sides = {domain: sorted((folder / f"test{domain}").glob("*")) for domain in "AB"}
    stems = {
        domain: [path.stem.removesuffix(f"_{domain}") for path in files if path.stem.endswith(f"_{domain}")]
        for domain, files in sides.items()
    }
    if stems["A"] and stems["A"] == stems["B"] and all(len(stems[d]) == len(sides[d]) for d in "AB"):
        for domain, files in sides.items():
            for path in files:
                path.rename(path.with_stem(path.stem.removesuffix(f"_{domain}")))
