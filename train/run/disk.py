"""Checkpoints and the disk: whether there is room for them, and which of them stay."""

from __future__ import annotations

from pathlib import Path

from train.config.settings import Config
from train.data.dataset import Sample
from train.errors import UserError, shown
from train.files.atomic import free_bytes
from train.files.sizes import size_text
from train.models.model import Model


def state_bytes(config: Config, model: Model, sample: Sample) -> int:
    """About what a checkpoint takes: weights and Adam's two moments, averages, full pools of such images; float32."""
    weights = {name: sum(p.size for _, p in network.named_parameters()) for name, network in model.networks().items()}
    averages = sum(size for name, size in weights.items() if name.startswith("gen") and config.ema)
    return 4 * (3 * sum(weights.values()) + averages + config.pool_size * (sample.a.size + sample.b.size))


def most_checkpoints(config: Config, epochs: int) -> int:
    """How many of them lie in a run's folder in the end, if it ends after so many whole epochs."""
    copies = epochs // config.save_epoch_freq if config.save_epoch_freq else 0
    return 1 + bool(config.eval_freq) + (min(copies, config.keep) if config.keep else copies)


def room_told(folder: Path, size: int, count: int) -> str:
    """What is to be said where the disk has no room for so many checkpoints of so many bytes; "" where it has."""
    free = free_bytes(folder)
    if (count + 1) * size <= free:
        return ""
    return (
        f"{shown(folder)}: {count} checkpoints will take {size_text(count * size)}, but only {size_text(int(free))} are free; "
        "--keep 2 keeps the newest two of the epochs' copies only, --save_epoch_freq 0 none"
    )


def check_room(folder: Path, size: int) -> None:
    """UserError if the disk has no room for a checkpoint of so many bytes beside the one that it replaces."""
    free = free_bytes(folder)
    if 2 * size > free:
        raise UserError(
            f"{shown(folder)}: a checkpoint of this run takes about {size_text(size)}, twice that while it replaces the one "
            f"before, but only {size_text(int(free))} are free; make room, or choose another --checkpoints_dir"
        )


def drop_oldest(folder: Path, keep: int) -> None:
    """Of the epochs' checkpoints in a run's folder, leave the newest `keep` (0: all)."""
    numbers = {file: file.stem.removeprefix("epoch_") for file in folder.glob("epoch_*.npz")}
    kept = sorted((file for file, number in numbers.items() if number.isdecimal()), key=lambda file: int(numbers[file]))
    for file in kept[:-keep] if keep else ():
        file.unlink()
