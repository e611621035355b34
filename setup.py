"""What Palindrome is made of, why each dependency is here, and what is installed of it.

At run time there is no deep-learning framework: the autograd engine, the kernels and the networks are this repository.

Installed are the package `palindrome_gan` and the command `palindrome-gan`, and no other name. A wheel holds the repository's
folders below that package, renamed (palindrome_gan/rename.py). `pip install -e .` installs the package alone, which finds the
folders here.
"""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))
from palindrome_gan.rename import NAME, files, renamed

DEPENDENCIES = [
    "numpy>=2.0",  # arrays on the CPU
    "numba>=0.60",  # compiles the CPU kernels, on first use
    # Reads and writes images. 13.0 is the first without known holes: it mended writes beyond the buffer in the JPEG decoder
    # (GHSA-8g5g-8vmr-9782, critical) and reads beyond it in TIFF's (GHSA-462x-pgg6-55fp), which all before have.
    "pillow>=13.0",
    "tqdm>=4.66",  # the progress bar, with rates and time left, on any terminal
    "matplotlib>=3.8",  # the loss curves of the report; loaded only when one is drawn
]
EXTRAS = {
    # CuPy: arrays, streams and graphs on the GPU; [ctk] is the part of CUDA it loads, so that a driver is all a machine must have.
    # Triton: the language of our kernels, to be had for Linux only.
    "cuda13": [
        "cupy-cuda13x[ctk]>=14; sys_platform == 'linux'",
        "triton>=3.6,<3.10; sys_platform == 'linux'",
        "ml_dtypes>=0.4",
    ],
    "cuda12": [
        "cupy-cuda12x[ctk]>=14; sys_platform == 'linux'",
        "triton>=3.6,<3.10; sys_platform == 'linux'",
        "ml_dtypes>=0.4",
    ],
    # 16-bit *colour*, which Pillow reads with 8: libvips is the best-kept library that reads and writes PNG and TIFF whole.
    "deep": ["pyvips[binary]>=3.0"],
    # HEIC, as telephones save photos: pillow-heif is the best-kept binding of libheif (releases of this year, wheels with libheif
    # in them for all our systems), and a plugin of Pillow's: so the one place that opens pictures stays one, with its limits.
    "heic": ["pillow-heif>=1.0"],
    # Weights in two more formats: .safetensors, whose own library is small, and .onnx, checked in its own runtime.
    "exchange": ["safetensors>=0.4", "onnx>=1.17", "onnxruntime>=1.19"],
    # Several processes that train as one. mpi4py is the best-kept binding of MPI, and loads whichever is there; MPICH is the one that
    # pip installs everywhere, runs as root, and on more ranks than cores. Its mpiexec must be the only one in the environment.
    "mpi": ["mpi4py>=4.1", "mpich>=5.0; sys_platform != 'win32'"],
    "nccl": [
        "palindrome-gan[cuda13,mpi]",
        "nvidia-nccl-cu13>=2.27.7,<3; sys_platform == 'linux'",
    ],  # CuPy's wheel lacks the library
    "completion": ["argcomplete>=3.1"],  # the shell completes commands and options; it asks the programs' own parsers
    "tensorboard": ["tensorboardX>=2.6"],  # writes TensorBoard's files; needs neither TensorFlow nor PyTorch
    # The peers that benchmarks race against. All but PyTorch read our .onnx, ncnn after its own converter, pnnx.
    "bench": [
        "torch==2.13.0",
        "onnx>=1.17",
        "onnxruntime>=1.19",
        "openvino>=2026.4",
        "ncnn>=1.0.20261020",
        "pnnx>=20261020",
    ],
    # What `pytest` wants. Whatever of it is missing, the tests that need it are skipped and say so.
    "test": [
        "palindrome-gan[completion,deep,exchange,heic,tensorboard]",
        "torch==2.13.0",  # the truth every number is checked against; never imported at run time
        "pytest>=8.4",  # runs the tests
        "pytest-xdist>=3.5",  # ... on several cores: pytest -n 2
        "scipy>=1.11",  # square roots of matrices, to check the distance between domains against
        "hypothesis>=6.100",  # searches broadcasting rules for shapes that break
        "triton>=3.6,<3.10; sys_platform == 'linux'",  # runs the GPU kernels in its interpreter, and compiles them, without a GPU
        "ml_dtypes>=0.4",  # bfloat16 for NumPy: the interpreter's bf16 arrays
    ],
    # What guards main (.ci/run): the same, and
    "dev": [
        "palindrome-gan[test,mpi]",  # ranks train, crash and go on in the tests
        "nvidia-nccl-cu13>=2.27.7,<3; sys_platform == 'linux'",  # ... and so that every call of NCCL is
        "cupy-cuda13x>=14; sys_platform == 'linux'",  # imports without a GPU, so that every call of ours is checked against the real thing
        # The two libraries whose FID people quote: --fid is tested against them, with weights that the test makes.
        "torch-fidelity>=0.4",
        "clean-fid>=0.1.35",
        "torchvision",  # ... whose image transforms both take; the one that goes with torch
        "ruff>=0.6",  # formats and lints
        "mypy>=1.11",  # checks types
        "types-tqdm",  # tqdm's types, for mypy
    ],
}


class Build(build_py):
    """Copies and renames."""

    def run(self) -> None:
        if self.editable_mode:
            return super().run()
        shutil.rmtree(self.build_lib, ignore_errors=True)  # whatever an earlier build left there would be packed too
        package = Path(self.build_lib, NAME)
        for file in files(ROOT):
            (package / file).parent.mkdir(parents=True, exist_ok=True)
            text = (ROOT / file).read_text(encoding="utf-8")
            (package / file).write_text(renamed(text, str(file)) if file.suffix == ".py" else text, encoding="utf-8")
        for name in ("__init__.py", "__main__.py"):
            shutil.copy(ROOT / NAME / name, package)


if __name__ == "__main__":
    setup(packages=[NAME], install_requires=DEPENDENCIES, extras_require=EXTRAS, cmdclass={"build_py": Build})
