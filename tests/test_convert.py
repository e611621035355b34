"""`python -m train.convert`: there and back through every format, beside torch and onnxruntime; and a newcomer's mistakes."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from autograd import Tensor, no_grad
from nn import PatchDiscriminator, ResnetGenerator, UnetGenerator
from nn.affine import make_affine
from nn.network import Network
from nn.patch_discriminator import StridedDiscriminator
from nn.resnet_generator import PARTS
from tests import torch_field
from tests.torch_reference import TorchPatchDiscriminator, TorchResnetGenerator, load_numpy_state, to_numpy, to_torch
from train.config.settings import Config
from train.convert import main
from train.cyclegan import CycleGAN
from train.cyclegan import main as train
from train.errors import UserError
from train.files import checkpoint
from train.inference.translator import run as network_run
from train.inference.translator import whole
from train.weights import convert
from train.weights import formats as weights
from train.weights.onnx_graph import onnx_model

RNG = np.random.default_rng(0)
SMALL = dict(ngf=4, ndf=4, n_blocks=6, n_layers_D=2, netD="n_layers", input_nc=1, lambda_identity=0.0, device="cpu")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CycleGAN:
    """A run of gray to colour in checkpoints/r, as the trainer saves it."""
    monkeypatch.chdir(tmp_path)
    config = Config(**SMALL, name="r")
    model = CycleGAN(config)
    checkpoint.save("checkpoints/r/latest.npz", {"config": {"upsample": "deconv"}, "model": model.state_dict()})
    return model


def equal(a: Network, b: Network) -> bool:
    one, two = a.state_dict(), b.state_dict()
    return list(one) == list(two) and all(np.array_equal(one[key], two[key]) for key in one)


def test_the_reference_implementation_loads_what_is_written(run, capsys):
    assert main(["checkpoints/r", "out/r"]) == 0
    said = capsys.readouterr().out
    assert "--netG resnet_6blocks --ngf 4 --checkpoints_dir out --name r --model_suffix _A --input_nc 1 " in said
    pairs = {
        "G_A": (run.gen_ab, TorchResnetGenerator(1, 3, 4, 6)), "G_B": (run.gen_ba, TorchResnetGenerator(3, 1, 4, 6)),
        "D_A": (run.disc_b, TorchPatchDiscriminator(3, 4, 2)), "D_B": (run.disc_a, TorchPatchDiscriminator(1, 4, 2)),
    }  # fmt: skip
    for name, (ours, theirs) in pairs.items():
        state = torch.load(f"out/r/latest_net_{name}.pth", weights_only=True, map_location="cpu")
        assert list(state) == list(theirs.state_dict())
        theirs.load_state_dict(state, strict=True)
        x = RNG.standard_normal((1, 32, 40, ours.in_channels)).astype(np.float32)
        with no_grad(), torch.no_grad():
            np.testing.assert_allclose(ours(Tensor(x)).numpy(), to_numpy(theirs(to_torch(x))), atol=2e-6)


@pytest.mark.parametrize("target", ["out/field", "all.npz", "all.safetensors"])
def test_a_run_comes_back_from_every_format(run, target):
    assert main(["checkpoints/r", target]) == 0
    found = weights.load(target)
    assert found.keys() == run.networks().keys()
    assert all(equal(w.network(), run.networks()[name]) for name, w in found.items())


def test_one_network_through_every_format_in_turn(run):
    assert main(["checkpoints/r", "a.pth", "--network", "G_B"]) == 0
    for source, target in (("a.pth", "b.safetensors"), ("b.safetensors", "c.npz"), ("c.npz", "d.pth")):
        assert main([source, target]) == 0
    assert equal(weights.load("d.pth")["gen_ba"].network(), run.gen_ba)


def test_how_a_generator_resizes_travels_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = ResnetGenerator(ngf=2, n_blocks=1, upsample="bilinear")
    for name in ("a.pth", "a.npz", "a.safetensors"):
        weights.save(Path(name), {"gen_ab": network})
        assert weights.load(name)["gen_ab"].architecture().settings["upsample"] == "bilinear"
    torch.save(torch.load("a.pth"), "foreign.pth")
    foreign = [weights.load("foreign.pth", asked)["generator"].architecture() for asked in ("", "bilinear")]
    assert [a.settings["upsample"] for a in foreign] == ["nearest", "bilinear"]
    assert [bool(a.notes) for a in foreign] == [True, False]


def test_pix2pixs_two_networks_get_a_file_each(tmp_path):
    networks = {"gen": UnetGenerator(num_downs=7, ngf=1), "disc": PatchDiscriminator(6, ndf=2)}
    weights.save(tmp_path / "p.npz", networks)
    assert main([str(tmp_path / "p.npz"), str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["latest_net_D.pth", "latest_net_G.pth"]
    assert equal(weights.load(tmp_path / "out" / "latest_net_G.pth")["generator"].network(), networks["gen"])


def test_nested_files_are_searched(tmp_path):
    a, b = TorchResnetGenerator(3, 3, 2, 1), TorchPatchDiscriminator(3, 2, 1)
    torch.save({"epoch": 3, "state_dict": a.state_dict()}, tmp_path / "one.pth")
    torch.save({"netG": {"model": a.state_dict()}, "netD": b.state_dict(), "losses": [0.5]}, tmp_path / "two.pt")
    assert list(weights.load(tmp_path / "one.pth")) == ["generator"]
    found = weights.load(tmp_path / "two.pt")
    assert {name: w.architecture().kind for name, w in found.items()} == {
        "generator": "resnet",
        "discriminator": "patch",
    }


NETWORKS = {
    "resnet": (lambda: ResnetGenerator(1, 2, ngf=4, n_blocks=2), [(1, 32, 32), (2, 40, 64), (1, 30, 21)]),
    "nearest": (lambda: ResnetGenerator(ngf=4, n_blocks=1, upsample="nearest"), [(1, 32, 40)]),
    "bilinear": (lambda: ResnetGenerator(ngf=4, n_blocks=1, upsample="bilinear"), [(1, 32, 40)]),
    "affine": (lambda: make_affine(ResnetGenerator(ngf=4, n_blocks=1)), [(1, 32, 40)]),
    "zeros": (lambda: ResnetGenerator(ngf=4, n_blocks=1, upsample="nearest", zero_padded=PARTS), [(1, 32, 40)]),
    "unet": (lambda: UnetGenerator(num_downs=5, ngf=4), [(1, 32, 64), (2, 64, 64)]),
    "affine unet": (lambda: make_affine(UnetGenerator(num_downs=5, ngf=2)), [(1, 32, 64)]),
    "patch": (lambda: PatchDiscriminator(ndf=4), [(1, 64, 80)]),
    "strided": (lambda: StridedDiscriminator(ndf=4), [(1, 64, 80)]),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_onnxruntime_computes_the_same_at_any_size(kind):
    make, sizes = NETWORKS[kind]
    network = make()
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    network.load_state_dict({key: RNG.standard_normal(s) * 0.3 + (len(s) == 1) for key, s in shapes.items()})
    model = onnx_model(network)
    importlib.import_module("onnx").checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for n, height, width in sizes:
        x = RNG.standard_normal((n, height, width, network.in_channels)).astype(np.float32)
        (y,) = session.run(None, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
        with no_grad():
            np.testing.assert_allclose(y.transpose(0, 2, 3, 1), network(Tensor(x)).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: ResnetGenerator(1, 2, ngf=4, n_blocks=2), (30, 21)),
        (lambda: ResnetGenerator(ngf=4, n_blocks=1), (32, 40)),
        (lambda: UnetGenerator(num_downs=5, ngf=2), (40, 70)),
        (lambda: PatchDiscriminator(ndf=4), (50, 70)),
    ],
)
def test_onnx_of_one_size_makes_what_translate_makes(tmp_path, make, size):
    network = make()
    network.load_state_dict({k: RNG.standard_normal(v.shape) * 0.3 for k, v in network.state_dict().items()})
    name = "generator" if not isinstance(network, PatchDiscriminator) else "discriminator"
    weights.save(tmp_path / "g.npz", {name: network})
    assert main([str(tmp_path / "g.npz"), str(tmp_path / "g.onnx"), "--size", f"{size[1]}x{size[0]}"]) == 0
    model = importlib.import_module("onnx").load(tmp_path / "g.onnx")
    importlib.import_module("onnx").checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["range"].startswith("[-1, 1]") and about["sizes"] == f"{size[1]}x{size[0]} only"
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx")
    assert session.get_inputs()[0].shape == [1, network.in_channels, *size]
    x = RNG.standard_normal((*size, network.in_channels)).astype(np.float32)
    (y,) = session.run(None, {"x": x.transpose(2, 0, 1)[None]})
    assert list(y.shape) == session.get_outputs()[0].shape
    ours = network_run(network, x) if name == "generator" else whole(network, x)
    np.testing.assert_allclose(y[0].transpose(1, 2, 0), ours, atol=1e-4)


def test_where_sizes_are_open_it_is_said_which_fit(run, capsys):
    assert main(["checkpoints/r", "g.onnx"]) == 0
    assert "multiples of 4; others come out larger, and differ at every pixel: mirror" in capsys.readouterr().out


def test_onnx_from_the_command_is_checked(run, capsys, monkeypatch):
    assert main(["checkpoints/r", "g.onnx"]) == 0
    assert "onnxruntime differs by at most" in capsys.readouterr().out
    monkeypatch.setattr(
        convert, "onnx_model", lambda network, size: onnx_model(ResnetGenerator(1, 3, ngf=4, n_blocks=6, seed=5))
    )
    with pytest.raises(RuntimeError, match=r"g\.onnx: onnxruntime differs"):
        main(["checkpoints/r", "g.onnx", "--force"])


def test_the_reference_implementations_files_become_a_run_that_trains_on(run, capsys):
    main(["checkpoints/r", "field"])
    options = "--crop_size 24 --load_size 24 --lambda_identity 0 --pool_size 3"
    assert main(["field", "--run", "mine", *options.split()]) == 0
    said = capsys.readouterr().out
    assert (
        "fresh" not in said and "--save_latest_freq and --print_freq count steps" in said and "coming_from.md" in said
    )
    state = checkpoint.load("checkpoints/mine/latest.npz")
    assert {key: state["config"][key] for key in ("netD", "n_layers_D", "input_nc", "output_nc", "n_blocks", "crop_size")} == {
        "netD": "n_layers", "n_layers_D": 2, "input_nc": 1, "output_nc": 3, "n_blocks": 6, "crop_size": 24,
    }  # fmt: skip
    assert all(equal(w.network(), run.networks()[name]) for name, w in weights.load("checkpoints/mine").items())
    status = train(["--continue_train", "--name", "mine", "--max_steps", "1", "--device", "cpu", "--num_threads", "0"])
    assert status == 0 and checkpoint.load("checkpoints/mine/latest.npz")["run"]["step"] == 1


def test_a_run_of_a_run_keeps_its_settings(run, capsys):
    own = dict(gan_mode="hinge", lambda_A=7.0, ema=0.9, load_size=320, crop_size=300, dataroot="my data")
    config = run.config.replace(**own).as_dict()
    checkpoint.save("checkpoints/own/epoch_003.npz", {"config": config, "model": run.state_dict()})
    assert main(["checkpoints/own/epoch_003.npz", "--run", "b", "--crop_size", "312", "--lambda_B", "3"]) == 0
    got = checkpoint.load("checkpoints/b/latest.npz")["config"]
    assert got == config | {"name": "b", "crop_size": 312, "lambda_B": 3.0}
    said = capsys.readouterr().out
    assert "--gan_mode hinge" in said and "--lambda_A 7.0" in said and "--crop_size" not in said
    assert (
        main(["checkpoints/own/epoch_003.npz", "--run", "c", "--preset", "small"]) == 0
    )  # a preset that is typed wins
    got = checkpoint.load("checkpoints/c/latest.npz")["config"]
    assert (got["crop_size"], got["load_size"], got["gan_mode"]) == (128, 143, "hinge")
    assert main(["r", "--run", "a/b"]) == 2 and "must name one folder" in capsys.readouterr().err


def test_missing_networks_start_afresh_and_it_is_said(run, capsys):
    main(["checkpoints/r", "latest_net_G_A.pth"])
    assert main(["latest_net_G_A.pth", "--run", "half", "--lambda_identity", "0"]) == 0
    assert "fresh, because not given: gen_ba, disc_a, disc_b" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nope.pth a.pth", "no such file"),
        ("checkpoints a.pth", "holds neither"),
        ("checkpoints/r a.jpg", "unknown format .jpg"),
        ("notes.txt a.pth", "unknown kind of weights"),
        ("checkpoints/r a.pth --network G_C", "holds gen_ab, gen_ba, disc_a, disc_b"),
        ("checkpoints/r there.pth", "exists already"),
        ("checkpoints/r a.pth --frce", "no option --frce; did you mean --force"),
        ("checkpoints/r a.pth --run b", "not both"),
        ("checkpoints/r --run r --lambda_identity 0", "already holds a run"),
        ("checkpoints/r --run b", "add --lambda_identity 0"),
        ("checkpoints/r --run b --crop_siz 3", "did you mean --crop_size"),
        ("there.pth --run b", "not PyTorch's|not a PyTorch file"),
        ("mixed --run b", "disagree: gen_ba wants"),
        ("d/latest_net_D_A.pth --run b", "needs a generator"),
        ("checkpoints/r a.onnx --size 5x3", "mirroring does not make 8x8 of it"),
        ("checkpoints/r a.pth --size 64", "is no .onnx"),
        ("checkpoints/r --size 64", "name one as the target"),
        ("foreign.pth --run b", "needs a generator whose direction"),
        ("zeros --run b", "gen_ab has zero padding where runs mirror.*translate with it as it is"),
        ("strided --run b", "disc_a has strides.*leave its file out"),
        ("two a.onnx", "2 generators, one, two, .* name one with --network"),
    ],
)
def test_mistakes_are_told_and_write_nothing(run, line, said, capsys):
    Path("there.pth").write_text("not weights")
    Path("notes.txt").write_text("x")
    for folder in ("two", "zeros", "strided"):
        Path(folder).mkdir()
    torch.save(torch_field.generator(n_blocks=1).state_dict(), "foreign.pth")
    torch.save(torch_field.generator(n_blocks=1, up="zeros", name="block").state_dict(), "zeros/G_AB_3.pth")
    torch.save(torch_field.generator(n_blocks=1).state_dict(), "strided/G_AB_3.pth")
    torch.save(torch_field.discriminator("strided").state_dict(), "strided/D_A_3.pth")
    for name in ("one", "two"):
        torch.save(TorchResnetGenerator(3, 3, 2, 1).state_dict(), f"two/{name}.pth")
    weights.save(Path("mixed/latest_net_G_A.pth"), {"gen_ab": ResnetGenerator(ngf=2, n_blocks=1)})
    weights.save(Path("mixed/latest_net_G_B.pth"), {"gen_ba": ResnetGenerator(ngf=4, n_blocks=1)})
    weights.save(Path("d/latest_net_D_A.pth"), {"disc_b": PatchDiscriminator(ndf=2)})
    before = sorted(Path.cwd().rglob("*"))
    assert main(line.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and pytest.RaisesExc(UserError, match=said).matches(UserError(err)), err
    assert sorted(Path.cwd().rglob("*")) == before


def test_weights_that_differ_once_read_back_are_noticed(run, monkeypatch):
    monkeypatch.setattr(weights.torch_files, "write", lambda path, state, about: path.write_bytes(DAMAGED))
    other = ResnetGenerator(1, 3, ngf=4, n_blocks=6, seed=9)
    torchs = TorchResnetGenerator(1, 3, 4, 6)
    load_numpy_state(torchs, other.state_dict())
    torch.save(torchs.state_dict(), "other.pth")
    global DAMAGED
    DAMAGED = Path("other.pth").read_bytes()
    with pytest.raises(RuntimeError, match="read back differs"):
        main(["checkpoints/r", "g.pth"])
