"""Files and folders of several networks: each is found, none is lost, and names tell which leads from A to B, or it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from nn import PatchDiscriminator, ResnetGenerator
from tests.torch_field import discriminator, generator
from train.convert import main
from train.errors import UserError
from train.inference.translator import Translator
from train.weights import formats, names
from train.weights.generators import generators

ONE, TWO, JUDGE = generator(ngf=2, n_blocks=1), generator(ngf=3, n_blocks=1), discriminator(ndf=2)


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ("G_A G_B D_A D_B", "gen_ab gen_ba disc_b disc_a"),
        ("latest_net_G_A latest_net_D_A", "gen_ab disc_b"),
        ("netG_A2B netG_B2A netD_A netD_B", "gen_ab gen_ba disc_a disc_b"),
        ("G_AB_199 G_BA_199 D_A_199", "gen_ab gen_ba disc_a"),
        ("gen_AB gen_BA disc_A disc_B", "gen_ab gen_ba disc_a disc_b"),
        ("genA2B genB2A disA", "gen_ab gen_ba disc_a"),
        ("G_AtoB G_BtoA", "gen_ab gen_ba"),
        ("state_dict.g_a_to_b state_dict.g_b_to_a", "gen_ab gen_ba"),
        ("horse2zebra_AB zebra", "gen_ab zebra"),
        ("gen_ab gen_ba disc_a disc_b", "gen_ab gen_ba disc_a disc_b"),
        ("latest_net_D_A", "disc_b"),
        ("netD_A", "discriminator"),  # whose domain that is, only generators beside it tell
        ("anything", "generator"),
        ("netG netD", "generator discriminator"),
        ("gen disc", "gen disc"),
        ("generator netG", "generator netG"),
        ("photo2monet monet2photo", "photo2monet monet2photo"),
        ("gen_A gen_B", "gen_A gen_B"),  # from A, or to A? It is asked
        ("a.G_A b.G_A G_B", "a.G_A b.G_A gen_ba"),
        ("tabby Lab slab", "tabby Lab slab"),
    ],
)
def test_names_tell_a_direction_or_are_kept(labels, wanted):
    kinds = {
        label: "discriminator" if "D_" in label or "dis" in label or label == "netD" else "generator"
        for label in labels.split()
    }
    assert " ".join(names.ours(kinds).values()) == wanted


def flat(**networks: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        f"{place}.{key}": value for place, network in networks.items() for key, value in network.state_dict().items()
    }


def is_same(found: formats.Weights, torchs: torch.nn.Module) -> bool:
    state = torchs.state_dict()
    return found.state.keys() == state.keys() and all(
        np.array_equal(found.state[k], v.numpy()) for k, v in state.items()
    )


OPTIMISER = {"state": {0: {"exp_avg": torch.zeros(2, 3, 7, 7)}}, "param_groups": [{"lr": 2e-4}]}
FILES: dict[str, tuple[str, Any, dict[str, torch.nn.Module]]] = {
    "flat": ("x.pth", flat(G_A=ONE, G_B=TWO, D_A=JUDGE), {"gen_ab": ONE, "gen_ba": TWO, "disc_b": JUDGE}),
    "Lightning": (
        "x.ckpt",
        {"epoch": 3, "state_dict": flat(gen_AB=ONE, gen_BA=TWO) | {"loss.real": torch.ones(())}, "optimizer_states": [OPTIMISER]},
        {"gen_ab": ONE, "gen_ba": TWO},
    ),
    "one attribute deeper": ("x.ckpt", {"state_dict": {f"model.{k}": v for k, v in flat(G_A=ONE, G_B=TWO).items()}}, {"gen_ab": ONE, "gen_ba": TWO}),
    "wrapped": ("x.pth", {f"module.{k}": v for k, v in flat(netG=ONE, netD=JUDGE).items()}, {"generator": ONE, "discriminator": JUDGE}),
    "wrapped inside": (
        "x.pth",
        {k.replace(".", ".module.", 1): v for k, v in flat(photo=ONE, monet=TWO).items()},
        {"photo": ONE, "monet": TWO},
    ),
    "of 2018": ("x.pth.tar", {"G": ONE.state_dict(), "optimizer": OPTIMISER}, {"generator": ONE}),
    "a list": ("x.pt", [ONE.state_dict(), TWO.state_dict()], {"0": ONE, "1": TWO}),
    "no names": ("x.pt", {"photo": ONE.state_dict(), "monet": TWO.state_dict()}, {"photo": ONE, "monet": TWO}),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_no_network_of_a_file_is_lost(tmp_path, kind):
    name, content, wanted = FILES[kind]
    torch.save(content, tmp_path / name)
    found = formats.load(tmp_path / name)
    assert found.keys() == wanted.keys() and all(is_same(found[key], network) for key, network in wanted.items())


def test_a_network_of_another_make_is_not_taken_apart(tmp_path):
    """PyTorch-GAN's first U-Net has a Sequential called model in every level."""
    torch.save({f"down{i}.model.0.weight": torch.zeros(4, 4, 3, 3) for i in range(6)}, tmp_path / "u.pth")
    (found,) = formats.load(tmp_path / "u.pth").values()
    with pytest.raises(UserError, match=r"first convolution \(down0\.model\.0\) has the kernel 3x3"):
        found.network()


def test_our_own_safetensors_saved_again_without_what_it_says(tmp_path):
    networks = {
        "gen_ab": ResnetGenerator(ngf=2, n_blocks=1),
        "gen_ba": ResnetGenerator(ngf=3, n_blocks=1),
        "disc_a": PatchDiscriminator(ndf=2),
    }
    formats.save(tmp_path / "ours.safetensors", networks)
    save_file(load_file(tmp_path / "ours.safetensors"), tmp_path / "again.safetensors")
    found = formats.load(tmp_path / "again.safetensors")
    assert {name: w.architecture().settings.get("ngf") for name, w in found.items()} == {
        "gen_ab": 2,
        "gen_ba": 3,
        "disc_a": None,
    }


def saved(folder: Path, **networks: torch.nn.Module) -> Path:
    folder.mkdir(exist_ok=True)
    for name, network in networks.items():
        torch.save(network.state_dict(), folder / f"{name}.pth")
    return folder


def test_a_folder_of_others_is_read_at_its_newest_epoch(tmp_path):
    """As PyTorch-GAN saves a run. There D_A judges domain A."""
    folder = saved(tmp_path, G_AB_2=TWO, G_AB_10=ONE, G_BA_2=ONE, G_BA_10=TWO, D_A_10=JUDGE)
    found = formats.load(folder)
    assert (
        found.keys() == {"gen_ab", "gen_ba", "disc_a"}
        and is_same(found["gen_ab"], ONE)
        and is_same(found["gen_ba"], TWO)
    )


def test_of_the_reference_implementations_folder_the_latest(tmp_path):
    saved(tmp_path, **{"5_net_G_A": TWO, "latest_net_G_A": ONE, "latest_net_D_A": JUDGE})
    found = formats.load(tmp_path)
    assert found.keys() == {"gen_ab", "disc_b"} and is_same(found["gen_ab"], ONE)


def test_a_hubs_folder_holds_one_network_twice(tmp_path):
    torch.save(ONE.state_dict(), tmp_path / "pytorch_model.bin")
    save_file({key: value.numpy() for key, value in ONE.state_dict().items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    assert list(formats.load(tmp_path)) == ["generator"]


def test_two_generators_without_a_direction_are_asked_for(tmp_path, capsys):
    folder = saved(tmp_path / "f", photo2monet=ONE, monet2photo=TWO)
    with pytest.raises(UserError, match=r"2 generators, monet2photo, photo2monet, .* name one with --network"):
        Translator(folder)
    assert Translator(folder, network="monet2photo").generator.state_dict()["model.1.weight"].shape[0] == 3
    assert Translator(folder, "BtoA", network="photo2monet").direction == "BtoA"
    with pytest.raises(UserError, match="holds monet2photo, photo2monet"):
        Translator(folder, network="G_A")
    assert main([str(folder)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["monet2photo", "photo2monet"]
    both = saved(tmp_path / "g", netG_B2A=TWO, netG_A2B=ONE)
    assert Translator(both).directions == ("AtoB", "BtoA") and Translator(both, network="gen_ba").direction == "BtoA"


def test_a_discriminator_that_cannot_be_read_blocks_no_translation(tmp_path, capsys):
    folder = saved(tmp_path, latest_net_G_A=ONE, latest_net_D_A=torch.nn.Conv2d(3, 4, 4), latest_net_D_B=JUDGE)
    (folder / "latest_net_D_B.pth").write_bytes(b"not weights")
    translator = Translator(folder)
    assert (
        translator.direction == "AtoB"
        and translator.disc is None
        and translator(np.zeros((8, 8, 3), "f4")).shape == (8, 8, 3)
    )
    assert list(generators(formats.load(folder), folder)) == ["AtoB"]
    assert main([str(folder)]) == 0
    said = capsys.readouterr().out
    assert (
        "gen_ab        resnet" in said and "disc_b        " in said and "latest_net_D_B.pth: not a PyTorch file" in said
    )
    (folder / "latest_net_G_A.pth").write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"latest_net_G_A\.pth: not a PyTorch file"):
        Translator(folder)
