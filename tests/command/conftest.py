"""Where commands are typed: an empty folder, and a data root."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command.typed import picture
from train.run import display


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, and without reports, which have tests of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sound data root: 3 images of A, 2 of B, no test folders."""
    for name in ("trainA/a0.png", "trainA/a1.png", "trainA/a2.png", "trainB/b0.png", "trainB/b1.png"):
        picture(tmp_path / "data" / name)
    return tmp_path / "data"
