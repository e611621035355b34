"""The build step: the repository's folders as parts of the package `palindrome_gan`.

Four things are renamed, and nothing else, so lines and names stay where a reader knows them from the repository:

    from train.files import history        from palindrome_gan.train.files import history
    import kernels.adam.cpu as adam        import palindrome_gan.kernels.adam.cpu as adam
    python -m train.translate              palindrome-gan translate                        in what is said to users
    pip install -e ".[deep]"               pip install "palindrome-gan[deep]"              likewise

Programs keep their names in checkpoints ("train.cyclegan"), which so are the same here and there. Code that makes a
module's name at run time starts from `__name__` or `__package__`; `renamed` refuses one that is written out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

NAME = "palindrome_gan"
FOLDERS = ("autograd", "benchmarks", "kernels", "nn", "train")
SHARED = (
    "tests/__init__.py",
    "tests/cases.py",
    "tests/replayed_arrays.py",
    "tests/tolerances.py",
    "tests/torch_ops.py",
    "tests/torch_reference.py",
)
"""What benchmarks take from the tests: the ops' cases, and PyTorch's side."""
TEXTS = {
    "python -m train.": "palindrome-gan ",
    "python -m benchmarks": "palindrome-gan benchmarks",
    'pip install -e ".[': 'pip install "palindrome-gan[',
    'or ".[': 'or "palindrome-gan[',
}
_OURS = rf"({'|'.join((*FOLDERS, 'tests'))})\b"
_WRITTEN_OUT = re.compile(r"(autograd|benchmarks|kernels|nn|tests)\.[\w.:]*")


def files(root: Path) -> Iterator[Path]:
    """What is installed, as paths from the repository's root: code and pages."""
    for folder in FOLDERS:
        yield from sorted(
            p.relative_to(root) for kind in ("*.py", "*.html", "*.css", "*.js") for p in (root / folder).rglob(kind)
        )
    yield from map(Path, SHARED)


def renamed(source: str, file: str = "") -> str:
    """The source of a module as it is installed. Raises ValueError that names the place for what cannot be renamed."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and not node.level and re.match(_OURS, node.module or ""):
            _insert(lines, node, "from")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if re.match(_OURS, alias.name):
                    if not alias.asname or len(node.names) > 1:
                        raise ValueError(
                            f"{file}:{node.lineno}: import {alias.name}: write `from … import …` or `import … as …`"
                        )
                    _insert(lines, node, "import")
        elif isinstance(node, ast.expr) and (name := _written_out(node)):
            raise ValueError(f"{file}:{node.lineno}: {name!r} is a module's name; start from __name__ or __package__")
    text = "".join(lines)
    for there, here in TEXTS.items():
        text = text.replace(there, here)
    return text


def _written_out(node: ast.expr) -> str:
    """The name of a module of ours that stands in the code as a text, "" if none does."""
    if (
        isinstance(node, ast.Call)
        and node.args
        and ast.unparse(node.func).endswith(("import_module", "find_spec", "files"))
    ):
        first = node.args[0]
        if isinstance(first, ast.Constant) and re.match(_OURS, str(first.value)):
            return str(first.value)
    whole = isinstance(node, ast.Constant) and isinstance(node.value, str) and _WRITTEN_OUT.fullmatch(node.value)
    return whole.group() if whole else ""


def _insert(lines: list[str], node: ast.stmt, word: str) -> None:
    """Put the package's name behind the first `word` of the statement."""
    line, at = lines[node.lineno - 1], node.col_offset
    lines[node.lineno - 1] = line[:at] + re.sub(rf"{word}\s+", rf"\g<0>{NAME}.", line[at:], count=1)
