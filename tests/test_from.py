"""`--from`: a run that begins with networks that are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.cyclegan import main
from train.files import checkpoint
from train.run import display

TINY = (
    "--preset tiny --device cpu --load_size 28 --crop_size 24 --n_blocks 1 --max_dataset_size 3 --max_steps 2 --num_threads 0 "
    "--checkpoints_dir c"
)


@pytest.mark.slow
def test_a_run_begins_with_the_networks_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose size it takes; with a rate of 0 they stay what they are. Data, rate and crop are its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)
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
        for network, state in states[0]["model"]["networks"].items():
            assert all(
                np.array_equal(value, states[1]["model"]["networks"][network][key]) for key, value in state.items()
            )
    assert main([*TINY.split(), "--from", "nowhere", "--name", "x"]) == 2
    assert "nowhere: there is no such" in capsys.readouterr().err
    assert main([*TINY.split(), "--from", "old", "--continue_train", "--name", "old"]) == 2
    assert "--from begins a run" in capsys.readouterr().err
