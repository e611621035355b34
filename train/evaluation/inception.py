"""FID and KID, by whichever of the two libraries that people quote is installed: torch-fidelity or clean-fid.

Neither is a dependency: they bring PyTorch and a pretrained Inception network, which they download when first used. Only
such a score may be called FID. Compare it with others of the same library, image size and number of images.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from train.data.pixels import for_eyes
from train.data.saving import save_image
from train.errors import UserError, shown

LIBRARIES = {"torch-fidelity": "torch_fidelity", "clean-fid": "cleanfid.fid"}
WEIGHTS = {
    "torch-fidelity": "~/.cache/torch/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth",
    "clean-fid": "/tmp/inception-2015-12-05.pt",
}
"""Where each looks for Inception's weights before it downloads them."""

Pictures = Sequence[np.ndarray]  # each [H,W,C] in [-1, 1]


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
        "the domain distance needs neither. (Where torchvision is at odds with torch, install both from one place)"
    )


def check_fid(weights: Path | None) -> None:
    """UserError where no library is installed, or the file of weights is not there: before anything is computed."""
    library()
    if weights and not weights.is_file():
        raise UserError(f"--fid_weights {shown(weights)}: there is no such file")


@contextlib.contextmanager
def inception(weights: Path | None = None, cuda: bool = False) -> Iterator[Inception]:
    """The library, with a folder to work in for as long as the context lasts. `weights`: Inception's, in a file."""
    name, module = library()
    with tempfile.TemporaryDirectory() as folder:
        kind = TorchFidelity if name == "torch-fidelity" else CleanFid
        yield kind(name, module, Path(folder), weights, cuda)


class Inception:
    """`score(pictures, real, domain)` is {"fid", "kid"} of pictures against the real ones of a domain, which are encoded once."""

    def __init__(self, name: str, module: Any, folder: Path, weights: Path | None, cuda: bool) -> None:
        self.name, self.module, self.folder, self.weights, self.cuda = name, module, folder, weights, cuda

    def score(self, pictures: Pictures, real: Pictures, domain: str) -> dict[str, float]:
        """UserError where the library fails, with where to lay Inception's weights."""
        try:
            one, two = self.handed_over("pictures", pictures), self.folder / domain
            if not two.exists():
                self.handed_over(domain, real)
            return self.compare(str(one), str(two), min(1000, len(pictures), len(real)))
        except Exception as error:  # such as no network to fetch Inception's weights with
            raise UserError(
                f"--fid: {self.name} failed ({type(error).__name__}: {shown(error, 300)}). It wants Inception's weights, which it "
                f"fetches when first used: without a network lay them in {WEIGHTS[self.name]}, or name the file with "
                "--fid_weights. The other scores need neither"
            ) from error

    def handed_over(self, name: str, pictures: Pictures) -> Path:
        """A folder that holds the pictures, and nothing else, as PNG files."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for i, x in enumerate(pictures):
            save_image(folder / f"{i:06}.png", for_eyes(x))
        return folder

    def compare(self, pictures: str, real: str, most: int) -> dict[str, float]:
        """{"fid", "kid"} of two folders; KID from subsets of `most` pictures."""
        raise NotImplementedError


class TorchFidelity(Inception):
    def compare(self, pictures: str, real: str, most: int) -> dict[str, float]:
        got = self.module.calculate_metrics(
            input1=pictures, input2=real, fid=True, kid=True, cuda=self.cuda, verbose=False, kid_subset_size=most,
            cache_root=str(self.folder / "cache"), input2_cache_name=Path(real).name, save_cpu_ram=True,
            feature_extractor_weights_path=None if self.weights is None else str(self.weights),
        )  # fmt: skip
        return {
            "fid": float(got["frechet_inception_distance"]),
            "kid": float(got["kernel_inception_distance_mean"]),
        }


class CleanFid(Inception):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.known: dict[str, np.ndarray] = {}  # features of the real pictures' folders

    def compare(self, pictures: str, real: str, most: int) -> dict[str, float]:
        if real not in self.known:
            self.known[real] = self.features(real)
        one, two = self.features(pictures), self.known[real]
        with seeded():  # it draws from NumPy's common stream
            kid = self.module.kernel_distance(one, two)
        return {"fid": float(self.module.fid_from_feats(one, two)), "kid": float(kid)}

    def features(self, folder: str) -> np.ndarray:
        """[N,2048] of the pictures in a folder."""
        return self.module.get_folder_features(
            folder, self.network, num_workers=0, batch_size=32, device=self.device, mode="clean", verbose=False
        )

    @property
    def device(self) -> str:
        return "cuda" if self.cuda else "cpu"

    @functools.cached_property
    def network(self) -> Any:
        """Inception as the library builds it."""
        if self.weights is None:
            return self.module.build_feature_extractor("clean", self.device, use_dataparallel=False)
        shutil.copyfile(self.weights, self.folder / Path(WEIGHTS[self.name]).name)  # it knows the file by its name
        wrapper = importlib.import_module("cleanfid.inception_torchscript").InceptionV3W
        return wrapper(str(self.folder), download=False).to(self.device).eval()


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """Within this context NumPy's common stream begins anew; afterwards it is where it was."""
    before = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(before)
