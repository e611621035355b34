"""Picture files through a translator: each at its own size, with its alpha channel, colour profile and 16 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from train.data.images import Picture, load_picture
from train.data.pixels import ends_at, resize, to_integers
from train.data.saving import keeps_16_bits, save_picture
from train.errors import UserError, shown
from train.inference.places import find, plan
from train.inference.translator import Translator, open_translator
from train.ranks.group import ALONE, Group
from train.ranks.shards import shard


@dataclass
class Outcome:
    """What became of the inputs."""

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)  # outputs that were there
    shallower: list[Path] = field(default_factory=list)  # of the written: 8 bits for an input's 16
    failed: dict[Path, str] = field(default_factory=dict)  # input -> why
    notes: tuple[str, ...] = ()  # what was taken where the weights do not tell it
    halves: dict[Path, str] = field(default_factory=dict)  # inputs that may show A beside B -> the half to translate
    dim: dict[Path, str] = field(default_factory=dict)  # inputs of 16 bits that end far from white -> what to say


def translate_images(
    weights: str | Path,
    input: str | Path | Sequence[str | Path],
    output: str | Path,
    direction: str = "",
    format: str = "",
    existing: str = "refuse",
    max_side: int = 0,
    device: str = "auto",
    progress: bool = False,
    codes: int = 1,
    upsample: str = "",
    network: str = "",
    white_level: int = 0,
    half: str = "",
    ranks: Group = ALONE,
) -> Outcome:
    """Translate pictures and write them; the options are those of the command.

    white_level  of 16-bit inputs, and of what becomes of them (0: as the run was trained)
    half         "left" or "right": of each picture that half alone ("": all of it)
    ranks        each makes its share; all have the whole outcome

    Raises UserError before anything is written if weights, inputs or outputs do not fit together; a single file that
    cannot be read or written is noted in the outcome.
    """
    inputs = [input] if isinstance(input, str | Path) else list(input)
    jobs = plan(find(inputs, Path(output)), Path(output), format, existing, codes)
    translator = open_translator(weights, direction, device, upsample, network)
    outcome = Outcome(notes=translator.notes)
    if codes > 1 and not translator.coded:
        raise UserError(f"--codes {codes}: this generator takes no code, and has one translation of a picture")
    ranks.barrier()  # all have seen what was there before
    mine = shard(len(jobs), ranks.rank, ranks.size)
    bar = tqdm([*jobs.items()][mine.start : mine.stop], unit="picture", disable=not progress)
    for source, targets in bar:
        bar.set_postfix_str(shown(source.name), refresh=True)
        there = [target for target in targets if existing == "skip" and target.exists()]
        outcome.skipped += there
        if len(there) == len(targets):
            continue
        try:
            original = load_picture(source, translator.in_channels, white=white_level or translator.white_level)
            note(outcome, source, original, half, translator)
            original = half_of(original, half, source) if half else original
            for code, target in enumerate(targets):
                if target in there:
                    continue
                _, picture = translated(translator, original, max_side, code)
                save_picture(target, picture)
                outcome.written.append(target)
                if picture.bits == 16 and not keeps_16_bits(target, picture.pixels.shape[2]):
                    outcome.shallower.append(target)
        except UserError as error:
            outcome.failed[source] = str(error)
        except MemoryError:
            outcome.failed[source] = (
                f"{shown(source)}: out of memory; --max_side 2000 shrinks it to at most that many pixels"
            )
    return joined(ranks.gather(outcome))


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """What became of all ranks' inputs."""
    every = Outcome(notes=outcomes[0].notes)
    for outcome in outcomes:
        for name in ("written", "skipped", "shallower"):
            getattr(every, name).extend(getattr(outcome, name))
        for name in ("failed", "halves", "dim"):
            getattr(every, name).update(getattr(outcome, name))
    return every


def translated(
    translator: Translator, picture: Picture, max_side: int = 0, code: int = 0
) -> tuple[np.ndarray, Picture]:
    """What the generator saw of a picture, and its translation with what belongs to it.

    Both are shrunk if a side is larger than `max_side` (0: never).
    """
    x, alpha = picture.pixels, picture.alpha
    height, width = x.shape[:2]
    if max_side and max(height, width) > max_side:
        scale = max_side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        x = resize(x, *size)
        alpha = None if alpha is None else np.asarray(Image.fromarray(alpha).resize(size))
    return x, replace(picture, pixels=translator(x, code), alpha=alpha)


def note(outcome: Outcome, source: Path, picture: Picture, half: str, translator: Translator) -> None:
    """Put on record what may be wrong with a picture, though it can be translated."""
    height, width = picture.pixels.shape[:2]
    if not half and (wanted := translator.half_of(width, height)):
        outcome.halves[source] = wanted
    if picture.bits == 16:
        brightest = int(to_integers(picture.pixels.max(), 16, picture.white))
        if why := ends_at(brightest, picture.white):
            outcome.dim[source] = why


def half_of(picture: Picture, half: str, source: Path) -> Picture:
    """The "left" or "right" half of a picture. UserError for an odd width."""
    width = picture.pixels.shape[1]
    if width % 2:
        raise UserError(f"{shown(source)}: --half {half} of a picture {width} pixels wide; wanted an even width")
    part = slice(None, width // 2) if half == "left" else slice(width // 2, None)
    alpha = None if picture.alpha is None else picture.alpha[:, part]
    return replace(picture, pixels=np.ascontiguousarray(picture.pixels[:, part]), alpha=alpha)
