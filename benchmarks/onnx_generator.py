"""The generator for onnxruntime: the graph is written node by node, so that no exporter stands between the two.

Needs `pip install -e ".[bench]"` (onnx, onnxruntime). Keys and layouts of the weights are PyTorch's, as ours are.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from benchmarks.providers import Work
from benchmarks.worker import Result

OPSET = 17


class OnnxTranslates:
    """The generator's forward in onnxruntime on the CPU, with its default settings."""

    def __init__(self, work: Work) -> None:
        try:
            self.runtime = importlib.import_module("onnxruntime")
            importlib.import_module("onnx")
        except ImportError as error:
            raise RuntimeError(f'{error.name} is not installed: pip install -e ".[bench]"') from error
        if work.device != "cpu":
            raise RuntimeError("onnxruntime is compared on the CPU only")
        self.work = work
        self.session(generator(work, {key: np.zeros(shape, np.float32) for key, shape in parameters(work).items()}))

    def session(self, model: Any) -> None:
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))  # 0: its own choice
        self.run_graph = self.runtime.InferenceSession(model.SerializeToString(), options).run

    def load(self) -> None:
        self.session(generator(self.work, self.work.weights("gen_ab", parameters(self.work))))

    def inputs(self, key: int) -> Any:
        return {"x": np.ascontiguousarray(self.work.pictures(key)[0].transpose(0, 3, 1, 2))}

    def run(self, inputs: Any) -> Any:
        return self.run_graph(None, inputs)[0]

    def result(self, output: Any) -> Result:
        return {"y": np.ascontiguousarray(output.transpose(0, 2, 3, 1))}


def layers(work: Work) -> list[tuple[str, tuple[int, ...], dict[str, Any]]]:
    """The generator's convolutions: key, weight shape in PyTorch's layout, and geometry."""
    n, up = work.ngf, 10 + work.n_blocks
    reflect, down, grow = dict(reflect=1), dict(strides=[2, 2]), dict(strides=[2, 2], output_padding=[1, 1])
    block_keys = [f"model.{10 + i}.conv_block.{j}" for i in range(work.n_blocks) for j in (1, 5)]
    return [
        ("model.1", (n, 3, 7, 7), dict(reflect=3)),
        ("model.4", (2 * n, n, 3, 3), down), ("model.7", (4 * n, 2 * n, 3, 3), down),
        *((key, (4 * n, 4 * n, 3, 3), reflect) for key in block_keys),
        (f"model.{up}", (4 * n, 2 * n, 3, 3), grow), (f"model.{up + 3}", (2 * n, n, 3, 3), grow),
        (f"model.{up + 7}", (3, n, 7, 7), dict(reflect=3)),
    ]  # fmt: skip


def parameters(work: Work) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights and biases by key."""
    found: dict[str, tuple[int, ...]] = {}
    for key, shape, geometry in layers(work):
        found[f"{key}.weight"] = shape
        found[f"{key}.bias"] = (shape[1] if "output_padding" in geometry else shape[0],)
    return found


def generator(work: Work, weights: dict[str, np.ndarray]) -> Any:
    """The ONNX model: x [N,3,H,W] -> y [N,3,H,W]."""
    helper, numpy_helper = (importlib.import_module(f"onnx.{name}") for name in ("helper", "numpy_helper"))
    constants = dict(weights)
    nodes: list[Any] = []

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"t{len(nodes)}"], **attributes))
        return f"t{len(nodes) - 1}"

    def convolution(x: str, key: str, geometry: dict[str, Any]) -> str:
        if pad := geometry.get("reflect"):
            constants[f"pad{pad}"] = np.array([0, 0, pad, pad, 0, 0, pad, pad], np.int64)
            return node("Conv", node("Pad", x, f"pad{pad}", mode="reflect"), f"{key}.weight", f"{key}.bias")
        kind = "ConvTranspose" if "output_padding" in geometry else "Conv"
        return node(kind, x, f"{key}.weight", f"{key}.bias", pads=[1, 1, 1, 1], **geometry)

    def norm(x: str, channels: int) -> str:
        constants[f"ones{channels}"] = np.ones(channels, np.float32)
        constants[f"zeros{channels}"] = np.zeros(channels, np.float32)
        return node("InstanceNormalization", x, f"ones{channels}", f"zeros{channels}", epsilon=1e-5)

    x = skip = "x"
    *inner, (head, _, head_geometry) = layers(work)
    for key, _, geometry in inner:
        if key.endswith("conv_block.1"):
            skip = x
        x = norm(convolution(x, key, geometry), len(weights[f"{key}.bias"]))
        x = node("Add", skip, x) if key.endswith("conv_block.5") else node("Relu", x)
    y = node("Tanh", convolution(x, head, head_geometry))

    shape = [work.batch, 3, work.size, work.size]
    helper_float = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
    graph = helper.make_graph(
        nodes, "generator", [helper.make_tensor_value_info("x", helper_float, shape)],
        [helper.make_tensor_value_info(y, helper_float, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
