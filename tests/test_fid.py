"""FID and KID through the real libraries, torch-fidelity and clean-fid, with weights made here: beside direct calls, and failing late."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from tests.test_evaluate import brief, data, evaluate, generator
from train.data.saving import save_image
from train.errors import UserError
from train.evaluation import inception as fid

__all__ = ["brief", "data", "generator"]  # fixtures
rng = np.random.default_rng(0)


@pytest.fixture(scope="module", autouse=True)
def torchvision() -> None:
    """The libraries take image transforms from torchvision, whose compiled operators, made for CUDA's torch, do not load beside the
    CPU's. Then it comes without them."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")


@pytest.fixture(autouse=True)
def no_square_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of matrices of 2048 x 2048, half a minute each: whoever is compared goes without."""
    monkeypatch.setattr("numpy.linalg.eigvals", lambda product: np.diagonal(product).clip(0))
    monkeypatch.setattr("scipy.linalg.sqrtm", lambda product, disp=True: (np.sqrt(np.abs(product)), 0))


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights for torch-fidelity's Inception, drawn at random."""
    torch = importlib.import_module("torch")
    kind = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    torch.manual_seed(0)
    with mock.patch.object(torch, "load"), mock.patch.object(kind, "load_state_dict"):
        network = kind("random", ["2048"], feature_extractor_weights_path="made here")
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter *= 2.5  # as large as keeps activations from fading
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """clean-fid alone is installed; weights for it, of a small network that takes what Inception takes."""
    importlib.import_module("cleanfid.fid")
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    network = torch.nn.Sequential()
    network.layers = torch.nn.Sequential(
        torch.nn.AvgPool2d(37), torch.nn.Flatten(), torch.nn.Linear(192, 2048), torch.nn.ReLU()
    )
    path = tmp_path / "small.pt"
    torch.jit.save(torch.jit.script(network), path)
    yield path


def pictures(count: int, dark: float = 0.0) -> list[np.ndarray]:
    return [np.tanh(rng.normal(dark, 1, (24, 24, 3))).astype(np.float32) for _ in range(count)]


def folder(path: Path, some: list[np.ndarray]) -> str:
    path.mkdir()
    for i, x in enumerate(some):
        save_image(path / f"{i}.png", x)
    return str(path)


@pytest.mark.slow
def test_torch_fidelity_as_called_by_hand(random_inception: Path, tmp_path: Path) -> None:
    library = importlib.import_module("torch_fidelity")
    real, some, others = pictures(3), pictures(2, 0.5), pictures(2, -1)
    encoded: list[int] = []
    forward = importlib.import_module(
        "torch_fidelity.feature_extractor_inceptionv3"
    ).FeatureExtractorInceptionV3.forward

    def counted(self: Any, x: Any) -> Any:
        encoded.append(len(x))
        return forward(self, x)

    with (
        mock.patch("torch_fidelity.feature_extractor_inceptionv3.FeatureExtractorInceptionV3.forward", counted),
        fid.inception(random_inception) as tool,
    ):
        assert tool.name == "torch-fidelity"
        got = [tool.score(x, real, "B") for x in (some, others)]
    assert sorted(encoded) == [2, 2, 3]  # the real ones once
    wanted = library.calculate_metrics(
        input1=folder(tmp_path / "one", some), input2=folder(tmp_path / "two", real), fid=True, kid=True, cuda=False,
        verbose=False, cache=False, kid_subset_size=2, save_cpu_ram=True, feature_extractor_weights_path=str(random_inception),
    )  # fmt: skip
    assert got[0] == {
        "fid": wanted["frechet_inception_distance"],
        "kid": wanted["kernel_inception_distance_mean"],
    }
    assert got[0]["fid"] > 0 and got[0] != got[1]


@pytest.mark.slow
def test_clean_fid_as_called_by_hand(clean: Path, tmp_path: Path) -> None:
    library = importlib.import_module("cleanfid.fid")
    real, some = pictures(4), pictures(3, 0.5)
    with fid.inception(clean) as tool:
        assert tool.name == "clean-fid"
        got, again = tool.score(some, real, "B"), tool.score(some, real, "B")
        network = tool.network  # type: ignore[attr-defined]
    assert got == again  # though it draws
    wanted = library.compute_fid(
        folder(tmp_path / "one", some), folder(tmp_path / "two", real), custom_feat_extractor=network, device="cpu",
        num_workers=0, verbose=False,
    )  # fmt: skip
    assert got["fid"] == pytest.approx(wanted, rel=1e-6) and wanted != 0


@pytest.mark.slow
def test_the_command_with_clean_fid(
    clean: Path, data: Path, generator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--dataroot", data, "--crop_size", 24, "--load_size", 24, "--no_distance", "--output", data / "out")
    assert evaluate("--weights", generator, *options, "--fid_weights", clean) == 0
    found = json.loads((data / "out" / "evaluation.json").read_text())
    rows = found["scores"]["A → B"]
    assert found["fid_library"] == "clean-fid"
    assert rows["model"]["fid"] != rows["real"]["fid"]
    assert {"fid", "kid", "ssim"} <= rows["model"].keys() and "FID" in capsys.readouterr().out


@pytest.mark.slow
def test_nothing_is_lost_where_it_fails_late(
    clean: Path, data: Path, generator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "broken.pt").write_bytes(b"no weights")
    options = ("--dataroot", data, "--crop_size", 24, "--load_size", 24, "--no_distance", "--output", data / "out")
    assert evaluate("--weights", generator, *options, "--fid_weights", data / "broken.pt") == 2
    out, err = capsys.readouterr()
    rows = json.loads((data / "out" / "evaluation.json").read_text())["scores"]["A → B"]
    assert "ssim" in rows["model"] and "fid" not in rows["model"] and "SSIM" in out
    assert "clean-fid failed" in err and "lay them in /tmp/inception-2015-12-05.pt" in err and "--fid_weights" in err


def test_a_file_that_is_not_there_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fid, "library", lambda: ("clean-fid", types.ModuleType("x")))
    with pytest.raises(UserError, match=r"--fid_weights none\.pth: there is no such file"):
        fid.check_fid(Path("none.pth"))
