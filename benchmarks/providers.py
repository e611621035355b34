"""Who is compared: the list of all, what they are given to do, and our own side.

Every class is a `worker.Contestant` and imports its library only when it is made, in a worker of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.worker import Result

HERE, TORCH = __name__, f"{__package__}.torch_providers"
TRAINERS = {
    "ours": (("ours", f"{HERE}:Ours"),),
    "reference": (("reference", f"{HERE}:Reference"),),
    # Which memory layout suits torch depends on the machine: both run, and the better one counts.
    "torch": (("torch", f"{TORCH}:Torch"), ("torch-channels-last", f"{TORCH}:TorchChannelsLast")),
    "torch-compile": (
        ("torch-compile", f"{TORCH}:TorchCompile"),
        ("torch-compile-channels-last", f"{TORCH}:TorchCompileChannelsLast"),
    ),
    "torch-graph": (("torch-graph", f"{__package__}.torch_graph:TorchGraph"),),
    "torch-compile-graph": (("torch-compile-graph", f"{__package__}.torch_graph:TorchCompileGraph"),),
    "eager": (("eager", f"{HERE}:OursEager"),),
    "checkpointing": (("checkpointing", f"{HERE}:OursCheckpointing"),),
}
# They read our .onnx.
RUNTIMES = {"onnxruntime": "OnnxTranslates", "openvino": "OpenVinoTranslates", "ncnn": "NcnnTranslates"}
TRANSLATORS = {
    "ours": (("ours", f"{HERE}:OursTranslates"),),
    "reference": (("reference", f"{HERE}:ReferenceTranslates"),),
    "torch": (
        ("torch", f"{TORCH}:TorchTranslates"),
        ("torch-channels-last", f"{TORCH}:TorchChannelsLastTranslates"),
    ),
    "torch-compile": (
        ("torch-compile", f"{TORCH}:TorchCompileTranslates"),
        ("torch-compile-channels-last", f"{TORCH}:TorchCompileChannelsLastTranslates"),
    ),
    **{name: ((name, f"{__package__}.onnx_runtimes:{kind}"),) for name, kind in RUNTIMES.items()},
}


@dataclass(frozen=True)
class Work:
    """The size of the networks and pictures; everything else is the paper's (see train.config.settings)."""

    size: int  # pixels, both sides
    ngf: int  # channels of the first layer of all four networks
    n_blocks: int
    batch: int = 1
    device: str = "cpu"
    precision: str = "fp32"  # on a GPU: fp32, tf32 or bf16 (see options.PRECISIONS)
    seed: int = 0
    tune: str = ""  # file of our measured tiles
    folder: str = ""  # of the generator's .onnx and what else other runtimes read

    def pictures(self, key: int) -> tuple[np.ndarray, np.ndarray]:
        """Two batches [N,H,W,3] in [-1, 1], of one kind but never the same."""
        rng = np.random.default_rng([self.seed, key])
        shape = (2, self.batch, self.size, self.size, 3)
        a, b = np.tanh(rng.standard_normal(shape, np.float32) + np.float32(0.3))
        return a, b

    def weights(self, network: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """Weights for parameters of these shapes (PyTorch's names and layouts): N(0, 0.02), drawn key by key."""
        return {key: self.weight(network, key, shape) for key, shape in shapes.items()}

    def weight(self, network: str, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """One parameter's initial values."""
        rng = np.random.default_rng([self.seed, zlib.crc32(f"{network}.{key}".encode())])
        return np.float32(0.02) * rng.standard_normal(shape, np.float32)

    def update(self, network: str, weights: Iterable[tuple[str, np.ndarray]]) -> np.ndarray:
        """How far training has moved a network, at every seventh of its weights: one long vector.

        Biases are left out: most stand ahead of an instance norm and receive nothing but rounding.
        """
        steps = [(w - self.weight(network, key, w.shape)).ravel()[::7] for key, w in weights if key.endswith("weight")]
        return np.concatenate(steps)


class Ours:
    """Our training step."""

    settings: Mapping[str, Any] = {}

    def __init__(self, work: Work) -> None:
        from train.cyclegan import Config, CycleGAN

        self.work = work
        measure_tiles(work.tune)
        sizes = Config(ngf=work.ngf, ndf=work.ngf, n_blocks=work.n_blocks, batch_size=work.batch, crop_size=work.size)
        sizes = sizes.replace(device=work.device, precision=work.precision, seed=work.seed)
        self.model = CycleGAN(sizes.replace(**self.settings))

    def load(self) -> None:
        for name, network in self.model.networks().items():
            load_ours(self.work, name, network)

    def inputs(self, key: int) -> Any:
        return [self.model.device.asarray(x) for x in self.work.pictures(key)]

    def run(self, inputs: Any) -> Result:
        return self.model.step(*inputs)

    def result(self, output: Result) -> Result:
        moved = {}
        for name, network in self.model.networks().items():
            weights = ((key, parameter.to_torch()) for key, parameter in network.named_parameters())
            moved[f"update of {name}"] = self.work.update(name, weights)
        return {**output, **moved}

    def device_mb(self) -> float:
        return ours_device_mb(self.work.device)


class OursEager(Ours):
    """Our training step launched kernel by kernel on a GPU, where else it is replayed from a graph."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.model.graphed = None


class OursCheckpointing(Ours):
    """Our training step with less memory; see the option of that name."""

    settings: Mapping[str, Any] = {"checkpointing": True}


class OursTranslates:
    """Our generator's forward, as `python -m train.translate` runs it."""

    def __init__(self, work: Work) -> None:
        from autograd import Tensor, no_grad
        from kernels.device import get_device
        from nn import ResnetGenerator
        from train.models.model import storage

        self.work, self.tensor, self.no_grad = work, Tensor, no_grad
        measure_tiles(work.tune)
        self.dtype = storage(work.precision, get_device(work.device))
        self.generator = ResnetGenerator(ngf=work.ngf, n_blocks=work.n_blocks, device=work.device)

    def load(self) -> None:
        load_ours(self.work, "gen_ab", self.generator)

    def inputs(self, key: int) -> Any:
        device = self.generator.device
        return self.tensor(device.asarray(self.work.pictures(key)[0], self.dtype), device=device)

    def run(self, inputs: Any) -> Any:
        with self.no_grad():
            y = self.generator(inputs)
        wait(self.work.device)
        return y

    def result(self, output: Any) -> Result:
        return {"y": output.numpy().astype(np.float32, copy=False)}

    def device_mb(self) -> float:
        return ours_device_mb(self.work.device)


def measure_tiles(name: str) -> None:
    """Measure our products' tiles in this process where the file of that name knows none; not for ""."""
    if name:
        from kernels.gpu import autotune as tuning

        tuning.start(tuning.file_called(name))


def load_ours(work: Work, name: str, network: Any) -> None:
    """The shared weights, into one of our networks."""
    shapes = {key: tuple(p.shape[i] for i in p.torch_axes) for key, p in network.named_parameters()}
    network.load_state_dict(work.weights(name, shapes))


def wait(device: str) -> None:
    """Until the GPU has done what it was given."""
    if device == "cuda":
        import cupy

        cupy.cuda.get_current_stream().synchronize()


def ours_device_mb(device: str) -> float:
    """Memory that our arrays' pool took from the GPU, MB."""
    from kernels.device import get_device, peak_bytes

    return (peak_bytes(get_device(device)) or 0) / 1e6 if device == "cuda" else 0.0


def references_only() -> None:
    """Compute with every op's plain formula from here on, in this process."""
    from kernels import dispatch

    for device in dispatch.PREFERENCE:
        dispatch.PREFERENCE[device] = ("reference",)


class Reference(Ours):
    """Our training step without any accelerated kernel."""

    def __init__(self, work: Work) -> None:
        references_only()
        super().__init__(work)


class ReferenceTranslates(OursTranslates):
    """Our generator without any accelerated kernel."""

    def __init__(self, work: Work) -> None:
        references_only()
        super().__init__(work)
