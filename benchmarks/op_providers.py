"""Single ops, ours and torch's, on the inputs that the tests use: the contestants of `python -m benchmarks kernels`.

A key is (case, direction): "forward" and "backward" are timed, "both" gives output and gradients for the gate.
"""

from __future__ import annotations

import functools
import importlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.providers import measure_tiles, references_only
from benchmarks.worker import Result
from tests.cases import CASES, Case, arrays

OURS = {"ours": f"{__name__}:OursOps", "reference": f"{__name__}:ReferenceOps"}
_THEIRS = f"{__package__}.torch_ops"
TORCH = {"torch": f"{_THEIRS}:TorchOps", "torch-channels-last": f"{_THEIRS}:TorchChannelsLastOps"}
TRUTH = f"{_THEIRS}:TruthOps"
PARAMETERS = ("w", "b", "scale", "shift")
Key = tuple[str, str]


@dataclass(frozen=True)
class OpWork:
    """Where and at what size the cases run: `full` are the networks' own layers, else the tests' small ones."""

    device: str = "cpu"
    precision: str = "fp32"
    full: bool = True
    tune: str = ""

    @property
    def dtype(self) -> np.dtype:
        """What inputs, outputs and gradients are stored in."""
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if self.precision == "bf16" else np.float32)

    def arrays(self, name: str) -> dict[str, np.ndarray | None]:
        """The inputs of a case, in the op's order. Parameters are float32, as networks hold them, but of few bits."""
        stored = arrays(case(name), self.dtype, full=self.full)
        return {n: a if a is None or n not in PARAMETERS else a.astype(np.float32) for n, a in stored.items()}

    def upstream(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The gradient that the backward starts from."""
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        return np.asarray(rng.standard_normal(shape) + 0.2, np.float32).astype(self.dtype)


@functools.cache
def case(name: str) -> Case:
    """The case of that name, "op-label"."""
    return next(c for c in CASES if str(c) == name)


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
        if work.device == "cuda":
            from benchmarks.gpu import cupy_clock

            self.clock = cupy_clock()

    def load(self) -> None:
        """Ops have no weights of their own."""

    @functools.lru_cache(maxsize=1)  # noqa: B019  one worker, one contestant: it lives as long as the process
    def leaves(self, name: str) -> dict[str, Any]:
        """The inputs of a case as tensors."""
        made = self.work.arrays(name)
        return {
            n: None if a is None else self.tensor(self.device.asarray(a), requires_grad=True, device=self.device)
            for n, a in made.items()
        }

    def low(self, weight: Any) -> Any:
        """A weight in the precision of activations, converted beforehand, as a step converts it once per update."""
        ready = self.device.xp.asarray(weight.data, dtype=self.work.dtype)
        return self.ops.cast(weight, self.work.dtype, ready)

    def inputs(self, key: Key) -> Callable[[], Any]:
        name, direction = key
        leaves = self.leaves(name)
        for leaf in leaves.values():
            if leaf is not None:
                leaf.grad = None
        given = [self.low(leaf) if n == "w" else leaf for n, leaf in leaves.items()]
        forward = functools.partial(getattr(self.ops, case(name).op), *given, **case(name).settings)
        if direction == "forward":
            return forward
        y = forward()
        dy = self.device.asarray(self.work.upstream(name, y.shape))
        if direction == "backward":
            return functools.partial(y.backward, dy)
        y.backward(dy)
        grads = {f"d{n}": leaf.grad for n, leaf in leaves.items() if leaf is not None}
        return lambda: {"y": y.data, **grads}

    def run(self, inputs: Callable[[], Any]) -> Any:
        return inputs()

    def result(self, output: dict[str, Any]) -> Result:
        from kernels.device import to_host

        return {name: np.array(to_host(array), np.float32) for name, array in output.items()}


class ReferenceOps(OursOps):
    """The ops' plain formulas."""

    def __init__(self, work: OpWork) -> None:
        references_only()
        super().__init__(work)
