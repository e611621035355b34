"""A few steps of every system on the ranks that started this, and a digest of all that they left. Prints them as JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.run_result import leaves
from train.config.settings import Config
from train.models.augmented_cyclegan import AugmentedConfig, AugmentedCycleGAN
from train.models.cyclegan import CycleGAN
from train.models.data_parallel import DataParallel
from train.models.model import Model
from train.models.pix2pix import Pix2Pix, Pix2PixConfig
from train.models.stochastic_cyclegan import StochasticConfig, StochasticCycleGAN
from train.ranks import buckets
from train.ranks.group import Group
from train.ranks.launcher import join, leave

SMALL: dict[str, Any] = dict(device="cpu", seed=3, load_size=32, crop_size=32, ngf=2, ndf=2, n_blocks=1)
SYSTEMS: dict[str, Callable[[], Model]] = {
    "everything": lambda: CycleGAN(
        Config(
            **SMALL,
            batch_size=2,
            accumulate=2,
            pool_size=3,
            ema=0.9,
            n_critic=2,
            diffaugment="color,translation,cutout",
        )
    ),
    "penalty": lambda: CycleGAN(Config(**SMALL, batch_size=4, pool_size=3, gan_mode="wgangp")),
    "no discriminators": lambda: CycleGAN(Config(**SMALL, batch_size=3, lambda_GAN=0.0)),
    "pix2pix": lambda: Pix2Pix(
        Pix2PixConfig(**SMALL | dict(load_size=64, crop_size=64, ngf=1), batch_size=4, netG="unet_64")
    ),
    "stochastic": lambda: StochasticCycleGAN(StochasticConfig(**SMALL, batch_size=4, n_down=3, max_gnorm=0.01)),
    "augmented": lambda: AugmentedCycleGAN(
        AugmentedConfig(**SMALL, batch_size=8, n_down=3, nef=2, stoch_enc=True, two_sided=True)
    ),
    "latent discriminator": lambda: AugmentedCycleGAN(AugmentedConfig(**SMALL, batch_size=8, n_down=3, nef=2)),
}
STEPS = 3


def played(name: str, group: Group) -> list[int]:
    """A digest of the state and losses after each of some steps, of which the last has fewer samples than four ranks."""
    model = SYSTEMS[name]()
    parallel, config = DataParallel(model, group), model.config
    rng, digests = np.random.default_rng(0), []
    for step in range(STEPS):
        n = config.images_per_step if step < STEPS - 1 else config.images_per_step // 2 - 1 or 1
        side = int(config.crop_size)
        a, b = (rng.uniform(-1, 1, (n, side, side, 3)).astype(np.float32) for _ in "ab")
        losses = parallel.step(n, *(x[parallel.places(n)] for x in (a, b)))
        state = leaves(model.state_dict() | {"losses": losses})
        digests.append(zlib.crc32(repr(sorted(state.items())).encode()))
    return digests


if __name__ == "__main__":
    buckets.MOST = 300  # many, most of which are sent during the backward
    ranks = join()
    ranks.unasked = ranks.size > 1  # as if MPI's way were NCCL's
    found = {name: played(name, ranks) for name in SYSTEMS}
    everybody = ranks.gather(found)
    assert all(theirs == found for theirs in everybody), "the ranks have parted"
    if ranks.leads:
        print(json.dumps(found), flush=True)
    leave()
