"""CONTRIBUTING's recipe to the letter: a system of one's own is trained, resumed, evaluated, probed and translated."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from train.data.images import load_image
from train.data.saving import save_image
from train.errors import UserError
from train.evaluate import main as evaluate
from train.files import checkpoint
from train.models import registry
from train.probe import main as probe
from train.translate import main as translate

ROOT = Path(__file__).parents[1]
SMALL = (
    "--preset tiny --device cpu --load_size 24 --crop_size 24 --ngf 2 --n_blocks 1 --num_threads 0 --max_dataset_size 3"
)
FLAGS = {"my_system": SMALL, "train.evaluate": "--no_distance --num_test 3", "train.probe": "--num_test 2"}
"""What is added to the page's commands, so that they take seconds."""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In a folder that holds my_system.py and a photo: the page's commands."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    system, commands = re.findall(
        r"^```(?:python)?\n(.*?)^```$", page.partition("## Adding a system")[2], re.MULTILINE | re.DOTALL
    )[:2]
    (tmp_path / "my_system.py").write_text(system)
    (tmp_path / "photos").mkdir()
    save_image(tmp_path / "photos" / "p.png", np.random.default_rng(0).uniform(-1, 1, (21, 30, 3)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "SYSTEMS", dict(registry.SYSTEMS))
    monkeypatch.delitem(sys.modules, "my_system", raising=False)
    return commands.strip().splitlines()


def typed(command: str) -> str:
    """What a command prints, typed here."""
    python, dash_m, module, *words = shlex.split(command)
    assert (python, dash_m) == ("python", "-m")
    words += FLAGS.get(module, "").split() if "--continue_train" not in words else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    line = [sys.executable, "-m", module, *words]
    done = subprocess.run(line, env=environment, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout


def test_the_page_as_it_stands(recipe: list[str]) -> None:
    train, resume, *others = recipe
    out = typed(train)
    assert "A → B" in out and "scores   python -m train.evaluate --system my_system --name first" in out
    saved = checkpoint.load("checkpoints/first/latest.npz")
    assert saved["program"] == "my_system" and saved["run"]["step"] == 4 and "ema" not in saved["config"]
    assert "A picture's mean difference from it." in Path("checkpoints/first/report.html").read_text().replace(
        "&#x27;", "'"
    )
    typed(resume)
    assert checkpoint.load("checkpoints/first/latest.npz")["run"]["step"] == 6
    for command in others:
        typed(command)
    assert {path.name for path in Path("checkpoints/first").iterdir()} >= {
        "evaluation_latest",
        "probe.json",
        "probe.png",
    }
    made = load_image(Path("translated/p.png"))
    assert made.shape == (21, 30, 3)

    assert (
        translate(["--weights", "checkpoints/first", "--input", "photos", "--output", "plain", "--device", "cpu"]) == 0
    )
    assert np.array_equal(
        load_image(Path("plain/p.png")), made
    )  # its generators are of a kind that is known by its weights

    # The same picture through the model itself, where the class does not say that its generators are all it takes.
    text = Path("my_system.py").read_text().replace("    plain_generators = True\n", "")
    Path("my_system.py").write_text(text.replace("host_picture(generator(", "-host_picture(generator("))
    typed(others[-1].replace("translated", "negated"))
    np.testing.assert_allclose(load_image(Path("negated/p.png")), -made, atol=1.01 / 127.5)


def test_a_checkpoint_never_chooses_which_code_runs(recipe: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A stranger's checkpoint names a module that lies here; it runs only when the user names it."""
    Path("my_system.py").write_text("open('ran', 'w').close()\n" + Path("my_system.py").read_text())
    networks = {"gen_ab": {"model.1.weight": np.zeros((1, 1, 1, 1), np.float32)}}
    state = {"program": "my_system", "config": {"name": "x"}, "run": {"step": 1}, "model": {"networks": networks}}
    checkpoint.save("checkpoints/x/latest.npz", state)
    for main, words in (
        (evaluate, "--name x"),
        (probe, "--name x"),
        (translate, "--weights checkpoints/x --input photos --output out"),
    ):
        assert main(words.split()) == 2
        err = capsys.readouterr().err
        assert "--system MODULE" in err and ("my_system" in err or main is translate), err
    assert not Path("ran").exists()
    assert probe(["--name", "x", "--system", "my_system"]) == 2 and Path("ran").exists()
    assert "not one of a run that this program can load" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("nowhere", "", "there is no such module here"),
        ("my_system.py", "", "there is no such module here"),
        ("./my_system", "", "there is no such module here"),
        ("a.b", "", "there is no such module here"),
        ("inner", "import absent", "absent"),  # its own trouble, with a traceback
        ("empty", "from train.models.cyclegan import CycleGAN", "0 of its classes say program = 'empty'"),
        ("two", "from my_system import *\nclass A(MySystem): program = 'two'\nclass B(A): program = 'two'", "2 of its classes"),
        ("heir", "from my_system import *\nclass A(MySystem): pass", "0 of its classes say program = 'heir'"),
    ],
)  # fmt: skip
def test_what_is_no_system_is_refused(recipe: list[str], module: str, source: str, said: str) -> None:
    if source:
        Path(f"{module}.py").write_text(source)
    with pytest.raises(ModuleNotFoundError if module == "inner" else UserError, match=re.escape(said)):
        registry.include(module)
    assert not registry.SYSTEMS.keys() & {module}
