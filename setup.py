"""What Palindrome is made of, and why each dependency is here.

At run time there is no deep-learning framework: the autograd engine, the kernels and the networks are this repository.
"""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="palindrome",
    version="0.1.0",
    description="CycleGAN from the metal up: own autograd, own kernels, own networks, checked against PyTorch",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["autograd*", "benchmarks", "kernels*", "nn", "train*"]),
    package_data={"train.inference": ["*.html"], "train.report": ["*.html"]},
    install_requires=[
        "numpy>=2.0",  # arrays on the CPU
        "numba>=0.60",  # compiles the CPU kernels, on first use
        "pillow>=10.1",  # reads and writes images; 10.1 brought the scalable font that labels sample grids
        "tqdm>=4.66",  # the progress bar, with rates and time left, on any terminal
        "matplotlib>=3.8",  # the loss curves of the report; loaded only when one is drawn
    ],
    extras_require={
        "test": [
            "torch==2.13.0",  # the truth every number is checked against; never imported at run time
            "pytest>=8",  # runs the tests
            "pytest-xdist>=3.5",  # ... on several cores: pytest -n 2
            "scipy>=1.11",  # square roots of matrices, to check the distance between domains against
            "hypothesis>=6.100",  # searches broadcasting rules for shapes that break
            "ruff>=0.6",  # formats and lints
            "mypy>=1.11",  # checks types
            "types-tqdm",  # tqdm's types, for mypy
            "triton>=3.6,<3.10",  # runs the GPU kernels in its interpreter, and compiles them, without a GPU
            "tensorboardX>=2.6",  # --tensorboard
            "ml_dtypes>=0.4",  # bfloat16 for NumPy: the interpreter's bf16 arrays
            "pyvips[binary]>=3.0",  # 16-bit colour
            "safetensors>=0.4",
            "onnx>=1.16",
            "onnxruntime>=1.18",  # what exported weights are read back with
            "cupy-cuda13x>=14",  # imports without a GPU, so that every call of ours is checked against the real thing
        ],
        # Weights in two more formats: .safetensors, whose own library is small, and .onnx, checked in its own runtime.
        # 16-bit *colour*, which Pillow reads with 8: libvips is the best-kept library that reads and writes PNG and TIFF whole.
        "deep": ["pyvips[binary]>=3.0"],
        "exchange": ["safetensors>=0.4", "onnx>=1.16", "onnxruntime>=1.18"],
        "bench": ["torch==2.13.0", "onnx>=1.16", "onnxruntime>=1.18"],  # the peers that benchmarks race against
        "tensorboard": ["tensorboardX>=2.6"],  # writes TensorBoard's files; needs neither TensorFlow nor PyTorch
        # CuPy: arrays, streams and graphs on the GPU. Triton: the language of our kernels.
        "cuda13": ["cupy-cuda13x>=14", "triton>=3.6,<3.10", "ml_dtypes>=0.4"],
        "cuda12": ["cupy-cuda12x>=14", "triton>=3.6,<3.10", "ml_dtypes>=0.4"],
    },
)
