"""FID and KID, by whichever of the two libraries that people quote is installed: torch-fidelity or clean-fid.

Neither is a dependency: they bring PyTorch and a pretrained Inception network, which they download when first used. Only
such a score may be called FID. Compare it with others of the same library, image size and number of images.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from train.data.pixels import for_eyes
from train.data.saving import save_image
from train.errors import UserError

LIBRARIES = {"torch-fidelity": "torch_fidelity", "clean-fid": "cleanfid.fid"}


def library() -> tuple[str, ModuleType]:
    """The first library that can be imported, with its name. UserError says what is missing."""
    reasons = []
    for name, module in LIBRARIES.items():
        try:
            return name, importlib.import_module(module)
        except (ImportError, OSError, RuntimeError, AttributeError) as error:  # or at odds with its own dependencies
            reasons.append(f"{name}: {error}")
    raise UserError(
        f"--fid needs torch-fidelity or clean-fid ({'; '.join(reasons)}); pip install torch-fidelity, or leave --fid out: "
        "the domain distance needs neither"
    )


def fid_kid(pictures: Sequence[np.ndarray], real: Sequence[np.ndarray], cuda: bool = False) -> dict[str, float]:
    """{"fid", "kid"} of two sets of pictures [H,W,C] in [-1, 1]; they are handed over as PNG files."""
    name, module = library()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / "pictures", Path(scratch) / "real"]
        for folder, images in zip(folders, (pictures, real), strict=True):
            folder.mkdir()
            for i, x in enumerate(images):
                save_image(folder / f"{i:06}.png", for_eyes(x))
        one, two = map(str, folders)
        try:
            if name == "torch-fidelity":
                got = module.calculate_metrics(
                    input1=one, input2=two, fid=True, kid=True, cuda=cuda, verbose=False,
                    kid_subset_size=min(1000, len(pictures), len(real)),
                )  # fmt: skip
                return {
                    "fid": float(got["frechet_inception_distance"]),
                    "kid": float(got["kernel_inception_distance_mean"]),
                }
            settings = dict(
                mode="clean", num_workers=0, device="cuda" if cuda else "cpu", use_dataparallel=False, verbose=False
            )
            return {
                "fid": float(module.compute_fid(one, two, **settings)),
                "kid": float(module.compute_kid(one, two, **settings)),
            }
        except Exception as error:  # such as no network to fetch Inception's weights with
            raise UserError(
                f"--fid: {name} failed ({type(error).__name__}: {error}); it fetches Inception's weights when first used. "
                "Leave --fid out to go without"
            ) from error
