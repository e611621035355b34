"""Whether the pictures of a run suit its networks, asked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from train.config.settings import Config
from train.data.dataset import Sample, UnpairedDataset
from train.data.preprocess import final_size
from train.errors import UserError


def check_sizes(config: Config, dataset: UnpairedDataset, shown: Sequence[Sample]) -> None:
    """UserError if the networks cannot take the size of an image; `shown` are the test images of the samples."""
    sources = (dataset.a, dataset.b)
    seen = {path: final_size(*size, config) for source in sources for path, size in source.sizes.items()}
    for pair in shown:
        seen |= {f"test image {name}": x.shape[1::-1] for name, x in ((pair.name_a, pair.a), (pair.name_b, pair.b))}
    for name, size in seen.items():
        if why := config.misfit(*size):
            crop = "crop" in config.preprocess
            what = f"--crop_size {config.crop_size}" if crop else f"{name}, with --preprocess {config.preprocess}"
            mend = "choose another --crop_size" if crop else "--preprocess resize_and_crop fits images of any size"
            raise UserError(f"{what}: {size[0]}x{size[1]} pixels do not suit the networks: {why}; {mend}")
