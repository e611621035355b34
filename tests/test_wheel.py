"""The built wheel beside other people's packages, in an environment of its own: `pytest -m wheel` (minutes; wants an index).

HIPS autograd and Hugging Face's kernels own names that our folders have too; torch and transformers use them. Each of them,
and Palindrome, passes a smoke test of its own before and after, from any folder, and after any of the others is gone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from palindrome_gan.rename import renamed

pytestmark = pytest.mark.wheel
ROOT = Path(__file__).parents[1]
NAME = "palindrome-gan"

SMOKE = {
    "autograd": """
        import autograd, autograd.numpy as np
        assert abs(autograd.grad(np.tanh)(1.0) - (1 - np.tanh(1.0) ** 2)) < 1e-12
    """,
    "kernels": """
        import torch
        from kernels import Mode, kernelize, use_kernel_forward_from_hub
        @use_kernel_forward_from_hub("Twice")
        class Twice(torch.nn.Module):
            def forward(self, x):
                return 2 * x
        model = kernelize(torch.nn.Sequential(Twice()), mode=Mode.INFERENCE, device="cpu", use_fallback=True)
        assert model(torch.ones(3)).tolist() == [2, 2, 2]
    """,
    "torch": """
        import torch
        x = torch.ones(3, requires_grad=True)
        (x * x).sum().backward()
        assert x.grad.tolist() == [2, 2, 2]
    """,
    "transformers": """
        import torch
        from transformers import BertConfig, BertModel
        sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=9)
        assert BertModel(BertConfig(**sizes))(torch.tensor([[1, 2]])).last_hidden_state.shape == (1, 2, 8)
    """,
    NAME: """
        import sys
        import numpy as np
        from palindrome_gan.train.cyclegan import Config, CycleGAN
        model = CycleGAN(Config(ngf=4, ndf=4, n_blocks=1, device="cpu", seed=0))
        x = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
        assert model.step(x, -x)["G_A"] > 0 and model.translate(x).shape == x.shape
        theirs = [m for m in ("autograd", "benchmarks", "kernels", "nn", "tests", "train") if m in sys.modules]
        assert theirs == [], theirs
    """,
}
OTHERS = [name for name in SMOKE if name != NAME]


class Environment:
    """A virtual environment and the folders that people work in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        self.plain, self.crowded = folder / "plain", folder / "crowded"
        self.plain.mkdir()
        for name in ("train.py", "nn.py", "kernels/__init__.py", "autograd/__init__.py", "benchmarks.py"):
            (self.crowded / name).parent.mkdir(parents=True, exist_ok=True)
            (self.crowded / name).write_text("raise ImportError('a file of mine')\n")
        self.variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        self.variables |= {"NUMBA_CACHE_DIR": str(folder / "numba"), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """What a command prints; AssertionError with all it said if it fails. Its name is looked for in the environment."""
        program, *rest = map(str, command)
        done = subprocess.run(
            [self.bin / program, *rest],
            cwd=cwd or self.plain,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command} in {cwd}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def pip(self, *arguments: str | Path) -> None:
        self.run("python", "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check")

    def smoke(self, *names: str, cwd: Path | None = None) -> None:
        """The smoke tests, one after the other in one process. Python looks in `cwd` first, which must not matter to ours."""
        self.run("python", "-c", "\n".join(textwrap.dedent(SMOKE[name]) for name in names), cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the repository in which an older build has left something behind."""
    folder = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns(
        ".git", ".venv*", "__pycache__", "*.egg-info", ".*_cache", "checkpoints", "datasets", "docs"
    )
    shutil.copytree(ROOT, folder / "clone", ignore=ignore)
    old = folder / "clone" / "build" / "lib" / "autograd"
    old.mkdir(parents=True, exist_ok=True)
    (old / "__init__.py").write_text("")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder / "dist", folder / "clone"]
    subprocess.run(command, check=True)
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Theirs, each seen to work; nothing of ours."""
    made = Environment(tmp_path_factory.mktemp("world"))
    made.pip("install", "torch==2.13.0", *(name for name in OTHERS if name != "torch"))
    made.smoke(*OTHERS)
    return made


def test_the_wheel_owns_one_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"palindrome_gan", "palindrome_gan-0.1.0.dist-info"}
    for page in (
        "train/report/head.html",
        "train/report/template.html",
        "train/report/style.css",
        "train/report/explain/page.html",
        "train/report/explain/style.css",
        "train/report/explain/script.js",
        "train/inference/serve.html",
    ):
        assert f"palindrome_gan/{page}" in names
    assert "palindrome_gan/rename.py" not in names and "palindrome_gan/in_place.py" not in names


def test_beside_everybody_and_after_anybody_has_gone(wheel, world):
    world.pip("install", wheel)
    for folder in (world.plain, world.crowded, ROOT):
        world.smoke(NAME, cwd=folder)
    world.smoke(*OTHERS)
    for gone, stays in (("autograd", "kernels"), ("kernels", "autograd"), ("transformers", "autograd")):
        world.pip("uninstall", "-y", gone)
        world.smoke(NAME)
        world.smoke(stays)
        world.pip("install", "--no-deps", gone)
    world.smoke(*OTHERS)


def test_the_command_does_what_the_programs_do(wheel, world):
    """From a folder whose files have our folders' names; and its runs go on in the repository, and the other way round."""
    world.pip("install", wheel)
    here, small = world.crowded, ("--ngf", "4", "--ndf", "4", "--n_blocks", "1")
    said = world.run("palindrome-gan", "train", "--max_steps", "2", *small, cwd=here)
    assert "palindrome-gan evaluate --name scenes" in said and "python -m" not in said
    assert "<svg" in (here / "checkpoints/scenes/report.html").read_text(encoding="utf-8")
    translate = ("--weights", "checkpoints/scenes", "--input", "checkpoints/scenes/samples", "--output", "out")
    assert "translated into out" in world.run("palindrome-gan", "translate", *translate, cwd=here)
    assert "usage: palindrome-gan translate" in world.run("palindrome-gan", "serve", "--help", cwd=here)
    world.run("palindrome-gan", "convert", "checkpoints/scenes", "weights.pth", cwd=here)
    world.run("palindrome-gan", "evaluate", "--name", "scenes", "--num_test", "4", cwd=here)
    world.run("palindrome-gan", "prepare", cwd=here)
    quick = ("kernels", "--quick", "--against", "torch", "--ops", "l1_loss")  # with cases of tests/
    assert "| torch" in world.run("palindrome-gan", "benchmarks", *quick, cwd=here)
    assert "palindrome-gan evaluate" in world.run("python", "-m", "palindrome_gan", "evaluate", "--help", cwd=here)
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    own = page.partition("## Adding a system")[2].partition("```python\n")[2].partition("```")[0]
    (here / "my_system.py").write_text(renamed(own), encoding="utf-8")
    world.run("python", "-m", "my_system", "--name", "own", "--max_steps", "1", *small, cwd=here)
    world.run("palindrome-gan", "evaluate", "--system", "my_system", "--name", "own", "--num_test", "4", cwd=here)
    on = ("--continue_train", "--name", "scenes", "--checkpoints_dir", str(here / "checkpoints"), "--max_steps")
    assert "after step 2" in world.run("python", "-m", "train.cyclegan", *on, "3", cwd=ROOT)
    assert "after step 3" in world.run("palindrome-gan", "cyclegan", *on, "4", cwd=here)


def test_after_it_has_gone_an_editable_clone_owns_one_name_too(wheel, world):
    clone = wheel.parents[1] / "clone"
    world.pip("install", wheel)
    world.pip("uninstall", "-y", NAME)
    world.smoke(*OTHERS)
    with pytest.raises(AssertionError, match="No module named 'palindrome_gan'"):
        world.run("python", "-c", "import palindrome_gan")
    world.pip("install", "--no-deps", "-e", clone)
    world.smoke("autograd", "kernels")
    tiny = ("--max_steps", "1", "--ngf", "4", "--ndf", "4", "--n_blocks", "1")
    said = world.run("python", "-m", "train.cyclegan", *tiny, cwd=clone)
    assert "python -m train.evaluate --name scenes" in said
    world.smoke(
        NAME, cwd=world.crowded
    )  # does not take the code that the clone has compiled: it names the clone's modules
    assert "usage: palindrome-gan cyclegan" in world.run("palindrome-gan", "cyclegan", "--help", cwd=world.crowded)
    where = "import train, autograd; print(train.__file__, autograd.__file__)"
    assert str(clone / "train") in world.run("python", "-c", where, cwd=clone)  # from the root, the folders themselves
    with pytest.raises(AssertionError, match="No module named 'train'"):
        world.run("python", "-c", "import train")
    world.pip("uninstall", "-y", NAME)
    world.smoke("autograd")
