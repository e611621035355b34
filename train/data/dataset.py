"""Data: two sources of images, paired, not paired or in part, and an order in which training sees them.

Nothing here remembers anything. Which images meet, how they are cropped and whether they are mirrored is a pure
function of (seed, epoch, position, domain); so a run resumed in the middle of an epoch, or read by any number of
threads, sees exactly what an undisturbed one would have seen.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from train.config import sides
from train.config.checks import check_sizes
from train.config.settings import Config
from train.data.cache import Cache
from train.data.images import resize
from train.data.preprocess import final_size, preprocess, resized
from train.data.sources import Drawn, HalfFolder, ImageFolder, Source
from train.errors import UserError, shown

log = logging.getLogger(__name__)

_ORDER_A, _ORDER_B, _AUGMENT_A, _AUGMENT_B, _AUGMENT_PAIR, _ORDER_PAIRS, _PAIRS = range(
    7
)  # one stream of random numbers each
_DRAWN = {"trainA": (100, 0), "trainB": (100, 1_000_000), "testA": (32, 2_000_000), "testB": (32, 2_000_000)}


@dataclass(frozen=True)
class Sample:
    """One image of each domain, float32 [H,W,C] in [-1, 1], and their names. The two need not have one size.

    `pair`: beside two that are not related, two that are known to belong together, where training is to have such.
    """

    a: np.ndarray
    b: np.ndarray
    name_a: str
    name_b: str
    pair: Sample | None = None


Named = list[tuple[str, np.ndarray]]


class UnpairedDataset:
    """Pairs of unrelated images, max(len(A), len(B)) to an epoch; `config.direction` BtoA swaps the two domains.

    Opening it checks every header of the phase's folders, and of the test folders where there are any: one UserError
    tells all that is wrong with the data before anything has been trained.
    """

    def __init__(self, config: Config, phase: str = "train") -> None:
        self.config = config
        self.a, self.b = sources = _open(config, phase)
        if phase == "train" and has_test(config):
            sources += _open(config, "test")
        _check(config, sources)
        for source in sources:
            for line in source.conversions():
                log.warning("%s", line)
        self.cache = Cache(config.cache_mb)
        self._order: tuple[int, list[tuple[int, int]]] = (-1, [])

    def __len__(self) -> int:
        return max(len(self.a), len(self.b))

    def epoch_order(self, epoch: int) -> list[tuple[int, int]]:
        """(index in A, index in B) at each position of an epoch.

        A is shuffled, and goes round again where B is longer; B is drawn at random from its own stream. With
        `serial_batches` both go in order and round.
        """
        known, order = self._order
        if known == epoch:
            return order
        n, na, nb, seed = len(self), len(self.a), len(self.b), self.config.seed
        if self.config.serial_batches:
            order = [(i % na, i % nb) for i in range(n)]
        else:
            a = _stream(seed, epoch, _ORDER_A).permutation(n) % na
            b = _stream(seed, epoch, _ORDER_B).integers(nb, size=n)
            order = list(zip(a.tolist(), b.tolist(), strict=True))
        self._order = (epoch, order)  # one assignment: threads may repeat the work, never see half of it
        return order

    def sample(self, epoch: int, position: int) -> Sample:
        """The pair at a position of an epoch, each image cropped and mirrored by its own stream."""
        i, j = self.epoch_order(epoch)[position]
        seed = self.config.seed
        a = preprocess(self._image(self.a, i), self.config, _stream(seed, epoch, _AUGMENT_A, position))
        b = preprocess(self._image(self.b, j), self.config, _stream(seed, epoch, _AUGMENT_B, position))
        return Sample(a, b, self.a.name(i), self.b.name(j))

    def pair(self, i: int, j: int, stream: tuple[int, ...]) -> Sample:
        """Image i of A and j of B, which belong together: both cropped and mirrored alike, as `stream` says."""
        a, b = (
            preprocess(self._image(source, k), self.config, _stream(*stream))
            for source, k in ((self.a, i), (self.b, j))
        )
        return Sample(a, b, self.a.name(i), self.b.name(j))

    def check_pairs(self, pairs: list[tuple[int, int]]) -> None:
        """UserError if images that are to be cropped alike, as they are, differ in size."""
        if self.config.preprocess == "resize_and_crop" or not self.config.dataroot:
            return
        a, b = list(self.a.sizes.items()), list(self.b.sizes.items())
        for i, j in pairs:
            if a[i][1] != b[j][1]:
                seen = " and ".join(f"{shown(path)} {size[0]}x{size[1]}" for path, size in (a[i], b[j]))
                raise UserError(f"aligned images must have one size: {seen}; or use --preprocess resize_and_crop")

    def _image(self, source: Source, i: int) -> np.ndarray:
        """Image i, from the cache if it is there: as it is or, where that takes less memory, resized already."""

        def read() -> np.ndarray:
            image = source.load(i)
            width, height = resized(image.shape[1], image.shape[0], self.config)
            return resize(image, width, height) if 4 * width * height < image.shape[0] * image.shape[1] else image

        return self.cache.get((source is self.a, i), read)


class AlignedDataset(UnpairedDataset):
    """Pairs of A and B that belong together, by name or as halves of one image; both are cropped and mirrored alike.

    UserError unless every training image has its partner and, where images are cropped as they are, both have one size.
    """

    def __init__(self, config: Config, phase: str = "train") -> None:
        super().__init__(config, phase)
        pairs = partners(self.a, self.b)
        if pairs is None:
            alone = sorted(stems(self.a).keys() ^ stems(self.b).keys())[:3]
            raise UserError(
                f"aligned images: {len(self.a)} of A and {len(self.b)} of B, and not every one has a partner of its name"
                f"{' (alone: ' + ', '.join(alone) + ')' if alone else ''}; mend the folders, or train without pairs: "
                "python -m train.cyclegan"
            )
        self.pairs = pairs
        self.check_pairs(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def epoch_order(self, epoch: int) -> list[tuple[int, int]]:
        """The pairs, shuffled; as they are with `serial_batches`."""
        if self.config.serial_batches:
            return self.pairs
        return [self.pairs[i] for i in _stream(self.config.seed, epoch, _ORDER_A).permutation(len(self)).tolist()]

    def sample(self, epoch: int, position: int) -> Sample:
        """The pair at a position of an epoch, both images cropped and mirrored by the same stream."""
        return self.pair(*self.epoch_order(epoch)[position], (self.config.seed, epoch, _AUGMENT_A, position))


class PartlyPairedDataset(UnpairedDataset):
    """Unrelated images, and with each two of them a pair out of those that are known, which go round and round.

    Known are the share `sup_frac`, at least one, of the images of A that have a partner in B, by name; which, the seed says.
    UserError if none has one, or if partners are cropped as they are and differ in size.
    """

    def __init__(self, config: Config, phase: str = "train") -> None:
        super().__init__(config, phase)
        a, b = stems(self.a), stems(self.b)
        names = sorted(a.keys() & b.keys())
        if not names:
            raise UserError(
                f"--sup_frac {sup_frac(config)}: no image of A ({min(a)}, …) has a partner of its name in B ({min(b)}, …); "
                "give partners one name, or leave --sup_frac out"
            )
        chosen = _stream(config.seed, 0, _PAIRS).permutation(len(names))[: max(1, round(sup_frac(config) * len(names)))]
        self.known = [(a[names[i]], b[names[i]]) for i in sorted(chosen.tolist())]
        self.check_pairs(self.known)

    def sample(self, epoch: int, position: int) -> Sample:
        """Two unrelated images, and a pair."""
        seed = self.config.seed
        around, place = divmod(epoch * len(self) + position, len(self.known))
        i, j = self.known[_stream(seed, around, _ORDER_PAIRS).permutation(len(self.known))[place]]
        return replace(super().sample(epoch, position), pair=self.pair(i, j, (seed, epoch, _AUGMENT_PAIR, position)))


def sup_frac(config: Config) -> float:
    """The share of pairs that are known: 0 for a system that has no such option."""
    return float(getattr(config, "sup_frac", 0))


def dataset(config: Config) -> UnpairedDataset:
    """The training images, as --dataset_mode and --sup_frac have them."""
    if sup_frac(config):
        return PartlyPairedDataset(config)
    return (AlignedDataset if config.dataset_mode == "aligned" else UnpairedDataset)(config)


def paired_test(config: Config, limit: int = 0) -> list[Sample] | None:
    """Test images with their true partners, not augmented; None unless testA and testB hold the same names.

    Names count without extension, and all must match. limit: at most so many (0: all).
    """
    if not has_test(config):
        return None
    a, b = _checked(config, "test")
    pairs = partners(a, b)
    return None if pairs is None else [_plain(config, a, i, b, j) for i, j in pairs[: limit or None]]


def partners(a: Source, b: Source) -> list[tuple[int, int]] | None:
    """(index in A, index in B) of the images of one name, in the names' order; None unless each has its partner."""
    where = stems(a), stems(b)
    if where[0].keys() != where[1].keys() or not len(where[0]) == len(a) == len(b):
        return None
    return [(where[0][stem], where[1][stem]) for stem in sorted(where[0])]


def stems(source: Source) -> dict[str, int]:
    """The index of each image, by its name without extension."""
    return {os.path.splitext(source.name(i))[0]: i for i in range(len(source))}


def plain_images(config: Config, phase: str, limit: int = 0) -> tuple[Named, Named]:
    """The images of both domains of a phase, not augmented: lists of (name, image). limit: at most so many of each,
    spread evenly over the folder (0: all)."""
    kept: list[Named] = []
    for source in _checked(config, phase):
        count = min(limit, len(source)) if limit else len(source)
        chosen = [i * len(source) // count for i in range(count)]
        kept.append([(source.name(i), preprocess(source.load(i), config, None)) for i in chosen])
    return kept[0], kept[1]


def test_samples(config: Config, limit: int) -> list[Sample]:
    """The first `limit` images of each domain for a sample grid, not augmented: from testA and testB where they
    exist, else from the training folders. Fewer where a domain holds fewer."""
    a, b = _checked(config, "test" if has_test(config) else "train")
    return [_plain(config, a, i, b, i) for i in range(min(limit, len(a), len(b)))]


test_samples.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


def mixed_sizes(config: Config, sizes: dict[str, tuple[int, int]]) -> UserError:
    """The error for a batch whose images differ in size; `sizes` holds each image's (width, height) by name."""
    first = next(iter(sizes))
    other = next(name for name in sizes if sizes[name] != sizes[first])
    seen = " and ".join(f"{name} {sizes[name][0]}x{sizes[name][1]}" for name in (first, other))
    asked = f"--batch_size {config.batch_size}" + (
        f" --accumulate {config.accumulate}" if config.accumulate > 1 else ""
    )
    return UserError(
        f"{asked} needs images of one size, but --preprocess {config.preprocess} leaves them "
        f"different ({seen}); use one image a step, or --preprocess resize_and_crop, crop or scale_width_and_crop"
    )


def _open(config: Config, phase: str) -> tuple[Source, ...]:
    """Domains A and B of a phase, unchecked."""
    domains = "BA" if config.direction == "BtoA" else "AB"
    limit = config.max_dataset_size if phase == "train" else 0
    sources: list[Source] = []
    for domain, channels in zip(domains, (config.input_nc, config.output_nc), strict=True):
        if config.dataroot:
            root = Path(config.dataroot)
            if halved(config, phase):
                sources.append(HalfFolder(root / phase, domain, channels, limit))
            else:
                sources.append(ImageFolder(root / f"{phase}{domain}", channels, limit))
        else:
            unrelated = config.dataset_mode == "unaligned" and not sup_frac(config)
            count, first = _DRAWN[f"{phase}{domain if unrelated else 'A'}"]
            side = max(sides(config.load_size))
            sources.append(Drawn(domain, min(count, limit or count), first, side, channels, config.builtin))
    return tuple(sources)


def _check(config: Config, sources: tuple[Source, ...]) -> None:
    """Raises one UserError with the first five of all problems."""
    check_sizes(config)
    problems = [problem for source in sources for problem in source.problems]
    if config.preprocess == "crop":
        for path, (w, h) in ((path, size) for source in sources for path, size in source.sizes.items()):
            if not all(side >= crop for side, crop in zip((w, h), sides(config.crop_size), strict=True)):
                problems.append(f"{shown(path)}: {w}x{h} pixels, smaller than --crop_size {config.crop_size}")
    if problems:
        more = [f"… and {len(problems) - 5} more"] if len(problems) > 5 else []
        folders = all((Path(config.dataroot) / f"train{d}").is_dir() for d in "AB")
        if config.dataroot and not folders and not halved(config, "train"):
            or_halves = ", or a folder train of images with A on the left and B on the right"
            more.append(
                "--dataroot must name a folder that holds the folders trainA and trainB"
                + (or_halves if config.dataset_mode == "aligned" else "")
            )
        raise UserError("\n  ".join(["these images cannot be used:", *problems[:5], *more]))
    for source in sources[:2] if config.images_per_step > 1 else ():
        sizes = {path: final_size(*size, config) for path, size in source.sizes.items()}
        if len(set(sizes.values())) > 1:
            raise mixed_sizes(config, sizes)


def _checked(config: Config, phase: str) -> tuple[Source, ...]:
    sources = _open(config, phase)
    _check(config.replace(batch_size=1, accumulate=1), sources)  # these images go one at a time
    return sources


def has_test(config: Config) -> bool:
    """Whether there are test images: built-in pictures have them, a data root where it holds testA and testB."""
    there = all((Path(config.dataroot) / f"test{d}").is_dir() for d in "AB")
    return not config.dataroot or there or halved(config, "test")


def halved(config: Config, phase: str) -> bool:
    """Whether a phase's images of A and B are halves of the images of one folder."""
    root = Path(config.dataroot)
    if config.dataset_mode == "unaligned" or not config.dataroot:
        return False
    return (root / phase).is_dir() and not (root / f"{phase}A").is_dir()


def _plain(config: Config, a: Source, i: int, b: Source, j: int) -> Sample:
    return Sample(preprocess(a.load(i), config, None), preprocess(b.load(j), config, None), a.name(i), b.name(j))


def _stream(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)
