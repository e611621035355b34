"""Who may import whom: kernels <- autograd <- nn <- train, in train/ from floor to floor, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from palindrome_gan.rename import NAME, files, renamed

ROOT = Path(__file__).parents[1]
LAYERS = ("kernels", "autograd", "nn", "train")
OURS = {*LAYERS, "benchmarks", "lessons", "tests"}
FLOORS = ("errors", "files ranks", "config", "data models", "weights", "inference evaluation", "report", "run")
"""What stands in train/, from below; two of one floor do not know each other. On top stand the commands."""
HEAVY = {"torch", "cupy", "triton", "numba", "matplotlib", "scipy", "mpi4py"}


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names a piece of code imports, wherever it does, by statement or by `import_module("...")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            argument = node.args[0]
            if isinstance(argument, ast.Constant):
                yield str(argument.value)


class Running(ast.NodeTransformer):
    """Leaves of a module what runs at some time: not `if TYPE_CHECKING:`."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test).endswith("TYPE_CHECKING") else self.generic_visit(node)


class AtTheTop(Running):
    """Leaves of a module what runs when it is imported: not the bodies of functions either."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        return None

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef  # type: ignore[assignment]


def layer(name: str) -> str:
    return name.partition(".")[0]


def floor(part: str) -> int:
    """How high a folder or file of train/ stands."""
    return next((i for i, names in enumerate(FLOORS) if part in names.split()), len(FLOORS))


def complaints(path: str, source: str) -> list[str]:
    """What is wrong with the imports of the file at `path` (from the root, with slashes)."""
    own, found = path.partition("/")[0], []
    names = set(imported(ast.parse(source)))
    if own in LAYERS:
        allowed = set(LAYERS[: LAYERS.index(own) + 1])
        found += [f"{path} imports {name}" for name in names if layer(name) in OURS - allowed]
        found += [f"{path} imports {name}" for name in names if layer(name) in {"torch", "torchvision"}]
        if own == "train":
            part = path.split("/")[1].removesuffix(".py")
            parts = {name: name.split(".")[1] for name in names if layer(name) == "train"}
            found += [f"{path} imports {n}" for n, p in parts.items() if p != part and floor(p) >= floor(part)]
        top = set(imported(AtTheTop().visit(ast.parse(source))))
        found += [f"{path} imports {name} at the top" for name in top if layer(name) in HEAVY - exempt(path)]
    return found


def is_front(path: str) -> bool:
    """Whether a file is loaded with the package. The rest of kernels/ is code for one kind of machine, loaded when used."""
    light = {"__init__", "reference", "device", "dispatch", "launch", "cuda_graph", "epilogue", "stacked"}
    light |= {"geometry", "settings"}
    return not path.startswith("kernels/") or Path(path).stem in light


def exempt(path: str) -> set[str]:
    """What a file may import at its top though it is heavy."""
    if is_front(path):
        return set()
    return {"cpu": {"numba", "scipy"}, "gpu": {"triton"}}.get(Path(path).stem, {"numba", "scipy", "triton"})


FILES = sorted(p for name in LAYERS for p in (ROOT / name).rglob("*.py"))


def test_imports_run_one_way_and_nothing_heavy_is_loaded_early():
    assert len(FILES) > 50
    found = [c for p in FILES for c in complaints(p.relative_to(ROOT).as_posix(), p.read_text(encoding="utf-8"))]
    assert not found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("kernels/x.py", "from autograd import Tensor"),
        ("kernels/x.py", "def f():\n    import nn.module"),
        ("autograd/x.py", "import nn"),
        ("nn/x.py", "from train.config.settings import Config"),
        ("train/x.py", "import tests.cases"),
        ("train/x.py", "from benchmarks import step"),
        ("nn/x.py", "def f():\n    import torch"),
        ("kernels/op/gpu.py", "import importlib\nimportlib.import_module('torch')"),
        ("kernels/gpu/launch.py", "import triton.language as tl"),
        ("kernels/op/cpu.py", "import triton"),
        ("kernels/op/reference.py", "import cupy as cp"),
        ("kernels/op/gpu.py", "import cupy"),
        ("kernels/op/gpu.py", "import numba"),
        ("train/x.py", "try:\n    from matplotlib import pyplot\nexcept ImportError:\n    pass"),
        ("nn/x.py", "class A:\n    import numba"),
        ("train/weights/torch_files.py", "def f():\n    import torch"),
    ],
)
def test_a_wrong_import_is_noticed(path, source):
    assert complaints(path, source)


STANDS = [(name, i) for i, names in enumerate((*FLOORS, "cyclegan prepare")) for name in names.split()]


@pytest.mark.parametrize(("lower", "i"), STANDS)
@pytest.mark.parametrize(("upper", "j"), STANDS)
def test_train_is_built_floor_upon_floor(lower, i, upper, j):
    for own, other, wrong in ((lower, upper, i <= j and lower != upper), (upper, lower, j <= i and lower != upper)):
        for path in (f"train/{own}.py", f"train/{own}/x.py"):
            for source in (
                f"from train.{other} import x",
                f"from train import {other}",
                f"def f():\n    import train.{other}.x",
            ):
                assert bool(complaints(path, source)) == wrong, (path, source)
    assert all(any((ROOT / "train" / f"{name}{kind}").exists() for kind in ("", ".py")) for name in (lower, upper))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("train/x.py", "import nn, autograd\nfrom kernels.device import Device"),
        ("kernels/op/cpu.py", "import numba"),
        ("kernels/cpu/gemm.py", "import numba"),
        ("kernels/op/gpu.py", "import triton\nimport triton.language as tl"),
        ("kernels/x.py", "def f():\n    import cupy"),
        ("autograd/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import cupy"),
    ],
)
def test_a_right_import_is_let_pass(path, source):
    assert not complaints(path, source)


def arrows(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which of these modules each of them imports, late or not; `from package import module` imports the module."""
    found: dict[str, set[str]] = {}
    for module, source in sources.items():
        names = found[module] = set()
        for node in ast.walk(Running().visit(ast.parse(source))):
            if isinstance(node, ast.ImportFrom):
                inner = (f"{node.module}.{alias.name}" for alias in node.names)
                names.update(name if name in sources else str(node.module) for name in inner)
            elif isinstance(node, ast.Import | ast.Call):
                names.update(imported(node))
        names &= sources.keys() - {module}
    return found


def circle(sources: dict[str, str]) -> list[str]:
    """Some of the modules that import each other in a ring, if there are any."""
    try:
        TopologicalSorter(arrows(sources)).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("package", [*LAYERS, "benchmarks"])
def test_no_modules_import_each_other_in_a_circle(package):
    paths = [(p, p.relative_to(ROOT).with_suffix("").as_posix()) for p in (ROOT / package).rglob("*.py")]
    sources = {n.replace("/", ".").removesuffix(".__init__"): p.read_text(encoding="utf-8") for p, n in paths}
    assert package in sources and len(sources) > 8
    assert circle(sources) == []


@pytest.mark.parametrize(
    ("b", "length"),
    [("import a.c", 0), ("from a import d", 3), ("def f():\n    from a.d import x", 3), ("import a.d as e", 3),
     ("def f():\n    importlib.import_module('a.d')", 3), ("if TYPE_CHECKING:\n    import a.d", 0), ("import d", 0)],
)  # fmt: skip
def test_a_circle_is_noticed(b, length):
    assert len(circle({"a": "", "a.b": b, "a.c": "x = 1", "a.d": "from a.b import y"})) == length


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> str:
    """What Python prints, started in `cwd`; AssertionError with its last words if it fails."""
    command, environment = [sys.executable, *arguments], {**os.environ, **environment}
    result = subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def python(code: str, cwd: Path = ROOT, **environment: str) -> str:
    return run("-c", textwrap.dedent(code), cwd=cwd, **environment)


def test_importing_everything_loads_nothing_heavy():
    paths = [p.relative_to(ROOT).with_suffix("").as_posix() for p in FILES]
    modules = [p.replace("/", ".").removesuffix(".__init__") for p in paths if is_front(p) and "__main__" not in p]
    assert {"kernels.gpu.launch", "kernels.conv2d.reference", "autograd.ops", "nn", "train.cyclegan"} <= {*modules}
    loaded = python(f"""
        import importlib, sys
        for module in {modules}:
            importlib.import_module(module)
        print(sorted({HEAVY} & set(sys.modules)))
    """)
    assert loaded == "[]"


def test_who_wants_cyclegan_reads_sixty_modules_of_ours_at_most():
    loaded = python("""
        import sys
        from train.cyclegan import CycleGAN
        print(sum(name.partition(".")[0] in {"kernels", "autograd", "nn", "train"} for name in sys.modules))
    """)
    assert int(loaded) <= 60


@pytest.mark.slow
def test_a_step_on_the_cpu_loads_neither_torch_nor_the_gpus_libraries():
    loaded = python("""
        import sys
        import numpy as np
        from autograd import Tensor
        from nn import PatchDiscriminator
        from nn.losses import discriminator_loss
        net = PatchDiscriminator(ndf=1, n_layers=1)
        discriminator_loss(net(Tensor(np.zeros((1, 16, 16, 3), np.float32))), True).backward()
        print(sorted({"torch", "cupy", "triton", "matplotlib"} & set(sys.modules)))
    """)
    assert loaded == "[]"


def test_installed_no_file_imports_ours_by_the_name_in_the_repository():
    """And what it does import of ours is installed. See palindrome_gan/rename.py, which refuses what it cannot rename."""
    installed, found = [*files(ROOT)], []
    for file in (f for f in installed if f.suffix == ".py"):
        text = renamed((ROOT / file).read_text(encoding="utf-8"), str(file))
        for node in ast.walk(ast.parse(text)):
            names = (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
            )
            found += [(file, name) for name in names if layer(name) in OURS]
            ours = {name: Path(*name.split(".")[1:]) for name in names if layer(name) == NAME}
            found += [
                (file, n) for n, p in ours.items() if not {p.with_suffix(".py"), p / "__init__.py"} & {*installed}
            ]
        found += [
            (file, told) for told in ("python -m train", "python -m benchmarks", "pip install -e") if told in text
        ]
    assert len(installed) > 150 and not found


@pytest.fixture
def other_autograd(tmp_path: Path) -> Path:
    """A folder like site-packages that holds somebody else's package `autograd`."""
    package = tmp_path / "site" / "autograd"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not ours')\n")
    return package.parent


def test_from_the_root_our_autograd_is_imported_whatever_else_is_installed(other_autograd: Path):
    code = "import autograd; print(autograd.__file__)"
    with pytest.raises(AssertionError, match="not ours"):  # a control: elsewhere the other one is found
        python(code, cwd=other_autograd.parent, PYTHONPATH=str(other_autograd))
    assert python(code, PYTHONPATH=str(other_autograd)) == str(ROOT / "autograd" / "__init__.py")


def test_programs_run_with_our_autograd_too(other_autograd: Path):
    assert "--dataroot" in run("-m", "train.cyclegan", "--help", PYTHONPATH=str(other_autograd))


@pytest.mark.parametrize("name", ["autograd/__init__.py", "nn.py", "kernels/__init__.py"])
def test_what_hides_a_folder_of_ours_is_named_with_the_cure(name: str, tmp_path: Path):
    """As when the repository comes last in sys.path, behind a user's folder or somebody else's package."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    append = f"import sys; sys.path.append({str(ROOT)!r}); from train.cyclegan import CycleGAN"
    with pytest.raises(AssertionError) as found:
        python(append, cwd=tmp_path)
    said = str(found.value)
    assert f"ImportError: {tmp_path / name} hides {ROOT / Path(name).with_suffix('').parts[0]}" in said
    assert "palindrome-gan" in said and "ModuleNotFoundError" not in said
    (tmp_path / name).unlink()
    if name != "nn.py":
        (tmp_path / name).parent.rmdir()
    python(append, cwd=tmp_path)  # a control: nothing hides it
