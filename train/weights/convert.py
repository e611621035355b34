"""Weights from one format to another, also as the reference implementation (junyanz/pytorch-CycleGAN-and-pix2pix) has them.

Everything written is read back and compared.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from autograd import Tensor, no_grad
from nn.network import Network
from train.errors import UserError, shown
from train.files.atomic import write_bytes
from train.weights import formats as weights
from train.weights.formats import TORCH, Weights
from train.weights.generators import generators
from train.weights.names import FIELD_NAMES, LONE_NAMES
from train.weights.onnx_graph import fitting, onnx_model, sizes

SINGLE = (*TORCH, ".onnx")  # formats that hold one network
TARGETS = (".pth", ".safetensors", ".onnx", ".npz")


def convert(
    found: dict[str, Weights], target: Path, force: bool = False, size: tuple[int, int] | None = None
) -> list[Path]:
    """Write networks to a file, or to a folder as the reference implementation does; the files. UserError before the first.

    size  (height, width): the only one that an ONNX model takes; None leaves it open
    """
    if target.suffix and target.suffix not in (*weights.FORMATS, ".onnx") and not target.is_dir():
        raise UserError(
            f"{shown(target)}: unknown format {shown(target.suffix)}; wanted {' '.join(TARGETS)}, or a folder"
        )
    if size and target.suffix != ".onnx":
        raise UserError(f"--size {size[1]}x{size[0]}: {shown(target)} is no .onnx; other formats hold no size")
    if target.suffix in SINGLE:
        one = _single(found, target)
        files = {target: {one.name: one.network()}}
    elif not any(w.kind for w in found.values()):
        raise UserError(next(_why(w) for w in found.values()))
    else:
        networks = {name: w.network() for name, w in found.items() if w.kind}
        files = {target: networks}
        if target.suffix not in weights.FORMATS:
            called = {name: (FIELD_NAMES | LONE_NAMES).get(name, name) for name in networks}
            files = {target / f"latest_net_{called[name]}.pth": {name: network} for name, network in networks.items()}
    if not force and (there := [file for file in files if file.exists()]):
        raise UserError(f"{shown(there[0])} exists already; replace it with --force, or choose another target")
    for file, held in files.items():
        if file.suffix == ".onnx":
            (network,) = held.values()
            write_bytes(file, onnx_model(network, size).SerializeToString())
            proof = f"{check_onnx(file, network, size)}; sizes: {sizes(network, size)}"
        else:
            weights.save(file, held)
            proof = check_copy(file, held)
        print(f"{file}  {', '.join(held)}; {proof}")
    if target.suffix not in SINGLE:
        for lost in (w for w in found.values() if not w.kind):
            print(f"left out: {_why(lost)}")
    if target.suffix not in (*weights.FORMATS, ".onnx"):
        print(how_to_test(target, found))
    return list(files)


def _single(found: dict[str, Weights], target: Path) -> Weights:
    """The one network that goes into a file for one."""
    if len(found) == 1:
        return next(iter(found.values()))
    return next(iter(generators(found, next(iter(found.values())).source).values()))


def _why(w: Weights) -> str:
    """Why a network is none of ours."""
    try:
        return f"{w.name}: {w.architecture()}"
    except UserError as error:
        return str(error)


def check_copy(file: Path, held: dict[str, Network]) -> str:
    """Reads a file back; RuntimeError if a weight differs."""
    back = weights.load(file)
    for name, network in held.items():
        again = (back.get(name) or next(iter(back.values()))).network().state_dict()
        if any(not np.array_equal(value, again[key], equal_nan=True) for key, value in network.state_dict().items()):
            raise RuntimeError(f"{file}: {name} read back differs from what was written")
    return "read back: equal"


def check_onnx(file: Path, network: Network, size: tuple[int, int] | None = None) -> str:
    """Runs a file in onnxruntime beside our network at its size, or at two; RuntimeError if they disagree."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        return "not checked: pip install onnxruntime compares it"
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    side = 2 ** getattr(network, "num_downs", 5)
    said = []
    for n, height, width in [(1, *size)] if size else [(1, side, side), (2, side, 2 * side)]:
        x = np.tanh(
            np.random.default_rng(height + width).standard_normal((n, height, width, network.in_channels), np.float32)
        )
        (theirs,) = session.run(None, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
        ours = _padded_and_cut(network, x)
        worst = float(abs(ours - theirs.transpose(0, 2, 3, 1)).max())
        if not worst <= 1e-3 * max(1.0, float(abs(ours).max())):
            raise RuntimeError(f"{file}: onnxruntime differs by {worst:.2g} at {n}x{height}x{width}")
        said.append(f"{worst:.0e} at {n}x{height}x{width}")
    return f"onnxruntime differs by at most {', '.join(said)}"


def _padded_and_cut(network: Network, x: np.ndarray) -> np.ndarray:
    """The network on pictures of any size, as train.translate has it."""
    height, width = x.shape[1:3]
    more = [fit - side for fit, side in zip(fitting(network, height, width), (height, width), strict=True)]
    x = np.pad(x, ((0, 0), (0, more[0]), (0, more[1]), (0, 0)), mode="reflect")
    with no_grad():
        y = network(Tensor(x, device=network.device)).numpy()
    return y[:, :height, :width] if any(more) else y


def how_to_test(folder: Path, found: dict[str, Weights]) -> str:
    """What to type in the reference implementation to translate with these files."""
    name = next((name for name, w in found.items() if w.kind == "generator"), None)
    if name is None:
        return ""
    a = found[name].architecture()
    if a.affine or "zero_padded" in a.settings:
        return "the reference implementation of today has no generators with such norms or padding"
    if a.kind == "resnet" and (a.settings["n_blocks"] not in (6, 9) or a.settings["upsample"] != "deconv"):
        return "the reference implementation has ResNet generators of 6 or 9 blocks with transposed convolutions; this is another"
    if a.kind == "unet" and a.settings["num_downs"] not in (7, 8):
        return "the reference implementation has U-Nets of 7 and 8 levels; this is another"
    net_g = f"resnet_{a.settings['n_blocks']}blocks" if a.kind == "resnet" else f"unet_{2 ** a.settings['num_downs']}"
    suffix = f" --model_suffix _{FIELD_NAMES[name][-1]}" if name in FIELD_NAMES else ""
    for flag, key in (("input_nc", "in_channels"), ("output_nc", "out_channels")):
        suffix += f" --{flag} {a.settings[key]}" if a.settings[key] != 3 else ""
    return (
        f"in the reference implementation: python test.py --model test --no_dropout --netG {net_g} --ngf {a.settings['ngf']} "
        f"--checkpoints_dir {folder.parent} --name {folder.name}{suffix} --dataroot PICTURES"
    )
