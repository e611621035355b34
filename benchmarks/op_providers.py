"""Single ops, ours, torch's and yours, on the inputs that the tests use: the contestants of `python -m benchmarks kernels`.

A key is (case, direction, seed): "forward", "backward" or "both", of inputs drawn with that seed. A case's name may end in the
shape of its first input: "conv2d-real@1x64x64x128".
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.providers import measure_tiles, references_only
from benchmarks.worker import Result
from tests.cases import CASES, Case, Shape, arrays

OURS = {"ours": f"{__name__}:OursOps", "reference": f"{__name__}:ReferenceOps"}
_THEIRS = f"{__package__}.torch_ops"
TORCH = {"torch": f"{_THEIRS}:TorchOps", "torch-channels-last": f"{_THEIRS}:TorchChannelsLastOps"}
YOURS = f"{__name__}:FileOps"
TRUTH = f"{_THEIRS}:TruthOps" if importlib.util.find_spec("torch") else f"{__name__}:ReferenceTruth"
PARAMETERS = ("w", "b", "scale", "shift")
Key = tuple[str, str, int]


@dataclass(frozen=True)
class OpWork:
    """Where and at what size the cases run: `full` are the networks' own layers, else the tests' small ones."""

    device: str = "cpu"
    precision: str = "fp32"
    full: bool = True
    tune: str = ""
    file: str = ""  # with a kernel's `forward` and `backward`, in the place of our ...
    op: str = ""

    @property
    def dtype(self) -> np.dtype:
        """What inputs, outputs and gradients are stored in."""
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if self.precision == "bf16" else np.float32)

    def arrays(self, name: str, seed: int = 0) -> dict[str, np.ndarray | None]:
        """The inputs of a case, in the op's order. Parameters are float32, as networks hold them, but of few bits."""
        stored = arrays(case(name), self.dtype, seed, full=self.full)
        return {n: a if a is None or n not in PARAMETERS else a.astype(np.float32) for n, a in stored.items()}

    def upstream(self, name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
        """The gradient that the backward starts from."""
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        return np.asarray(rng.standard_normal(shape) + 0.2, np.float32).astype(self.dtype)


@functools.cache
def case(name: str) -> Case:
    """The case of that name, "op-label" or "op-label@NxHxWxC"."""
    name, _, shape = name.partition("@")
    found = next(c for c in CASES if str(c) == name)
    return reshaped(found, tuple(map(int, shape.split("x")))) if shape else found


def reshaped(c: Case, x: Shape) -> Case:
    """The case with another first input, and the others as they then must be.

    What had the first input's shape has it still; a weight takes as many channels, and gives as many if it did before.
    """
    old, *_ = (c.full or c.shapes).values()
    assert old is not None

    def follow(name: str, shape: Shape | None) -> Shape | None:
        if shape is None or name == "b":
            return shape
        if name == "w":
            return (*shape[:-2], x[-1], x[-1] if shape[-1] == old[-1] else shape[-1])
        if name in ("scale", "shift"):
            return (x[0], x[-1])
        return x if shape == old else (*x[:-1], shape[-1])

    shapes = {name: follow(name, shape) for name, shape in (c.full or c.shapes).items()}
    settings = dict(c.settings)
    if "size" in settings:  # of what a resize makes
        settings["size"] = tuple(s * n // o for s, n, o in zip(settings["size"], x[1:3], old[1:3], strict=True))
    return replace(c, shapes=shapes, full=shapes, settings=settings)


class OursOps:
    """Our ops through the graph, as the networks call them."""

    def __init__(self, work: OpWork) -> None:
        from autograd import Tensor, ops
        from kernels.device import get_device
        from kernels.gpu.launch import set_matmul_precision

        self.work, self.ops, self.tensor = work, ops, Tensor
        self.device = get_device(work.device)
        set_matmul_precision("fp32" if work.precision == "fp32" else "tf32")
        measure_tiles(work.tune)
        self.clock = {"cuda": "cupy", "interpret": "interpret"}.get(work.device, "wall")
        self.made: dict[str, tuple[int, dict[str, Any]]] = {}

    def load(self) -> None:
        """Ops have no weights of their own."""

    def leaves(self, name: str, seed: int) -> dict[str, Any]:
        """The inputs of a case as tensors; for another seed, the same arrays with other numbers in them."""
        if name not in self.made:
            given = {n: None if a is None else self.device.asarray(a) for n, a in self.work.arrays(name, seed).items()}
            tensors = {n: a if a is None else self.tensor(a, True, self.device) for n, a in given.items()}
            self.made = {name: (seed, tensors)}
        before, leaves = self.made[name]
        if before != seed:
            for n, array in self.work.arrays(name, seed).items():
                if array is not None:
                    leaves[n].data[...] = self.device.asarray(array)
            self.made[name] = (seed, leaves)
        return leaves

    def low(self, weight: Any) -> Any:
        """A weight in the precision of activations, converted beforehand, as a step converts it once per update."""
        ready = self.device.xp.asarray(weight.data, dtype=self.work.dtype)
        return self.ops.cast(weight, self.work.dtype, ready)

    def inputs(self, key: Key) -> Callable[[], Any]:
        """The work of that key; it returns y or None, and the leaves whose gradients it made."""
        name, direction, seed = key
        leaves = self.leaves(name, seed)
        for leaf in leaves.values():
            if leaf is not None:
                leaf.grad = None
        given = [self.low(leaf) if n == "w" else leaf for n, leaf in leaves.items()]
        forward = functools.partial(getattr(self.ops, case(name).op), *given, **case(name).settings)
        if direction == "forward":
            return lambda: (forward(), {})
        y = forward()
        dy = self.device.asarray(self.work.upstream(name, y.shape, seed))

        def both() -> Any:
            y = forward()
            y.backward(dy)
            return y, leaves

        return both if direction == "both" else lambda: (y.backward(dy), leaves)

    def run(self, inputs: Callable[[], Any]) -> Any:
        return inputs()

    def result(self, output: Any) -> Result:
        """Output and gradients. What is stored as was asked for comes as float32; anything else shows itself."""
        from kernels.device import to_host

        y, leaves = output
        named = {
            "y": None if y is None else y.data,
            **{f"d{n}": leaf.grad for n, leaf in leaves.items() if leaf is not None},
        }
        host = {n: to_host(a) for n, a in named.items() if a is not None}
        return {n: np.array(a, np.float32 if a.dtype == self.work.dtype else a.dtype) for n, a in host.items()}

    def changed(self, key: Key) -> list[str]:
        """The inputs that are no longer what they were given as."""
        from kernels.device import to_host

        name, _, seed = key
        now = {n: leaf for n, leaf in self.leaves(name, seed).items() if leaf is not None}
        given = self.work.arrays(name, seed)
        return [n for n, leaf in now.items() if not np.array_equal(to_host(leaf.data), np.asarray(given[n]))]


class ReferenceOps(OursOps):
    """The ops' plain formulas."""

    def __init__(self, work: OpWork) -> None:
        references_only()
        super().__init__(work)


class ReferenceTruth(ReferenceOps):
    """The plain formulas in double precision: what every op is judged by where there is no torch. Tests hold them to it."""

    def __init__(self, work: OpWork) -> None:
        super().__init__(replace(work, device="cpu", precision="fp32"))
        self.stored = work

    def leaves(self, name: str, seed: int) -> dict[str, Any]:
        given = {n: a if a is None else a.astype(np.float64) for n, a in self.stored.arrays(name, seed).items()}
        return {n: a if a is None else self.tensor(a, True, self.device) for n, a in given.items()}

    def low(self, weight: Any) -> Any:
        return weight


class FileOps(OursOps):
    """A file's `forward` and `backward`, by the kernel contract (kernels/<op>/__init__.py), in the place of our kernel."""

    def __init__(self, work: OpWork) -> None:
        super().__init__(work)
        from kernels import dispatch

        kind = dispatch.PREFERENCE[work.device][0]
        name = f"{dispatch.__package__}.{work.op}.{kind}"
        reference = importlib.import_module(f"{dispatch.__package__}.{work.op}.reference")
        spec = importlib.util.spec_from_file_location(name, work.file)
        assert spec and spec.loader, work.file
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for function in ("forward", "backward"):  # what the file leaves out is the reference's
            if not hasattr(module, function) and hasattr(reference, function):
                setattr(module, function, getattr(reference, function))
        dispatch.implementation.cache_clear()
