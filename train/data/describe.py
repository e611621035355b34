"""In a line each: which images were found, what is left out of them, and what belongs together by which rule."""

from __future__ import annotations

from collections.abc import Sequence

from train.config.settings import Config
from train.data.agreement import agreement
from train.data.dataset import AlignedDataset, PartlyPairedDataset, UnpairedDataset
from train.data.pairing import pair_up
from train.data.phases import halved, unused
from train.data.pixels import ends_at
from train.data.sources import BUILTIN, Drawn, ImageFolder, Source
from train.errors import UserError

COMPARED = 12  # pairs of test images whose edges are compared
LOOKED_AT = 8  # images of 16 bits that are read to see where their values end


def training_images(dataset: UnpairedDataset) -> str:
    """Such as "horses: 40 images of A, 38 of B, unpaired; left out of trainA: 3 x .gif; not used: val"."""
    c = dataset.config
    root = c.dataroot or f"built-in {c.builtin} ({BUILTIN[c.builtin][1]})"
    pairs = "paired by place (--serial_batches)" if c.serial_batches else "unpaired"
    if isinstance(dataset, AlignedDataset):
        rule = ", the halves of each image" if halved(c, "train") else " by name" if c.dataroot else ""
        pairs = f"{len(dataset.pairs)} pairs{rule}"
    elif isinstance(dataset, PartlyPairedDataset):
        pairs = f"{len(dataset.known)} pairs{' by name' if c.dataroot else ''}"
    spare = unused(c) if c.dataroot else []
    more = left_out((dataset.a, dataset.b, *dataset.test)) + ([f"not used: {', '.join(spare[:6])}"] if spare else [])
    return "; ".join([f"{root}: {len(dataset.a)} images of A, {len(dataset.b)} of B, {pairs}", *more])


def left_out(sources: Sequence[Source]) -> list[str]:
    """For each folder of which something is left out what that is, once."""
    folders = {source.folder.name: source.listing.told() for source in sources if isinstance(source, ImageFolder)}
    return [f"left out of {name}: {told}" for name, told in folders.items() if told]


def white_level(sources: Sequence[Source]) -> list[str]:
    """A line for each folder whose 16-bit files, of which a few are read, end far below white, or beyond --white_level."""
    lines = []
    for source in sources:
        if isinstance(source, ImageFolder) and source.deep:
            found = f"{len(source.deep)} images of {source.folder.name} have 16 bits, and in {min(LOOKED_AT, len(source.deep))} of them"
            if why := ends_at(source.brightest(LOOKED_AT), source.white):
                lines.append(f"{found} {why}")
    return lines


def test_partners(config: Config, a: Source, b: Source) -> str:
    """Whether test images have true partners, and who says so: such as "5 pairs, because testA and testB hold the same names"."""
    counts = f"{len(a)} images of A, {len(b)} of B"
    if config.unpaired_test:
        return f"{counts}, not taken as pairs (--unpaired_test)"
    pairing = pair_up(a, b)
    if not pairing.complete:
        why = (
            f"{len(pairing.pairs)} names are in both, but not all ({pairing.told()})"
            if pairing.pairs
            else "other names"
        )
        return f"{counts}, not taken as pairs: {why}"
    if isinstance(a, Drawn):
        return f"{len(a)} pairs, drawn as such"
    if halved(config, "test"):
        return f"{len(a)} pairs, the halves of the images of test"
    numbered = all(a.name(i).rpartition("/")[2].partition(".")[0].isdecimal() for i in range(len(a)))
    only = ", though only numbers" if numbered else ""
    return (
        f"{len(a)} pairs, because testA and testB hold the same names{only}{edges_say(a, b, pairing.pairs)}; if these show no "
        "partners, --unpaired_test scores them without pairs"
    )


def edges_say(a: Source, b: Source, pairs: Sequence[tuple[int, int]]) -> str:
    """Whether a few pairs look like partners; "" for too few to tell."""
    chosen = [pairs[i * len(pairs) // COMPARED] for i in range(COMPARED)] if len(pairs) > COMPARED else pairs
    if len(chosen) < 3:
        return ""
    try:
        own, others, partners = agreement([a.load(i) for i, _ in chosen], [b.load(j) for _, j in chosen])
    except UserError:  # one that cannot be decoded, of which whoever needs it will tell
        return ""
    return f"; their edges agree {'better' if partners else 'NO better'} than those of any other two ({own:.2f}, {others:.2f})"


test_partners.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test
