"""What is installed owns one name: every import is renamed, every page comes along, the command finds every program."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from palindrome_gan import __main__ as command
from palindrome_gan.rename import NAME, files, renamed
from tests.missing import lacking

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("from train.files import history\n", "from palindrome_gan.train.files import history\n"),
        ("from nn import Adam, SGD", "from palindrome_gan.nn import Adam, SGD"),
        (
            "def f():\n    import kernels.adam.cpu as adam",
            "def f():\n    import palindrome_gan.kernels.adam.cpu as adam",
        ),
        (
            "if x: from tests.cases import (\n    CASES,\n)",
            "if x: from palindrome_gan.tests.cases import (\n    CASES,\n)",
        ),
        ("from  train import x  # é", "from  palindrome_gan.train import x  # é"),
        ('raise E("see python -m train.evaluate")', 'raise E("see palindrome-gan evaluate")'),
        ('"""`python -m benchmarks step`"""', '"""`palindrome-gan benchmarks step`"""'),
        ("""x = 'pip install -e ".[deep]"'""", """x = 'pip install "palindrome-gan[deep]"'"""),
    ],
)
def test_what_is_renamed(source, wanted):
    assert renamed(source) == wanted


@pytest.mark.parametrize(
    "source",
    [
        "from training import x", "import torch.nn as nn", "from torch import autograd", "import trainer",
        'program = "train.cyclegan"', 'phase = "train"', '"""kernels.gpu.launch notes the kernels."""', "nn.forward()",
        'text = "from train.files import history"',
    ],
)  # fmt: skip
def test_what_is_left_alone(source):
    assert renamed(source) == source


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x\nimport train.cyclegan", "a.py:2: import train.cyclegan"),
        ("import kernels", "a.py:1: import kernels"),
        ("import os, kernels.device as d", "a.py:1: import kernels.device"),
        ('import_module("kernels.adam.cpu")', "'kernels.adam.cpu' is a module's name"),
        ('import_module(f"kernels.{op}.cpu")', "'kernels.' is a module's name"),
        ('files("train.report")', "'train.report' is a module's name"),
        ('importlib.util.find_spec("nn")', "'nn' is a module's name"),
        ('HERE = "benchmarks.providers:Ours"', "'benchmarks.providers:Ours' is a module's name"),
    ],
)
def test_what_cannot_be_renamed_is_refused(source, said):
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        renamed(source, "a.py")


def test_pages_come_along():
    beside = {
        p.relative_to(ROOT) for folder in ("autograd", "kernels", "nn", "train") for p in (ROOT / folder).rglob("*.*")
    }
    beside = {p for p in beside if p.suffix not in (".py", ".pyc", ".nbi", ".nbc") and p.name != "README.md"}
    assert (
        {Path("train/report", name) for name in ("head.html", "template.html", "style.css")}
        | {Path("train/inference/serve.html")}
        | {Path("train/report/explain", name) for name in ("page.html", "style.css", "script.js")}
        <= beside
        <= {*files(ROOT)}
    )


# -- the command


def test_every_program_has_a_command_which_leads_to_it():
    programs = {p.stem for p in (ROOT / "train").glob("*.py")} - {"__init__", "errors"} | {"prepare", "benchmarks"}
    assert programs <= {*command.COMMANDS}
    for name in programs:
        module = command.COMMANDS[name][0]
        assert name in module.split(".") and callable(importlib.import_module(module).main)
    for name in ("train", "serve"):
        assert callable(importlib.import_module(command.COMMANDS[name][0]).main)


def test_help_and_mistakes(capsys):
    assert command.main([]) == command.main(["--help"]) == command.main(["-h"]) == 0
    shown = capsys.readouterr().out
    assert "  translate " in shown and "  benchmarks " in shown
    assert command.main(["trian", "--name", "x"]) == 2
    assert "no command trian; did you mean train?" in capsys.readouterr().err
    assert command.main(["completion"]) == 0
    assert 'eval "$(register-python-argcomplete palindrome-gan)"' in capsys.readouterr().out


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python started in `cwd` as after `pip install -e`: of the repository, `palindrome_gan` alone can be imported."""
    start = (
        f"import sys; import importlib.util as u; s = u.spec_from_file_location({NAME!r}, "
        f"{str(ROOT / NAME / '__init__.py')!r}, submodule_search_locations=[{str(ROOT / NAME)!r}]); "
        f"m = u.module_from_spec(s); sys.modules[{NAME!r}] = m; s.loader.exec_module(m); "
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    code = start + arguments[0]
    return subprocess.run(
        [sys.executable, "-c", code, *arguments[1:]],
        cwd=cwd,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with files that hide ours: train.py, nn.py, and packages autograd and kernels."""
    for name in ("train.py", "nn.py", "autograd/__init__.py", "kernels/__init__.py", "benchmarks/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine = True\n")
    return tmp_path


PROGRAM = "from palindrome_gan.__main__ import main; sys.exit(main())"


def test_installed_in_place_it_runs_from_any_folder_beside_anything(elsewhere):
    done = run(PROGRAM, "cyclegan", "--help", cwd=elsewhere)
    assert done.returncode == 0 and done.stdout.startswith("usage: palindrome-gan cyclegan"), done.stderr
    code = (
        "import train, nn, autograd, kernels; assert train.mine and nn.mine and autograd.mine and kernels.mine; "
        "from palindrome_gan.train.models.registry import SYSTEMS; print(SYSTEMS['train.pix2pix']); "
        "from palindrome_gan.autograd import ops; from palindrome_gan.kernels.dispatch import implementation; "
        "from palindrome_gan.kernels.device import get_device; print(implementation('add', get_device('cpu')).__name__)"
    )
    done = run(code, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "palindrome_gan.train.models.pix2pix.Pix2Pix" in done.stdout and "palindrome_gan.kernels.add." in done.stdout


@pytest.mark.parametrize(
    ("typed", "wanted", "unwanted"),
    [
        ("palindrome-gan tr", {"train", "translate"}, {"evaluate"}),
        ("palindrome-gan train --lambda_", {"--lambda_A", "--lambda_identity"}, {"--name"}),
        ("palindrome-gan pix2pix --lambda_", {"--lambda_L1"}, {"--lambda_identity"}),
        ("palindrome-gan cyclegan --netG ", {"resnet", "unet_256"}, set()),
        ("palindrome-gan translate --", {"--weights", "--serve"}, {"--lambda_A"}),
        ("palindrome-gan convert --n", {"--network"}, set()),
        ("palindrome-gan benchmarks step --s", {"--sizes", "--starts"}, {"--ops"}),
    ],
)
def test_the_shell_completes_commands_and_their_options(typed, wanted, unwanted, tmp_path):
    asking = {"COMP_LINE": typed, "COMP_POINT": str(len(typed)), "COMP_TYPE": "9", "_ARGCOMPLETE": "1"}
    answer = tmp_path / "answer"
    asking |= {"_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    done = run(PROGRAM, cwd=tmp_path, **asking)
    if "No module named 'argcomplete'" in done.stderr:
        lacking("argcomplete", 'pip install -e ".[test]"')
    words = {*map(str.strip, answer.read_text().splitlines())}
    assert wanted <= words and not unwanted & words, done.stderr
