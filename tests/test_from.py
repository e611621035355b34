"""`--from`: a run that begins with networks that are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.augmented_cyclegan import AugmentedCycleGAN
from train.convert import main as convert
from train.cyclegan import main
from train.files import checkpoint
from train.models.model import Model
from train.pix2pix import Pix2Pix
from train.run import display, finish
from train.run.command import run_command
from train.stochastic_cyclegan import StochasticCycleGAN

TINY = (
    "--preset tiny --device cpu --load_size 28 --crop_size 24 --n_blocks 1 --max_dataset_size 3 --max_steps 2 --num_threads 0 "
    "--checkpoints_dir c"
)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)
    monkeypatch.setattr(finish, "paired_test", lambda *args: [])  # no scores


def networks(run: str) -> dict[str, dict[str, np.ndarray]]:
    return checkpoint.load(f"c/{run}/latest.npz")["model"]["networks"]


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """But for what a norm over batches keeps of the pictures it saw."""
    return one.keys() == other.keys() and all(
        np.array_equal(value, other[key]) for key, value in one.items() if "running" not in key
    )


@pytest.mark.slow
def test_a_run_begins_with_the_networks_of_another(capsys: pytest.CaptureFixture[str]) -> None:
    """Whose size it takes; with a rate of 0 they stay what they are. Data, rate and crop are its own."""
    assert main([*TINY.split(), "--ngf", "2", "--ndf", "3", "--name", "old"]) == 0
    for source in ("old", "c/old", "c/old/latest.npz"):
        name = "new-" + source.replace("/", "-")
        assert (
            main([*TINY.split(), "--from", source, "--name", name, "--lr", "0", "--builtin", "streets", "--seed", "5"])
            == 0
        )
        assert f"from     {source}: gen_ab, gen_ba, disc_a, disc_b" in capsys.readouterr().out
        states = [checkpoint.load(f"c/{run}/latest.npz") for run in ("old", name)]
        assert (
            states[1]["config"]["ngf"] == 2
            and states[1]["config"]["builtin"] == "streets"
            and states[1]["run"]["step"] == 2
        )
        assert all(same(state, networks(name)[network]) for network, state in networks("old").items())
    assert main([*TINY.split(), "--from", "nowhere", "--name", "x"]) == 2
    assert "nowhere: there is no such" in capsys.readouterr().err
    assert main([*TINY.split(), "--from", "old", "--continue_train", "--name", "old"]) == 2
    assert "--from begins a run" in capsys.readouterr().err
    others = ["--ngf", "8", "--n_blocks", "1", "--upsample", "nearest", "--init_gain", "0.5"]
    assert main([*TINY.split(), "--from", "old", "--name", "y", *others]) == 2
    told = capsys.readouterr().err
    assert (
        "--ngf 8 was asked for, the weights have 2, --upsample nearest was asked for, the weights have deconv" in told
    )
    assert "Leave out --ngf, --upsample, for" in told and "n_blocks" not in told and not Path("c/y").exists()
    assert convert(["c/old", "--run", "z", "--ngf", "8", "--checkpoints_dir", "c"]) == 2
    assert "--run: --ngf 8 was asked for, the weights have 2. Leave out --ngf" in capsys.readouterr().err


SMALL = (
    "--device cpu --max_dataset_size 3 --max_steps 1 --num_threads 0 --checkpoints_dir c --preset tiny --watch_freq 0 "
)
OTHERS = {
    Pix2Pix: (SMALL + "--load_size 64 --crop_size 64", "--ngf 2 --ndf 3", "gen, disc"),
    StochasticCycleGAN: (SMALL, "--ngf 3 --n_blocks 1 --nlatent 2", "gen_ab, gen_ba, disc_a, disc_b"),
    AugmentedCycleGAN: (
        SMALL, "--ngf 3 --n_blocks 1 --nlatent 2 --two_sided", "gen_ab, gen_ba, enc_b, enc_a, disc_a, disc_b, disc_zb, disc_za",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("system", OTHERS)
def test_the_other_systems_do_so_too(system: type[Model], capsys: pytest.CaptureFixture[str]) -> None:
    small, size, names = OTHERS[system]
    assert run_command(system, [*small.split(), *size.split(), "--name", "old"]) == 0
    new = [*small.split(), "--from", "old", "--lr", "0", "--builtin", "scenes", "--seed", "5"]
    assert run_command(system, [*new, "--name", "new"]) == 0
    assert f"from     old: {names} and their kind and size; fresh: optimisers, schedule\n" in capsys.readouterr().out
    assert all(same(state, networks("new")[network]) for network, state in networks("old").items())
    assert run_command(system, [*new, "--name", "x", "--ngf", "8"]) == 2
    assert f"--ngf 8 was asked for, the weights have {size.split()[1]}" in capsys.readouterr().err
    assert main([*TINY.split(), "--from", "old", "--name", "x"]) == 2  # of another system
    assert f"a run of {system.program}, whose networks python -m train.cyclegan has not" in capsys.readouterr().err


@pytest.mark.slow
def test_files_of_pix2pix_are_taken_and_those_of_coded_generators_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Without their discriminator, too, which then is fresh."""
    small, size, _ = OTHERS[Pix2Pix]
    assert run_command(Pix2Pix, [*small.split(), *size.split(), "--name", "old"]) == 0
    assert convert(["c/old", "out"]) == 0
    new = [*small.split(), "--lr", "0", "--seed", "5"]
    assert run_command(Pix2Pix, [*new, "--from", "out", "--name", "both"]) == 0
    assert "from     out: gen, disc and their" in capsys.readouterr().out
    assert all(same(networks("both")[name], networks("old")[name]) for name in ("gen", "disc"))
    assert run_command(Pix2Pix, [*new, "--from", "out/latest_net_G.pth", "--name", "one"]) == 0
    assert (
        "from     out/latest_net_G.pth: gen and their kind and size; fresh: disc, optimisers" in capsys.readouterr().out
    )
    assert same(networks("one")["gen"], networks("old")["gen"]) and not same(
        networks("one")["disc"], networks("old")["disc"]
    )
    assert run_command(Pix2Pix, [*new, "--from", "out/latest_net_D.pth", "--name", "none"]) == 2
    assert "--from needs a generator; seen: disc" in capsys.readouterr().err
    assert run_command(StochasticCycleGAN, [*SMALL.split(), "--from", "out", "--name", "x"]) == 2
    assert "begins with a run of its own, for no other file has its networks" in capsys.readouterr().err
