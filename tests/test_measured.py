"""The prediction beside other people's measurements: how far off it is, and that a simpler one would be further."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import measured
from benchmarks.gpus import GPUS

RATIOS = {(row.source, row.what, row.shape, row.gpu): row.ratio() for row in measured.ROWS}
PAGE = Path(__file__).parents[1] / "docs" / "gpu.md"


def test_the_page_shows_the_table():
    assert measured.rendered() in PAGE.read_text(encoding="utf-8"), "python -m benchmarks measured"


def test_each_row_says_where_it_is_from_and_is_no_measurement_of_a_launch():
    assert len(RATIOS) == len(measured.ROWS) >= 40 and len({row.source for row in measured.ROWS}) >= 9
    assert {row.gpu for row in measured.ROWS} <= GPUS.keys()
    assert all("/" in row.source and row.seconds >= 10e-6 for row in measured.ROWS)


def test_how_far_off_it_is():
    """A change of the model that loses this is no better model; one that gains should tighten these."""
    ratios = sorted(RATIOS.values())
    assert sum(1 / 1.15 <= ratio <= 1.15 for ratio in ratios) >= 30
    assert ratios[0] > 0.4 and ratios[-1] < 1.25 and 0.9 < ratios[len(ratios) // 2] < 1.05


@pytest.mark.parametrize(
    ("without", "what", "shape", "gpu", "optimistic"),
    [
        ("l2", "wgmma, TMA", "tf32 4096x8192x16384 by 128x128", "H100", 0.65),
        ("l2", "wgmma, TMA", "tf32 4096x8192x16384 by 128x256", "H100", 0.8),
        ("l2", "Triton, no TMA", "fp16 2048x8192x8192 by 128x128", "H100", 0.5),
        ("l2", "convolution, TileLang", "fp16 112x112x256 to 512, 3x3", "H200", 0.75),
        ("tensor", "kernel 7, pairs share an operand", "bf16 8192x8192x8192 by 128x256", "H100", 0.95),
        ("tensor", "cuBLASLt", "fp16 2048x2048x2048", "A100", 0.8),
        ("dram", "x + y", "fp32 2^27", "A100", 0.4),
        ("dram", "RMS norm", "bf16 8192x4096", "H100", 0.5),
        ("latency", "cuBLASLt", "fp16 2048x2048x2048", "A100", 1.06),
    ],
)
def test_a_model_without_a_term_is_optimistic(without, what, shape, gpu, optimistic):
    (row,) = (row for row in measured.ROWS if (row.what, row.shape, row.gpu) == (what, shape, gpu))
    assert row.ratio(without) < optimistic and row.ratio(without) < row.ratio()


def test_a_last_round_counts_in_full():
    """An A100 has 108 multiprocessors: 128 tiles of 2048x2048 take as long as 216 would."""
    (row,) = (row for row in measured.ROWS if (row.what, row.shape) == ("cuBLASLt", "fp16 2048x2048x2048"))
    tensor = 2 * 2048**3 / GPUS["A100"].products["bf16"]
    assert row.prediction().seconds > 1.2 * tensor
