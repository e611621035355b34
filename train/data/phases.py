"""Which images belong to a phase, "train", "val" or "test": folders of the data root, halves of one folder, or drawn ones."""

from __future__ import annotations

from pathlib import Path

from train.config import sides
from train.config.checks import check_sizes
from train.config.settings import Config
from train.data.listing import is_passed_by
from train.data.preprocess import final_size
from train.data.sources import Drawn, HalfFolder, ImageFolder, Source
from train.errors import UserError, shown

DRAWN = {
    "trainA": (100, 0), "trainB": (100, 1_000_000), "testA": (32, 2_000_000), "testB": (32, 2_000_000),
    "valA": (32, 3_000_000), "valB": (32, 3_000_000),
}  # fmt: skip


def open_phase(config: Config, phase: str) -> tuple[Source, ...]:
    """Domains A and B of a phase, unchecked."""
    domains = "BA" if config.direction == "BtoA" else "AB"
    limit = config.max_dataset_size if phase == "train" else 0
    sources: list[Source] = []
    for domain, channels in zip(domains, (config.input_nc, config.output_nc), strict=True):
        if config.dataroot:
            root = Path(config.dataroot)
            if halved(config, phase):
                sources.append(HalfFolder(root / phase, domain, channels, limit, config.white_level))
            else:
                sources.append(ImageFolder(root / f"{phase}{domain}", channels, limit, config.white_level))
        else:
            unrelated = config.dataset_mode == "unaligned" and not sup_frac(config)
            count, first = DRAWN[f"{phase}{domain if unrelated else 'A'}"]
            side = max(sides(config.load_size))
            sources.append(Drawn(domain, min(count, limit or count), first, side, channels, config.builtin))
    return tuple(sources)


def check(config: Config, sources: tuple[Source, ...]) -> None:
    """Raises one UserError with the first five of all problems."""
    check_sizes(config)
    problems = [problem for source in sources for problem in source.problems]
    if config.preprocess == "crop":
        for path, (w, h) in ((path, size) for source in sources for path, size in source.sizes.items()):
            if not all(side >= crop for side, crop in zip((w, h), sides(config.crop_size), strict=True)):
                problems.append(f"{shown(path)}: {w}x{h} pixels, smaller than --crop_size {config.crop_size}")
    if problems:
        more = [f"… and {len(problems) - 5} more"] if len(problems) > 5 else []
        there = ", ".join(unused(config)) if config.dataroot else ""
        folders = all((Path(config.dataroot) / f"train{d}").is_dir() for d in "AB")
        if config.dataroot and not folders and not halved(config, "train"):
            or_halves = ", or a folder train of images with A on the left and B on the right"
            more.append(
                "--dataroot must name a folder that holds the folders trainA and trainB"
                + (or_halves if config.dataset_mode == "aligned" else "")
                + (f"; seen there: {there}" if there else "")
            )
        raise UserError("\n  ".join(["these images cannot be used:", *problems[:5], *more]))
    for source in sources[:2] if config.images_per_step > 1 else ():
        sizes = {path: final_size(*size, config) for path, size in source.sizes.items()}
        if len(set(sizes.values())) > 1:
            raise mixed_sizes(config, sizes)


def open_checked(config: Config, phase: str) -> tuple[Source, ...]:
    """The same, checked for one image at a time."""
    sources = open_phase(config, phase)
    check(config.replace(batch_size=1, accumulate=1, n_critic=1), sources)
    return sources


def has_test(config: Config) -> bool:
    """Whether there are test images."""
    return has(config, "test")


def has(config: Config, phase: str) -> bool:
    """Whether there are images of a phase: built-in pictures have them, a data root where it holds both of its folders."""
    there = all((Path(config.dataroot) / f"{phase}{d}").is_dir() for d in "AB")
    return not config.dataroot or there or halved(config, phase)


def unused(config: Config) -> list[str]:
    """The folders of a data root whose images take no part, such as "testA (without testB)" or "val"."""
    root = Path(config.dataroot)
    try:
        folders = {path.name for path in root.iterdir() if path.is_dir() and not is_passed_by(path.name)}
    except OSError:
        return []
    phases = ("train", "val", "test") if config.eval_freq else ("train", "test")
    used = {phase for phase in phases if halved(config, phase)}
    used |= {f"{phase}{d}" for phase in phases for d in "AB" if {f"{phase}A", f"{phase}B"} <= folders}
    other = {f"{phase}{d}": f"{phase}{e}" for phase in ("train", "val", "test") for d, e in ("AB", "BA")}
    alone = {name for name, partner in other.items() if partner not in folders}
    return [f"{n} (without {other[n]})" if n in alone else shown(n) for n in sorted(folders - used)]


def halved(config: Config, phase: str) -> bool:
    """Whether a phase's images of A and B are halves of the images of one folder."""
    root = Path(config.dataroot)
    if config.dataset_mode == "unaligned" or not config.dataroot:
        return False
    return (root / phase).is_dir() and not (root / f"{phase}A").is_dir()


def sup_frac(config: Config) -> float:
    """The share of pairs that are known: 0 for a system that has no such option."""
    return float(getattr(config, "sup_frac", 0))


def mixed_sizes(config: Config, sizes: dict[str, tuple[int, int]]) -> UserError:
    """The error for a batch whose images differ in size; `sizes` holds each image's (width, height) by name."""
    first = next(iter(sizes))
    other = next(name for name in sizes if sizes[name] != sizes[first])
    seen = " and ".join(f"{name} {sizes[name][0]}x{sizes[name][1]}" for name in (first, other))
    several = [name for name in ("accumulate", "n_critic") if getattr(config, name) > 1]
    asked = " ".join(f"--{name} {getattr(config, name)}" for name in ("batch_size", *several))
    return UserError(
        f"{asked} needs images of one size, but --preprocess {config.preprocess} leaves them "
        f"different ({seen}); use one image a step, or --preprocess resize_and_crop, crop or scale_width_and_crop"
    )
