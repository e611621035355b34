"""The generator in onnxruntime, from the graph that `train/weights/onnx_graph.py` writes. Needs `pip install -e ".[bench]"`."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from benchmarks.providers import Work
from benchmarks.worker import Result
from nn import ResnetGenerator
from train.weights.onnx_graph import onnx_model


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
        self.network = ResnetGenerator(ngf=work.ngf, n_blocks=work.n_blocks)
        self.session()

    def session(self) -> None:
        options = self.runtime.SessionOptions()
        for name, size in (("N", self.work.batch), ("H", self.work.size), ("W", self.work.size)):
            options.add_free_dimension_override_by_name(name, size)  # the sizes are known here: it may plan with them
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))  # 0: its own choice
        self.run_graph = self.runtime.InferenceSession(onnx_model(self.network).SerializeToString(), options).run

    def load(self) -> None:
        shapes = {key: value.shape for key, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.work.weights("gen_ab", shapes))
        self.session()

    def inputs(self, key: int) -> Any:
        return {"x": np.ascontiguousarray(self.work.pictures(key)[0].transpose(0, 3, 1, 2))}

    def run(self, inputs: Any) -> Any:
        return self.run_graph(None, inputs)[0]

    def result(self, output: Any) -> Result:
        return {"y": np.ascontiguousarray(output.transpose(0, 2, 3, 1))}
