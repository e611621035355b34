"""The steganography probe on models made by hand, of which it is known what they hide and what their codes do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.config.settings import Config
from train.data.plain import test_samples
from train.evaluation.probe import CODES, high_frequencies, probe, rows, stored
from train.evaluation.subject import Subject
from train.probe import main
from train.report.page import write_report
from train.report.probe import BACK, END, START, renew, section
from train.report.samples import sample_grid, save_png

CONFIG = Config(builtin="colours", load_size=32, crop_size=32, device="cpu")
WEIGHTS = np.array((0.299, 0.587, 0.114), np.float32)
FAINT = 1e-4  # how strongly the hiding model writes the colours into its fake A


class Hiding:
    """Its fake A is gray, but for colours written far below what 8 bits hold; so it returns exactly."""

    def takes_code(self, direction: str) -> bool:
        return False

    def translate(self, x: np.ndarray, direction: str = "AtoB") -> np.ndarray:
        if direction == "BtoA":
            gray = (x @ WEIGHTS)[..., None] * np.ones(3, np.float32)
            return gray + FAINT * (x - gray)
        gray = (x @ WEIGHTS)[..., None]
        return np.clip(gray + (x - gray) / FAINT, -1, 1)


class Honest:
    """Its fake A is gray; a code says how to tint all of it."""

    def translate(self, x: np.ndarray, direction: str = "AtoB", z: np.ndarray | None = None) -> np.ndarray:
        gray = (x @ WEIGHTS)[..., None] * np.ones(3, np.float32)
        if direction == "BtoA" or z is None:
            return gray
        return np.clip(gray + 0.3 * np.tanh(z), -1, 1)

    def takes_code(self, direction: str) -> bool:
        return direction == "AtoB"

    def codes(self, count: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).standard_normal((count, 1, 1, 3))

    def style(self, b: np.ndarray, fake: np.ndarray) -> np.ndarray:
        return np.arctanh(np.clip((b - fake).mean((1, 2), keepdims=True) / 0.3, -0.99, 0.99))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_a_picture_of_any_channels_is_stored_as_files_would_hold_it(channels) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (1, 16, 24, channels)).astype(np.float32)
    rounded, jpeg = stored(x, 0), stored(x, 75)
    assert abs(rounded - x).max() < 1.01 / 255
    changed = [c for c in range(channels) if not np.array_equal(jpeg[..., c], rounded[..., c])]
    assert changed == ([0, 1, 2] if channels >= 3 else [0])


def test_a_hidden_message_is_lost_with_the_last_bits_and_an_open_one_is_not() -> None:
    pairs = test_samples(CONFIG, 3)
    hiding, honest = (probe(model, CONFIG, pairs) for model in (Hiding(), Honest()))
    error = hiding["|B - back|"]
    assert error["noise 0"] < 0.1
    assert min(error[name] for name in ("noise 0.1", "8 bit", "JPEG 95")) > 5
    error = honest["|B - back|"]
    assert max(error.values()) < error["noise 0"] + 5 and error["8 bit"] == pytest.approx(error["noise 0"], abs=0.5)
    assert hiding["variety"]["of real A"] == 0 and honest["variety"]["of real A"] > 5
    kept = hiding["hues kept"]
    assert min(kept["animal"], kept["ground"]) > 0.999 and max(kept["animal, JPEG 75"], kept["ground, noise 5"]) < 0.9
    assert max(np.abs([honest["hues kept"][part] for part in ("animal", "ground")])) < 0.9
    true = honest["true pairs"]
    assert true["off, its code"] < true["off, another code"] - 5 and "true pairs" not in hiding
    assert true["ground, its code"] > 0.95 and true["ground, another code"] < 0.5  # the ground is most of the picture
    assert min(honest["hues"].values()) > 0.2  # of animal and ground, over codes and in the true Bs


class TwoSided(Honest):
    """A code of A, where there are such, says how bright its fake A is."""

    def __init__(self, both: bool = True) -> None:
        self.both = both

    def takes_code(self, direction: str) -> bool:
        return self.both or super().takes_code(direction)

    def translate(self, x: np.ndarray, direction: str = "AtoB", z: np.ndarray | None = None) -> np.ndarray:
        made = super().translate(x, direction, z)
        return made if direction == "AtoB" or z is None else 0.5 * made + 0.3 * np.tanh(z[..., :1])


def test_codes_of_a_are_probed_where_there_are_some() -> None:
    pairs = test_samples(CONFIG, 2)
    one, two = (probe(TwoSided(both), CONFIG, pairs)["variety"] for both in (False, True))
    values = 0.3 * np.tanh(TwoSided().codes(CODES, seed=2)[:, 0, 0, 0])
    wanted = np.mean([abs(a - b) for i, a in enumerate(values) for b in values[:i]]) * 127.5
    assert two.pop("of real B, codes of A") == pytest.approx(wanted, rel=1e-3) and one == two


def test_the_report_has_the_probe_as_it_was_last_found(tmp_path: Path) -> None:
    pairs = test_samples(CONFIG, 1)
    history = [{"step": step, "cycle_A": 1.0} for step in (1, 2)]
    report = write_report(tmp_path, history, CONFIG.as_dict())
    assert "hide anything" not in report.read_text()
    for step, model in ((2, Honest()), (9, Hiding())):
        figures = {"step": step} | probe(model, CONFIG, pairs)
        (tmp_path / "probe.json").write_text(json.dumps(figures))
        save_png(tmp_path / "probe.png", sample_grid(rows(model, pairs)))
        assert renew(tmp_path)
    page = report.read_text()
    assert page.count("hide anything") == 1 and "after step 9" in page and "noise, of 255" in page
    assert f"<th>JPEG 75</th><td>{figures['|B - back|']['JPEG 75']:.3f}</td>" in page and "hues" in page
    assert 'alt="the probe"' in page and page.index("hide anything") < page.index("<h2>Curves")
    assert write_report(tmp_path, history, CONFIG.as_dict()).read_text().count("after step 9") == 1
    (tmp_path / "probe.json").unlink()
    assert renew(tmp_path)
    assert "hide anything" not in report.read_text()
    report.write_text("of an older version: no marks")
    assert not renew(tmp_path) and report.read_text() == "of an older version: no marks"
    report.unlink()
    assert not renew(tmp_path) and not report.exists()


def test_the_command_says_whether_the_report_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = Subject(Honest(), CONFIG, "run", tmp_path / "run" / "evaluation_latest", {"step": 3})
    monkeypatch.setattr(Honest, "directions", ("AtoB", "BtoA"), raising=False)
    monkeypatch.setattr("train.probe.from_run", lambda *_: subject)
    report = tmp_path / "run" / "report.html"
    told = {}
    for name, page in (("none", None), ("old", "no marks"), ("new", f"{START}{END}")):
        report.unlink(missing_ok=True)
        if page:
            report.write_text(page)
        assert main(f"--name run --checkpoints_dir {tmp_path} --num_test 1".split()) == 0
        told[name] = capsys.readouterr().out
    assert {name: "a section of report.html" in text for name, text in told.items()} == dict(
        none=False, old=False, new=True
    )
    assert "report.html is not there" in told["none"] and "has no place for them" in told["old"]
    assert "next that is written" not in told["new"]


def test_texture_is_in_the_high_frequencies() -> None:
    x, y = np.meshgrid(np.arange(32), np.arange(32))
    slow, fast = np.sin(2 * np.pi * x / 16)[..., None], np.cos(np.pi * (x + y))[..., None]
    assert high_frequencies(slow) < 1e-9 and high_frequencies(fast) > 0.999
    assert high_frequencies(slow + fast) == pytest.approx(2 / 3, abs=1e-6)
    assert np.abs(stored(np.float32(slow[None]), 0) - slow).max() <= 1 / 255 + 1e-6


def test_what_cannot_be_probed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--name", "nobody", "--checkpoints_dir", str(tmp_path)]) == 2
    assert "holds no run yet" in capsys.readouterr().err
    assert main(["--name", "x", "--num_test", "0"]) == 2 and "wanted at least 1" in capsys.readouterr().err


def test_a_probe_of_strangers_puts_nothing_but_numbers_into_the_report(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    sound = {"step": 3, "images": 2, BACK: {"noise 0": 1.0, "noise 5": 2.0, evil: 3.0}, "texture": {evil: 0.5}}
    wrong: list[Any] = [
        {"step": evil},
        {"images": evil},
        {BACK: {"noise 0": evil}},
        {"texture": {"real A": evil}},
        {BACK: []},
    ]
    wrong += [{"texture": 3}, {"step": None}, {BACK: {f"noise {evil}": 1.0}}, {"step": 1e400}]
    for changes in ({}, *wrong):
        (tmp_path / "probe.json").write_text(json.dumps(sound | changes))
        words = section(tmp_path)
        assert evil not in words and words.startswith(START) and words.endswith(END)
        assert ("cannot be read" in words) == bool(changes), changes
    for text in ("[]", "{}", "", "[" * 10**5, "\udcff"):
        (tmp_path / "probe.json").write_bytes(text.encode(errors="surrogateescape"))
        assert "cannot be read" in section(tmp_path)
