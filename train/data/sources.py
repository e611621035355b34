"""Where images come from: a folder of files, or built-in pictures. Both have a length, names, and load one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from train.data import deep
from train.data.builtin.colours import colours
from train.data.builtin.scenes import scene
from train.data.builtin.streets import street
from train.data.images import MODES, describe_mode, inspect, load_image
from train.data.listing import EXTENSIONS, pictures_below
from train.data.pixels import LEVELS, to_gray, to_integers
from train.errors import UserError, shown


class ImageFolder:
    """The images under a folder, sorted by path; what is one, and what is left out, train/data/listing.py says (`listing`).

    Headers are read at once. What is wrong is told in `problems`, not raised, so that one error can speak of every
    folder. `sizes` holds path -> (width, height) of each usable file, `modes` counts the files of each Pillow mode, and of
    each kind of array that is not used as it is; `deep` are the indices of those with 16 bits, of which `white` is white.
    """

    def __init__(self, folder: str | Path, channels: int = 3, limit: int = 0, white: int = LEVELS[16]) -> None:
        self.folder, self.channels, self.white = Path(folder), channels, white
        self.deep: list[int] = []
        self.cut_short = 0  # of these, how many are read with 8 bits
        self.listing = pictures_below(self.folder)
        self.files = self.listing.pictures[: limit or None]
        self.problems: list[str] = []
        self.sizes: dict[str, tuple[int, int]] = {}
        self.modes: Counter[str] = Counter()
        if not self.folder.is_dir():
            self.problems.append(f"{shown(self.folder)}: there is no such folder")
        elif not self.files:
            seen = self.listing.told()
            kinds = " ".join(sorted(e[1:] for e in EXTENSIONS))
            self.problems.append(f"{shown(self.folder)}: holds no images ({kinds}){f'; seen: {seen}' if seen else ''}")
        for i, file in enumerate(self.files):
            path = self.folder / file
            try:
                header = inspect(path, channels=channels)
            except UserError as e:
                self.problems.append(str(e))
            else:
                self.sizes[str(path)] = header.width, header.height
                if header.channels != channels:
                    self.modes[header.mode] += 1
                if header.bits == 16:
                    self.deep.append(i)
                    self.cut_short += header.mode in ("LA", "RGB", "RGBA") and not deep.available()

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        """Path of image i below the folder, with forward slashes."""
        return self.files[i]

    def load(self, i: int) -> np.ndarray:
        """Image i as float32 [H,W,channels] in [-1, 1]; UserError naming the file when it is broken."""
        return load_image(self.folder / self.files[i], self.channels, self.white)

    def brightest(self, count: int) -> int:
        """The largest value in `count` of the files of 16 bits, spread over the folder; 0 if there are none."""
        chosen = sorted({self.deep[i * len(self.deep) // count] for i in range(count)}) if self.deep else []
        tops = [load_image(self.folder / self.files[i], self.channels).max() for i in chosen]
        return int(to_integers(np.array([-1, *tops]), 16).max())

    def conversions(self) -> list[str]:
        """A line for each kind of image that had to be converted, such as
        "12 of 40 images in trainA are grayscale; read as RGB"."""
        native = MODES.get(self.channels, "")
        lines = [self.listing.links] if self.listing.links else []
        for mode, count in sorted(self.modes.items()):
            if mode != native:
                white = (
                    ", transparency laid on white" if mode in ("RGBA", "LA", "PA") and native in ("L", "RGB") else ""
                )
                share = f"{count} of {len(self)} images in {self.folder.name} are {describe_mode(mode)}"
                lines.append(f"{share}; read as {describe_mode(native)}{white}")
        if self.cut_short:
            share = f"{self.cut_short} of {len(self)} images in {self.folder.name} have 16 bits in colour"
            lines.append(f'{share}; read with 8, or with all by pip install -e ".[deep]"')
        return lines


class HalfFolder(ImageFolder):
    """One half of each image of a folder, in which A stands on the left of B: how the reference implementation (junyanz/pytorch-CycleGAN-and-pix2pix) keeps aligned data."""

    def __init__(
        self, folder: str | Path, domain: str, channels: int = 3, limit: int = 0, white: int = LEVELS[16]
    ) -> None:
        super().__init__(folder, channels, limit, white)
        self.domain = domain
        for path, (width, height) in self.sizes.items():
            if width % 2:
                self.problems.append(
                    f"{shown(path)}: {width}x{height} pixels cannot be halved into A and B, side by side"
                )
            self.sizes[path] = width // 2, height

    def load(self, i: int) -> np.ndarray:
        """The half of image i, float32 [H,W/2,channels] in [-1, 1]."""
        image = super().load(i)
        half = image.shape[1] // 2
        return image[:, :half] if self.domain == "A" else image[:, half:]


BUILTIN: dict[str, tuple[Callable[[str, int, int], np.ndarray], str]] = {
    "scenes": (scene, "brown animals on grass, striped ones on dry ground"),
    "streets": (street, "maps of classes, photos of the same kind of street"),
    "colours": (colours, "gray scenes, and scenes in many colourings"),
}
"""What `--builtin` names: a picture as a function of domain, seed and size, and the two domains in words."""


class Drawn:
    """`count` built-in pictures of one domain ("A" or "B"), drawn at size x size pixels from `first_seed` on."""

    def __init__(
        self, domain: str, count: int, first_seed: int, size: int, channels: int = 3, builtin: str = "scenes"
    ) -> None:
        self.domain, self.count, self.first_seed, self.size, self.channels = domain, count, first_seed, size, channels
        self.draw = BUILTIN[builtin][0]
        fits = "" if channels in (1, 3) else f"built-in pictures have 1 channel (gray) or 3, {channels} were asked for"
        self.problems = [fits] if fits else []
        self.sizes = {"built-in pictures (their side is --load_size)": (size, size)}

    def __len__(self) -> int:
        return self.count

    def name(self, i: int) -> str:
        """Such as "scene_2000007"; the number is the seed."""
        return f"scene_{self.first_seed + i:07d}"

    def load(self, i: int) -> np.ndarray:
        """Picture i as float32 [size,size,channels] in [-1, 1]; gray is Rec. 601 luma, as Pillow's is for files."""
        x = self.draw(self.domain, self.first_seed + i, self.size)
        return x if self.channels == 3 else to_gray(x)

    def conversions(self) -> list[str]:
        return []


Source = ImageFolder | Drawn
