"""Rules that every GPU kernel's source keeps, checked on the syntax tree; each rule is shown to catch an offender."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(ROOT.glob("kernels/**/*.py"))
BARRIER = ("arrive", "wait")  # of kernels/gpu/grid_barrier.py


def masked_loads_without_other(tree: ast.AST) -> list[int]:
    """Lines of `tl.load(pointer, mask)` without `other`: the lanes masked away would hold anything."""
    loads = [node for node in ast.walk(tree) if _is_call(node, "load")]
    return [call.lineno for call in loads if _given(call, "mask", 1) and not _given(call, "other", 2)]


def atomics(tree: ast.AST) -> list[int]:
    """Lines that call `tl.atomic_...`: float sums would depend on which program comes first. A barrier counts in integers."""
    barrier = {
        call for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in BARRIER for call in ast.walk(n)
    }
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr.startswith("atomic_")]
    return [n.lineno for n in found if n not in barrier]


def method_reductions(tree: ast.AST) -> list[int]:
    """Lines in kernels with `x.sum(...)` and the like instead of `tl.sum(x, ...)`; one way to write it reads better."""
    kernels = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and _is_jit(n)]
    calls = [n for kernel in kernels for n in ast.walk(kernel) if isinstance(n, ast.Call)]
    return [c.lineno for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in ("sum", "max", "min")
            and getattr(c.func.value, "id", None) != "tl"]  # fmt: skip


def undocumented(tree: ast.AST) -> list[int]:
    """Kernels without a docstring, or with more than eight parameters of which it leaves one out: it, or the kernel it refers to."""
    kernels = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and _is_jit(n)]
    return [
        k.lineno for k in kernels if not (doc := ast.get_docstring(k)) or (len(k.args.args) > 8 and _left_out(k, doc))
    ]


def _left_out(kernel: ast.FunctionDef, doc: str) -> set[str]:
    words = {*re.findall(r"\w+", doc)}
    for name in re.findall(r"(?:see|those of) (_\w+)", doc):
        words |= {*re.findall(r"\w+", _docstrings()[name])}
    return {parameter.arg for parameter in kernel.args.args} - words


@functools.cache
def _docstrings() -> dict[str, str]:
    """Of all kernels."""
    kernels = [
        n
        for path in FILES
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.FunctionDef) and _is_jit(n)
    ]
    return {kernel.name: ast.get_docstring(kernel) or "" for kernel in kernels}


RULES = [masked_loads_without_other, atomics, method_reductions, undocumented]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_kernel_keeps_the_rule(rule):
    offenders = [f"{path.relative_to(ROOT)}:{line}" for path in FILES for line in rule(ast.parse(path.read_text()))]
    assert not offenders


def test_there_are_kernels_to_check():
    loads = [n for path in FILES for n in ast.walk(ast.parse(path.read_text())) if _is_call(n, "load")]
    assert len(loads) > 20


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (masked_loads_without_other, "v = tl.load(x + at, mask=at < n) * 2"),
        (masked_loads_without_other, "v = tl.load(x + at, at < n)"),
        (atomics, "tl.atomic_add(y, v)"),
        (method_reductions, "@triton.jit\ndef k(x, y):\n    tl.store(y, tl.load(x).sum(0))"),
        (undocumented, "@triton.jit\ndef k(x, y):\n    tl.store(y, tl.load(x))"),
        (undocumented, "@triton.jit\ndef k(a, b, c, d, e, f, g, h, BM):\n    'a b c d e f g h: numbers; not BMW'"),
        (
            undocumented,
            "@triton.jit\ndef k(a, b, c, d, e, f, g, h, nowhere):\n    'a b c d e f g h; the rest are those of _fprop'",
        ),
    ],
)
def test_an_offender_is_caught(rule, source):
    assert rule(ast.parse(source))


def test_a_kernel_of_few_parameters_need_not_name_them():
    assert not undocumented(
        ast.parse("@triton.jit\ndef k(x, y):\n    'y = x'\n\ndef f(a, b, c, d, e, f, g, h, i):\n    pass")
    )


@pytest.mark.parametrize("source", ["tl.load(x)", "tl.load(x + at, mask=m, other=0.0)", "tl.load(x + at, m, 0.0)"])
def test_a_sound_load_passes(source):
    assert not masked_loads_without_other(ast.parse(source))


def _is_call(node: ast.AST, name: str) -> bool:
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, ast.Attribute) and function.attr == name and getattr(function.value, "id", "") == "tl"


def _is_jit(function: ast.FunctionDef) -> bool:
    return any("jit" in ast.unparse(decorator) for decorator in function.decorator_list)


def _given(call: ast.Call, name: str, position: int) -> bool:
    return len(call.args) > position or any(keyword.arg == name for keyword in call.keywords)
