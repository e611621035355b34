"""The prediction held against other people's kernels: what they published, and what the model says from shapes alone.

`python -m benchmarks measured` prints the table that docs/gpu.md shows. A row's source states shape, numbers and GPU; below
10 us there are none, for there whoever times a launch measures the launch. Where a source also tells what its smallest case
takes, that much is counted for launching, else one gap, as in our own steps.

Of a product the tile is the source's where it tells; else the fastest of TILES, as if the library chose by this model, with
pairs of programs that share an operand from Hopper on. Nobody's machine code is at hand: instructions are taken to be
hidden, and one program to a multiprocessor to be resident, two of up to 128x128. Whatever else moves memory is taken for
as many programs as it has pieces of 16 KB, eight resident, each array moved once.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

from benchmarks import table
from benchmarks.gpus import GPUS
from benchmarks.prediction import GAP, TERMS, Demand, Prediction, predict

TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64))
STEP = 128  # bytes of a step along the reduction
ITEMSIZE = {"bf16": 2, "fp16": 2, "tf32": 4}


@dataclass(frozen=True)
class Measured:
    """One measurement of somebody else's, in seconds, and what the model is asked: of several demands the quickest."""

    source: str
    what: str
    shape: str
    gpu: str
    seconds: float
    launch: float  # s, counted for launching
    demands: tuple[Demand, ...]

    def prediction(self, without: str = "") -> Prediction:
        return min((predict(GPUS[self.gpu], demand, without) for demand in self.demands), key=lambda p: p.seconds)

    def ratio(self, without: str = "") -> float:
        """Predicted by measured: above 1 the model is pessimistic, below it is optimistic."""
        return (self.prediction(without).seconds + self.launch) / self.seconds


@dataclass(frozen=True)
class Source:
    """Who published it, and the seconds that launching takes there."""

    name: str
    launch: float = GAP

    def product(
        self, what: str, gpu: str, dtype: str, shape: tuple[int, int, int], tera: float, tile: tuple[int, int] | None = None, *,
        batch: int = 1, out: int = 0, cluster: int = 1, resident: int = 0,
    ) -> Measured:  # fmt: skip
        """[M,K] @ [K,N], `batch` times, at so many TFLOP/s. `out`: bytes of a result."""
        M, N, K = shape
        words = f"{dtype} {f'{batch} of ' if batch > 1 else ''}{M}x{N}x{K}" + (
            f" by {tile[0]}x{tile[1]}" if tile else ""
        )
        operands = batch * (M + N) * K * ITEMSIZE[dtype]
        demands = by_tiles(
            gpu, dtype, shape, operands, tile=tile, batch=batch, out=out, cluster=cluster, resident=resident
        )
        seconds = 2.0 * batch * M * N * K / (tera * 1e12)
        return Measured(self.name, what, words, gpu, seconds, self.launch, demands)

    def convolution(
        self, gpu: str, size: int, C: int, K: int, R: int, tera: float, stride: int = 1, depth: int = 1, what: str = "TileLang"
    ) -> Measured:  # fmt: skip
        """One picture [depth,size,size,C] in fp16, padded to the same size, with K filters of RxR (RxRxR where it has depth)."""
        taps, pixels = R ** (3 if depth > 1 else 2), depth * (size // stride) ** 2
        shape = (pixels, K, taps * C)
        words = f"fp16 {f'{depth}x' if depth > 1 else ''}{size}x{size}x{C} to {K}, {'x'.join([str(R)] * (3 if depth > 1 else 2))}"
        words += ", stride 2" if stride > 1 else ""
        operands = 2 * (depth * size * size * C + taps * C * K)
        seconds = 2.0 * math.prod(shape) / (tera * 1e12)
        return Measured(
            self.name, f"convolution, {what}", words, gpu, seconds, self.launch, by_tiles(gpu, "fp16", shape, operands)
        )

    def memory(self, what: str, shape: str, gpu: str, nbytes: float, microseconds: float) -> Measured:
        """Whatever reads and writes so many bytes in all."""
        demand = Demand(math.ceil(nbytes / 16384), dram=nbytes, l2=nbytes, resident=8, far=2)
        return Measured(self.name, what, shape, gpu, microseconds * 1e-6, self.launch, (demand,))


def by_tiles(
    gpu: str, dtype: str, shape: tuple[int, int, int], operands: int, *,
    tile: tuple[int, int] | None = None, batch: int = 1, out: int = 0, cluster: int = 1, resident: int = 0,
) -> tuple[Demand, ...]:  # fmt: skip
    """A product as cut into `tile`, or into each of TILES. `operands`: their bytes; `cluster`: programs that share the columns'."""
    (M, N, K), size = shape, ITEMSIZE[dtype]
    cluster = cluster if tile or gpu == "A100" else 2
    steps, written = math.ceil(K * size / STEP), batch * M * N * (out or size)
    demands = []
    for BM, BN in [tile] if tile else TILES:
        programs = batch * math.ceil(M / BM) * math.ceil(N / BN)
        demands.append(
            Demand(
                programs,
                dram=operands + written,
                l2=programs * steps * STEP * (BM + BN / cluster) + written,
                flops=2.0 * programs * BM * BN * steps * STEP / size,
                products="tf32" if dtype == "tf32" else "bf16",
                resident=resident or (2 if BM * BN <= 128 * 128 else 1),
                far=2,
            )
        )
    return tuple(demands)


FAST = Source("pranjalssh/fast.cu, README")
STUDY = Source("ahmadsharif1/cuda_study, README")
TRITON = Source("triton-lang/triton#2339")
SHORT = Source("triton-lang/triton#5726")
AZURE = Source("samuel-bohman/AI-benchmarking-guide, ND A100 v4")
BATCHED = Source("tile-ai/TileOPs#2148", 3.2e-6)  # 8 of 128x128x128
CONVOLVED = Source("tile-ai/TileOPs#656", 7.9e-6)  # 112x112x3 to 64, 3x3, stride 2
CUDNN = Source("tile-ai/TileOPs#1998")
ADDED = Source("triton-lang/triton#3894", 7.6e-6)  # 4096 numbers
LIGER, LIGER_B200 = (Source("linkedin/Liger-Kernel#1462", one) for one in (6.08e-6, 6.43e-6))  # 1x4096
NORMS = Source("pytorch/pytorch#159682")

ROWS = (
    FAST.product("kernel 4, one tile a program", "H100", "bf16", (8192, 8192, 8192), 635.4, (192, 192)),
    FAST.product("kernel 6, persistent", "H100", "bf16", (8192, 8192, 8192), 777.5, (192, 192)),
    FAST.product("kernel 7, pairs share an operand", "H100", "bf16", (8192, 8192, 8192), 799.1, (128, 256), cluster=2),
    FAST.product("cuBLAS", "H100", "bf16", (8192, 8192, 8192), 797.8),
    FAST.product("kernel 4, one tile a program", "H100", "bf16", (6144, 6144, 6144), 651.2, (192, 192)),
    FAST.product("kernel 6, persistent", "H100", "bf16", (6144, 6144, 6144), 766.3, (192, 192)),
    FAST.product("kernel 7, pairs share an operand", "H100", "bf16", (6144, 6144, 6144), 774.4, (128, 256), cluster=2),
    FAST.product("cuBLAS", "H100", "bf16", (6144, 6144, 6144), 741.1),
    FAST.product("cuBLAS", "H100", "bf16", (4096, 4096, 4096), 716),
    FAST.memory("sum", "int32 2^30", "H100", 4 * 2**30, 1325.56),
    STUDY.product("wgmma, cp.async", "H100", "tf32", (4096, 8192, 16384), 244.3, (128, 128)),
    STUDY.product("wgmma, TMA", "H100", "tf32", (4096, 8192, 16384), 238.2, (128, 128)),
    STUDY.product("wgmma, TMA", "H100", "tf32", (4096, 8192, 16384), 300.9, (128, 256)),
    STUDY.product("cuBLAS", "H100", "tf32", (4096, 8192, 16384), 319.7),
    STUDY.memory("copy", "fp32 256 MB", "H100", 2 * 256e6, 2 * 256e6 / 2.034e6),
    STUDY.memory("transpose", "fp32 32768x32768", "H100", 8 * 32768**2, 4510),
    TRITON.product("Triton, no TMA", "H100", "fp16", (2048, 1024, 1024), 206.8, (128, 128), out=4, resident=1),
    TRITON.product("Triton, no TMA", "H100", "fp16", (2048, 2048, 2048), 295.1, (128, 128), out=4, resident=1),
    TRITON.product("Triton, no TMA", "H100", "fp16", (2048, 4096, 4096), 346.3, (128, 128), out=4, resident=1),
    TRITON.product("Triton, no TMA", "H100", "fp16", (2048, 8192, 8192), 369.8, (128, 128), out=4, resident=1),
    TRITON.product("cuBLAS", "H100", "fp16", (2048, 1024, 1024), 243.1),
    TRITON.product("cuBLAS", "H100", "fp16", (2048, 2048, 2048), 515.2),
    TRITON.product("cuBLAS", "H100", "fp16", (2048, 4096, 4096), 613.7),
    TRITON.product("cuBLAS", "H100", "fp16", (2048, 8192, 8192), 721.6),
    SHORT.product("Triton, no TMA", "H100", "fp16", (8192, 8192, 512), 217.5, (128, 256)),
    SHORT.product("cuBLAS", "H100", "fp16", (8192, 8192, 512), 285.4, (128, 128)),
    AZURE.product("cuBLASLt", "A100", "fp16", (1024, 1024, 1024), 119.4),
    AZURE.product("cuBLASLt", "A100", "fp16", (2048, 2048, 2048), 221.8),
    AZURE.product("cuBLASLt", "A100", "fp16", (4096, 4096, 4096), 228.0),
    AZURE.product("cuBLASLt", "A100", "fp16", (8192, 8192, 8192), 253.7),
    AZURE.product("cuBLASLt", "A100", "fp16", (16384, 16384, 16384), 256.5),
    BATCHED.product("cuBLAS", "H200", "bf16", (1024, 1024, 1024), 559.6, batch=8),
    BATCHED.product("cuBLAS", "H200", "bf16", (512, 512, 512), 360.9, batch=16),
    CONVOLVED.convolution("H200", 112, 256, 512, 3, 458.53),
    CONVOLVED.convolution("H200", 56, 64, 128, 5, 96.25),
    CONVOLVED.convolution("H200", 56, 128, 256, 3, 37.53, stride=2),
    CONVOLVED.convolution("H200", 56, 128, 256, 5, 54.91, stride=2),
    CUDNN.convolution("H200", 16, 256, 256, 3, 290, depth=8, what="cuDNN"),
    ADDED.memory("x + y", "fp32 2^22", "A100", 12 * 2**22, 12 * 2**22 / 1.2062e6),
    ADDED.memory("x + y", "fp32 2^24", "A100", 12 * 2**24, 12 * 2**24 / 1.5466e6),
    ADDED.memory("x + y", "fp32 2^27", "A100", 12 * 2**27, 12 * 2**27 / 1.6828e6),
    LIGER.memory("RMS norm", "bf16 8192x4096", "H100", 4 * 8192 * 4096, 51.968),
    LIGER.memory("RMS norm", "bf16 2048x8192", "H100", 4 * 2048 * 8192, 29.504),
    LIGER.memory("add and RMS norm", "bf16 2048x8192", "H100", 8 * 2048 * 8192, 50.720),
    LIGER_B200.memory("RMS norm", "bf16 8192x4096", "B200", 4 * 8192 * 4096, 28.992),
    NORMS.memory("RMS norm, cuDNN", "fp16 65536x4096", "B200", 4 * 65536 * 4096, 158),
    NORMS.memory("RMS norm, cuDNN", "fp16 65536x2048", "B200", 4 * 65536 * 2048, 83),
    NORMS.memory("RMS norm, cuDNN", "fp16 32768x4096", "B200", 4 * 32768 * 4096, 86),
    NORMS.memory("RMS norm, cuDNN", "fp16 16384x4096", "B200", 4 * 16384 * 4096, 47),
)


def rendered() -> str:
    """The table, in Markdown, and how far off the predictions are."""
    head = ["what", "shape", "GPU", "measured µs", "predicted µs", "ratio", "decided by", "source"]
    lines = []
    for row in ROWS:
        predicted, ratio = row.prediction(), row.ratio()
        times = [f"{row.seconds * 1e6:.1f}", f"{ratio * row.seconds * 1e6:.1f}", f"{ratio:.2f}"]
        lines.append([row.what, row.shape, row.gpu, *times, predicted.binds, row.source])
    ratios = sorted(row.ratio() for row in ROWS)
    near = [sum(1 / (1 + share) <= ratio <= 1 + share for ratio in ratios) for share in (0.15, 0.3)]
    return table.render(head, lines) + (
        f"\n\nOf {len(ratios)} predictions {near[0]} are within 15 % and {near[1]} within 30 %; ratios {ratios[0]:.2f} to "
        f"{ratios[-1]:.2f}, half of them between {ratios[len(ratios) // 4]:.2f} and {ratios[-len(ratios) // 4]:.2f}."
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks measured`."""
    parser.add_argument(
        "--without", choices=TERMS, default="", help="a simpler model's ratios, that leaves this term out"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table; or, without a term, the rows that it decides."""
    if not args.without:
        print(rendered())
        return 0
    lines = [
        [row.what, row.shape, row.gpu, f"{row.ratio():.2f}", f"{row.ratio(args.without):.2f}"]
        for row in ROWS
        if row.prediction().binds == args.without
    ]
    print(table.render(["what", "shape", "GPU", "ratio", f"ratio without {args.without}"], lines))
    return 0
