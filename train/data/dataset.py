"""Data: two sources of images, paired, not paired or in part, and an order in which training sees them.

Nothing here remembers anything. Which images meet, how they are cropped and whether they are mirrored is a pure
function of (seed, epoch, position, domain); so a run resumed in the middle of an epoch, or read by any number of
threads, sees exactly what an undisturbed one would have seen.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from train.config.settings import Config
from train.data.cache import Cache
from train.data.pairing import pair_up
from train.data.phases import check, has_test, open_phase, sup_frac
from train.data.pixels import resize
from train.data.preprocess import preprocess, resized
from train.data.sources import Source
from train.errors import UserError, shown

log = logging.getLogger(__name__)

_ORDER_A, _ORDER_B, _AUGMENT_A, _AUGMENT_B, _AUGMENT_PAIR, _ORDER_PAIRS, _PAIRS = range(
    7
)  # one stream of random numbers each


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


class UnpairedDataset:
    """Pairs of unrelated images, max(len(A), len(B)) to an epoch; `config.direction` BtoA swaps the two domains.

    Opening it checks every header of the phase's folders, and of the test folders where there are any: one UserError
    tells all that is wrong with the data before anything has been trained. `test` holds the latter's two domains, if any.
    """

    def __init__(self, config: Config, phase: str = "train") -> None:
        self.config = config
        self.a, self.b = open_phase(config, phase)
        self.test = open_phase(config, "test") if phase == "train" and has_test(config) else ()
        sources = (self.a, self.b, *self.test)
        check(config, sources)
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
        pairing = pair_up(self.a, self.b)
        if not pairing.complete:
            raise UserError(
                f"aligned images: {len(self.a)} of A and {len(self.b)} of B, and not every one has one partner of its name "
                f"({pairing.told()}); mend the folders, or train without pairs: python -m train.cyclegan"
            )
        self.pairs = pairing.pairs
        self.check_pairs(self.pairs)

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
        pairing = pair_up(self.a, self.b)
        if not pairing.pairs or pairing.twice:
            raise UserError(
                f"--sup_frac {sup_frac(config)}: wanted images of A with one partner of their name in B each; "
                f"{pairing.told()}; give partners one name, or leave --sup_frac out"
            )
        known = max(1, round(sup_frac(config) * len(pairing.pairs)))
        chosen = _stream(config.seed, 0, _PAIRS).permutation(len(pairing.pairs))[:known]
        self.known = [pairing.pairs[i] for i in sorted(chosen.tolist())]
        self.check_pairs(self.known)

    def sample(self, epoch: int, position: int) -> Sample:
        """Two unrelated images, and a pair."""
        seed = self.config.seed
        around, place = divmod(epoch * len(self) + position, len(self.known))
        i, j = self.known[_stream(seed, around, _ORDER_PAIRS).permutation(len(self.known))[place]]
        return replace(super().sample(epoch, position), pair=self.pair(i, j, (seed, epoch, _AUGMENT_PAIR, position)))


def dataset(config: Config) -> UnpairedDataset:
    """The training images, as --dataset_mode and --sup_frac have them."""
    if sup_frac(config):
        return PartlyPairedDataset(config)
    return (AlignedDataset if config.dataset_mode == "aligned" else UnpairedDataset)(config)


def _stream(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)
