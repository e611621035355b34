"""The generator in runtimes that read our .onnx: onnxruntime, OpenVINO, and ncnn after its own converter. `pip install -e ".[bench]"`

The file is written once, before any of them starts, so that neither their memory nor the time to their first picture holds
anything of ours. All compute in float32, with as many threads as OMP_NUM_THREADS says or they choose.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import cores
from benchmarks.providers import RUNTIMES, Work
from benchmarks.worker import Result

MODEL = "generator.onnx"


@contextlib.contextmanager
def written(work: Work, contestants: Collection[str]) -> Iterator[Work]:
    """`work` with a folder of the files that those among the contestants read who read any, as far as they can be made here."""
    if not RUNTIMES.keys() & set(contestants):
        yield work
        return
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(ModuleNotFoundError):  # then each says so in its row
            write(work, Path(folder, MODEL))
            if "ncnn" in contestants:
                convert(work, Path(folder))
        yield dataclasses.replace(work, folder=folder)


def write(work: Work, file: Path) -> None:
    """The generator with the weights that all contestants share. ModuleNotFoundError without onnx."""
    from nn import ResnetGenerator
    from train.weights.onnx_graph import onnx_model

    network = ResnetGenerator(ngf=work.ngf, n_blocks=work.n_blocks)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    network.load_state_dict(work.weights("gen_ab", shapes))
    file.write_bytes(onnx_model(network).SerializeToString())


def convert(work: Work, folder: Path) -> None:
    """generator.ncnn.param and .bin beside the model, by ncnn's converter of ONNX. ModuleNotFoundError without pnnx."""
    program = importlib.import_module("pnnx").EXEC_PATH
    shape = f"[{work.batch},3,{work.size},{work.size}]f32"
    command = [program, MODEL, f"inputshape={shape}", "fp16=0"]  # else it keeps weights in half precision
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


class Runtime:
    """The generator's forward by a runtime of others on the CPU. `start` reads the file that is there."""

    needs: tuple[str, ...]
    file = MODEL

    def __init__(self, work: Work) -> None:
        if work.device != "cpu":
            raise RuntimeError(f"{self.needs[0]} is compared on the CPU only")
        self.work, self.threads = work, int(os.environ.get("OMP_NUM_THREADS", "0"))  # 0: its own choice
        for name in self.needs:
            if importlib.util.find_spec(name) is None:
                raise RuntimeError(f'{name} is not installed: pip install -e ".[bench]"')
        self.start(importlib.import_module(self.needs[0]), str(Path(work.folder, self.file)))

    def start(self, library: Any, file: str) -> None:
        raise NotImplementedError

    def load(self) -> None:
        """The weights are in the file."""

    def inputs(self, key: int) -> Any:
        return np.ascontiguousarray(self.work.pictures(key)[0].transpose(0, 3, 1, 2))

    def result(self, output: Any) -> Result:
        return {"y": np.ascontiguousarray(output.transpose(0, 2, 3, 1))}


class OnnxTranslates(Runtime):
    """In onnxruntime, with its default settings."""

    needs = ("onnxruntime", "onnx")

    def start(self, library: Any, file: str) -> None:
        options = library.SessionOptions()
        for name, size in (("N", self.work.batch), ("H", self.work.size), ("W", self.work.size)):
            options.add_free_dimension_override_by_name(name, size)  # the sizes are known here: it may plan with them
        options.intra_op_num_threads = self.threads
        self.run_graph = library.InferenceSession(file, options).run

    def run(self, inputs: Any) -> Any:
        return self.run_graph(None, {"x": inputs})[0]


class OpenVinoTranslates(Runtime):
    """In OpenVINO, for the least time of one picture."""

    needs = ("openvino", "onnx")

    def start(self, library: Any, file: str) -> None:
        core = library.Core()
        model = core.read_model(file)
        model.reshape([self.work.batch, 3, self.work.size, self.work.size])
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }  # its own precision may be bfloat16
        if self.threads:
            settings["INFERENCE_NUM_THREADS"] = str(self.threads)
        self.request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(self, inputs: Any) -> Any:
        return self.request.infer([inputs], share_inputs=True)[0]


class NcnnTranslates(Runtime):
    """In ncnn, picture by picture; with Winograd, as it chooses."""

    needs = ("ncnn", "pnnx", "onnx")
    file = "generator.ncnn.param"

    def start(self, library: Any, file: str) -> None:
        self.library, self.network = library, library.Net()
        options = self.network.opt
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.num_threads = self.threads or cores()
        self.network.load_param(file)
        self.network.load_model(file.replace(".param", ".bin"))

    def run(self, inputs: Any) -> Any:
        return np.stack([self.picture(x) for x in inputs])

    def picture(self, x: np.ndarray) -> np.ndarray:
        """[C,H,W] -> [K,H,W]"""
        extractor = self.network.create_extractor()
        extractor.input("in0", self.library.Mat(x))
        return np.array(extractor.extract("out0")[1])
