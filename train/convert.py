"""Weights from one format to another: ours, PyTorch's (as the field's CycleGAN code has them), safetensors and ONNX.

    python -m train.convert SOURCE                       what it holds
    python -m train.convert checkpoints/NAME out/        the field's files: out/latest_net_G_A.pth and so on
    python -m train.convert checkpoints/NAME g.onnx      one generator (--network picks another)
    python -m train.convert latest_net_G.pth g.safetensors
    python -m train.convert FOLDER --run NAME            the field's files as a run, to be trained on

Which network a file holds follows from its keys and shapes. PyTorch is not needed. Everything written is read back and compared.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from nn.network import Network
from train.config import options
from train.config.settings import Config
from train.errors import UserError
from train.files import checkpoint
from train.files.atomic import write_atomically
from train.models.cyclegan import CycleGAN
from train.weights import formats as weights
from train.weights.architecture import Architecture
from train.weights.formats import FIELD_NAMES, LONE_NAMES, TORCH, Weights
from train.weights.onnx_graph import onnx_model

SINGLE = (*TORCH, ".onnx")  # formats that hold one network
TARGETS = (".pth", ".safetensors", ".onnx", ".npz")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m train.convert",
        description="Convert weights between formats; with SOURCE alone, say what it holds.",
        epilog="With --run, every option of python -m train.cyclegan may follow (say --crop_size 128): the run keeps it.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "source", type=Path, help="a run's folder, a folder of the field's .pth, or a file " + " ".join(weights.FORMATS)
    )
    add("target", type=Path, nargs="?", help=f"a file ({' '.join(TARGETS)}), or a folder for the field's files")
    add(
        "--network",
        help="the one network to write, such as gen_ba (default: all where the format holds several, else the generator A to B)",
    )
    add("--run", metavar="NAME", help="make a run of this name instead of a file, which --continue_train trains on")
    add(
        "--upsample",
        choices=("nearest", "bilinear"),
        default="",
        help="how a foreign generator resizes; the one thing weights do not tell (default: as the file says, else nearest)",
    )
    add("--force", action="store_true", help="replace files that exist (default: off)")
    try:
        given, rest = parser.parse_known_args(arguments)
        if rest and not given.run:
            raise UserError(
                f"there is no option or argument {rest[0]!r} (--help lists all; training options need --run)"
            )
        if given.run and given.target:
            raise UserError(f"give a target ({given.target}) or --run {given.run}, not both")
        found = weights.load(given.source, given.upsample)
        if given.network:
            one = chosen(found, given.network, given.source)
            found = {one.name: one}
        if given.run:
            make_run(found, given.run, rest)
        elif given.target:
            convert(found, given.target, given.force)
        else:
            for name, w in found.items():
                print(f"{name:13} {w.architecture()}, {sum(v.size for v in w.state.values()) / 1e6:.2f} M weights")
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def chosen(found: dict[str, Weights], name: str, source: Path) -> Weights:
    """The network of that name, ours or the field's (G_A); UserError lists what there is."""
    name = weights.OUR_NAMES.get(name, name)
    if name not in found:
        raise UserError(f"--network {name}: {source} holds {', '.join(found)}")
    return found[name]


def convert(found: dict[str, Weights], target: Path, force: bool = False) -> list[Path]:
    """Write networks to a file or, in the field's way, to a folder; returns the files. UserError before the first one."""
    if target.suffix and target.suffix not in (*weights.FORMATS, ".onnx") and not target.is_dir():
        raise UserError(f"{target}: unknown format {target.suffix}; wanted {' '.join(TARGETS)}, or a folder")
    networks = {name: w.network() for name, w in found.items()}
    if target.suffix in SINGLE:
        name = "gen_ab" if "gen_ab" in networks else next(iter(networks))
        files = {target: {name: networks[name]}}
    elif target.suffix in weights.FORMATS:
        files = {target: networks}
    else:
        called = {name: (FIELD_NAMES | LONE_NAMES).get(name, name) for name in networks}
        files = {target / f"latest_net_{called[name]}.pth": {name: network} for name, network in networks.items()}
    if not force and (there := [file for file in files if file.exists()]):
        raise UserError(f"{there[0]} exists already; replace it with --force, or choose another target")
    for file, held in files.items():
        if file.suffix == ".onnx":
            write_onnx(file, *held.values())
            proof = check_onnx(file, *held.values())
        else:
            weights.save(file, held)
            proof = check_copy(file, held)
        print(f"{file}  {', '.join(held)}; {proof}")
    if target.suffix not in (*weights.FORMATS, ".onnx"):
        print(how_to_test(target, found))
    return list(files)


def write_onnx(file: Path, network: Network) -> None:
    data = onnx_model(network).SerializeToString()
    write_atomically(file, lambda out: out.write(data), size=len(data))


def check_copy(file: Path, held: dict[str, Network]) -> str:
    """Reads a file back; RuntimeError if a weight differs."""
    back = weights.load(file)
    for name, network in held.items():
        again = (back.get(name) or next(iter(back.values()))).network().state_dict()
        if any(not np.array_equal(value, again[key], equal_nan=True) for key, value in network.state_dict().items()):
            raise RuntimeError(f"{file}: {name} read back differs from what was written")
    return "read back: equal"


def check_onnx(file: Path, network: Network) -> str:
    """Runs a file in onnxruntime beside our network at two sizes; RuntimeError if they disagree."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        return "not checked: pip install onnxruntime compares it"
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    step = 2 ** getattr(network, "num_downs", 5)
    said = []
    for n, height, width in ((1, step, step), (2, step, 2 * step)):
        x = np.tanh(
            np.random.default_rng(height + width).standard_normal((n, height, width, network.in_channels), np.float32)
        )
        (theirs,) = session.run(None, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
        with no_grad():
            ours = network(Tensor(x, device=network.device)).numpy()
        worst = float(abs(ours - theirs.transpose(0, 2, 3, 1)).max())
        if not worst <= 1e-3 * max(1.0, float(abs(ours).max())):
            raise RuntimeError(f"{file}: onnxruntime differs by {worst:.2g} at {n}x{height}x{width}")
        said.append(f"{worst:.0e} at {n}x{height}x{width}")
    return f"onnxruntime differs by at most {', '.join(said)}"


def how_to_test(folder: Path, found: dict[str, Weights]) -> str:
    """What to type in the field's code to translate with these files."""
    name = next((name for name, w in found.items() if w.architecture().is_generator), None)
    if name is None:
        return ""
    a = found[name].architecture()
    if a.kind == "resnet" and (a.settings["n_blocks"] not in (6, 9) or a.settings["upsample"] != "deconv"):
        return "the field's code has ResNet generators of 6 or 9 blocks with transposed convolutions; this is another"
    if a.kind == "unet" and a.settings["num_downs"] not in (7, 8):
        return "the field's code has U-Nets of 7 and 8 levels; this is another"
    net_g = f"resnet_{a.settings['n_blocks']}blocks" if a.kind == "resnet" else f"unet_{2 ** a.settings['num_downs']}"
    suffix = f" --model_suffix _{FIELD_NAMES[name][-1]}" if name in FIELD_NAMES else ""
    for flag, key in (("input_nc", "in_channels"), ("output_nc", "out_channels")):
        suffix += f" --{flag} {a.settings[key]}" if a.settings[key] != 3 else ""
    return (
        f"in the field's code: python test.py --model test --no_dropout --netG {net_g} --ngf {a.settings['ngf']} "
        f"--checkpoints_dir {folder.parent} --name {folder.name}{suffix} --dataroot PICTURES"
    )


def make_run(found: dict[str, Weights], name: str, arguments: Sequence[str]) -> Path:
    """A run folder that `--continue_train` trains on from step 0, with fresh optimisers; returns its checkpoint."""
    architectures = {key: w.architecture() for key, w in found.items()}
    given, _ = options.parse(["--preset", "paper", *arguments, "--name", name], "train.convert", None)
    settings = {**given, **inferred(architectures)}
    config = Config(**settings)
    config.check()
    path = Path(config.checkpoints_dir) / name / "latest.npz"
    if path.exists():
        raise UserError(f"{path.parent} already holds a run; choose another --run")
    model = CycleGAN(config.replace(device="cpu"))
    for key, network in model.networks().items():
        if key in found:
            network.load_state_dict(found[key].network().state_dict())
    fresh = [key for key in model.networks() if key not in found]
    checkpoint.save(
        path, {"program": "train.cyclegan", "config": config.as_dict(), "run": {}, "model": model.state_dict()}
    )
    print(f"{path}  {', '.join(found)}" + (f"; fresh, because not given: {', '.join(fresh)}" if fresh else ""))
    print(f"train on with: python -m train.cyclegan --continue_train --name {name} --dataroot DIR")
    return path


def inferred(found: dict[str, Architecture]) -> dict[str, Any]:
    """The settings of a run that follow from its networks; UserError where a run cannot have them."""
    settings: dict[str, Any] = {}
    if not found.keys() & {"gen_ab", "gen_ba"}:
        raise UserError(
            f"--run needs a generator whose direction is known, from a file called …_net_G_A.pth or …_net_G_B.pth; "
            f"seen: {', '.join(found)}"
        )

    def agree(name: str, key: str, value: Any) -> None:
        if settings.setdefault(key, value) != value:
            raise UserError(f"--run: the networks disagree: {name} wants {key} {value}, another {settings[key]}")

    for name, a in found.items():
        if a.affine:
            raise UserError(
                f"--run: {name} has norms that scale and shift, which a run does not train; translate with it as it is"
            )
        s = a.settings
        domain_in = "input_nc" if name in ("gen_ab", "disc_a") else "output_nc"
        agree(name, domain_in, s["in_channels"])
        if a.is_generator:
            agree(name, "output_nc" if domain_in == "input_nc" else "input_nc", s["out_channels"])
            agree(name, "ngf", s["ngf"])
            if a.kind == "resnet":
                agree(name, "netG", "resnet")
                agree(name, "n_blocks", s["n_blocks"])
                agree(name, "upsample", s["upsample"])
            elif s["num_downs"] in (7, 8):
                agree(name, "netG", f"unet_{2 ** s['num_downs']}")
            else:
                raise UserError(
                    f"--run: {name} is a U-Net of {s['num_downs']} levels; a run has 7 (unet_128) or 8 (unet_256)"
                )
        else:
            agree(name, "ndf", s["ndf"])
            agree(name, "netD", "pixel" if a.kind == "pixel" else "basic" if s["n_layers"] == 3 else "n_layers")
            if settings["netD"] == "n_layers":
                agree(name, "n_layers_D", s["n_layers"])
    return settings


if __name__ == "__main__":
    sys.exit(main())
