"""What the product asks of CuPy, read from its source, and what the installed CuPy has to say to it. Needs no GPU.

A call that exists only in our imagination would otherwise fail on the first GPU: `cupy` is NumPy's interface, but not all
of it, and on a machine without a GPU nothing of it can be run.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cupy
import numpy as np

NAMES = {"cupy", "xp"}  # what the product calls the array library
OTHERS = {"np", "tl", "self.ops"}  # what has functions of the same names
# A thing of the kind that a function returns.
RETURNS = {"cuda.get_current_stream": "cuda.Stream.null", "get_default_memory_pool": "_default_memory_pool"}


@dataclass(frozen=True)
class Use:
    """One use of CuPy: a dotted name below `cupy`, and how it is called, if it is.

    positional  arguments without a name; None where their number cannot be read
    keywords    names of the others; None where it is not called
    """

    name: str
    line: int
    positional: int | None = None
    keywords: tuple[str, ...] | None = None

    def complaint(self) -> str | None:
        """Why CuPy would refuse, if it would."""
        try:
            target = find(self.name)
            if self.keywords is not None:
                arguments = [None] * (self.positional or 0)
                fits = signature(target).bind_partial if self.positional is None else signature(target).bind
                fits(*arguments, **dict.fromkeys(self.keywords))
        except (AttributeError, TypeError) as error:
            return f"line {self.line}: {error}"
        return None


def find(name: str) -> Any:
    """What `cupy.<name>` is. AttributeError where there is no such thing."""
    target: Any = cupy
    for part in filter(None, name.split(".")):
        if not hasattr(target, part):
            raise AttributeError(f"CuPy {cupy.__version__} has no {name}")
        target = getattr(target, part)
    return target


@functools.cache
def signature(function: Callable) -> inspect.Signature:
    """The parameters of a function. What is compiled tells them in the first line of its docstring only."""
    try:
        return inspect.signature(function)
    except ValueError:
        pass
    told = re.match(r"[\w.]+\((.*)\)", (function.__doc__ or "").replace("\\", ""))
    if told is None:
        raise TypeError(f"{function} does not say what it takes")
    parts = [part.strip() for part in told[1].split(",")]
    # "int device_id=-1" -> "device_id=None": neither C types nor values matter here.
    names = [re.sub(r"^(?:\w+ )*([*\w/]+)=.*", r"\1=None", re.sub(r"^(?:\w+ )+(?=\w+$)", "", part)) for part in parts]
    bound = names[:1] == ["self"] and getattr(function, "__self__", None) is not None
    return inspect.signature(eval(f"lambda {', '.join(names[bound:])}: None"))


def uses(tree: ast.AST, methods: bool) -> Iterator[Use]:
    """Every use of CuPy's names in a piece of code; with `methods`, also of array methods, on whatever object."""
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        name = name_of(node)
        if name is None and methods and node.attr in dir(np.ndarray) and ast.unparse(node.value) not in OTHERS:
            name = f"ndarray.{node.attr}"
        if not name:
            continue
        extra = is_class(name.rpartition(".")[0])  # for self
        call = called.get(id(node))
        if call is None:
            yield Use(name, node.lineno)
            continue
        starred = any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
        keywords = tuple(k.arg for k in call.keywords if k.arg)
        yield Use(name, node.lineno, None if starred else len(call.args) + extra, keywords)


def name_of(node: ast.AST) -> str | None:
    """The dotted name below `cupy` that an expression stands for, "" for the library itself, None for anything else."""
    if isinstance(node, ast.Name):
        return "" if node.id in NAMES else None
    if isinstance(node, ast.Attribute):
        if node.attr == "xp":
            return ""
        owner = name_of(node.value)
        return None if owner is None else f"{owner}.{node.attr}".lstrip(".")
    if isinstance(node, ast.Call):
        if ast.unparse(node.func).endswith("xp_of") or ast.unparse(node).endswith("import_module('cupy')"):
            return ""
        maker = name_of(node.func)
        return RETURNS.get(maker, maker if is_class(maker) else None) if maker else None
    return "" if ast.unparse(node) == "sys.modules['cupy']" else None


def is_class(name: str) -> bool:
    """Whether `cupy.<name>` is a class."""
    try:
        return isinstance(find(name), type)
    except AttributeError:
        return False
