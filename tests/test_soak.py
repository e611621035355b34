"""A long run: its last steps take as long as its first, and no more memory."""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.cyclegan import CycleGAN
from train.data.loader import Batch, Loader
from train.files.history import History
from train.run.command import run_command

STEPS, PART = 20_000, 4_000
LINE = (
    "--preset tiny --device cpu --load_size 24 --crop_size 24 --ngf 1 --ndf 1 --n_blocks 0 --max_dataset_size 1 --name run "
    f"--watch_freq 2 --print_freq 1000 --sample_freq 5000 --save_latest_freq 2000 --n_epochs {STEPS} --n_epochs_decay 0"
)


class Idle(CycleGAN):
    """Steps of no work: what is left is the run around them. Looks at the clock and at Python's memory in between."""

    steps = 0
    clock: list[float] = []  # noqa: RUF012
    blocks: list[int] = []  # noqa: RUF012

    def step(self, a: Any, b: Any) -> dict[str, float]:
        if self.steps % PART == 0:
            gc.collect()
            self.clock.append(time.process_time())
            self.blocks.append(sys.getallocatedblocks())
        self.steps += 1
        return dict.fromkeys(self.names, 1.0 + self.steps % 7)


def test_a_long_run_is_as_fast_and_small_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((1, 24, 24, 3), np.float32)
    batch = Batch(picture, picture, ("a.png",), ("b.png",), 0, 1, ("a.png (A)",))
    monkeypatch.setattr(Loader, "iterate", lambda self, epoch, start: iter([batch]))
    monkeypatch.setattr("train.report.page.cards", lambda *args: [])
    monkeypatch.setattr("train.run.finish.paired_test", lambda *args: None)
    monkeypatch.setattr("train.run.display.REPORT_EVERY", 2)  # s
    assert run_command(Idle, [*LINE.split(), "--checkpoints_dir", str(tmp_path)]) == 0
    times = np.diff(Idle.clock)
    assert (
        len(times) == STEPS // PART - 1
        and sum(1 for _ in History(tmp_path / "run" / "metrics.jsonl").records()) == STEPS
    )
    assert times[-1] < 1.5 * times[0], times
    assert Idle.blocks[-1] - Idle.blocks[1] < STEPS - 2 * PART, Idle.blocks  # a record alone is some 50 of them
