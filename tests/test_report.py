"""report.html is whole, safe, and says what the records say."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from train.config.settings import PRESETS, Config
from train.models.quantities import quantities
from train.report.charts import draw, envelope, smooth
from train.report.doctor import RULES, Finding
from train.report.page import write_report
from train.report.summary import POINTS, Curve

CONFIG = dataclasses.asdict(Config().replace(**PRESETS["tiny"], name="stripes"))
SCORES = {
    "A → B": {
        "model": {"l1": 0.0912, "ssim": 0.7, "psnr": 18.04, "retrieval": 0.95},
        "mean": {"l1": 0.08, "ssim": 0.3, "psnr": 17.0, "retrieval": 0.05},
    }
}


def records(n: int) -> list[dict[str, Any]]:
    names = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")
    rng = np.random.default_rng(0)
    rest = {"lr": 2e-4, "seconds": 0.5, "wait": 0.1, "epoch": 1}
    return [{"step": i + 1, **rest, **dict(zip(names, rng.uniform(0, 1, 8).tolist(), strict=True))} for i in range(n)]


class Page(HTMLParser):
    """Checks that every element is closed in order, and collects text, images and attributes."""

    VOID = ("meta", "input", "img", "br", "path", "use")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open, self.words, self.images, self.attributes = [], [], [], []
        self.feed(path.read_text("utf-8"))
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


def pictures(folder: Path, steps: range, size: tuple[int, int] = (40, 30)) -> list[tuple[int, Path]]:
    folder.mkdir(exist_ok=True)
    for step in steps:
        Image.new("RGB", size, (step % 256, 0, 0)).save(folder / f"{step}.png")
    return [(step, folder / f"{step}.png") for step in steps]


def test_a_finished_run(tmp_path: Path) -> None:
    path = write_report(
        tmp_path,
        records(60),
        CONFIG,
        SCORES,
        samples=pictures(tmp_path / "s", range(0, 61, 30)),
        state="finished",
        total=60,
    )
    assert path == tmp_path / "report.html"
    page = Page(path)
    assert "stripes finished step 60 of 60" in page.text
    assert "this model 0.091 0.700 18.0 95% mean image 0.080 0.300 17.0 5%" in page.text
    assert re.findall(r"<td class=best>(.*?)</td>", path.read_text("utf-8")) == ["0.700", "18.0", "95%", "0.080"]
    assert "Time spent training 30 s Speed 2 steps/s Waiting for images 20.0%" in page.text
    assert path.read_text("utf-8").count("<svg") == 6
    assert len(page.images) == 3
    assert "--continue_train" not in page.text


def test_looks_and_what_the_doctor_makes_of_them(tmp_path: Path) -> None:
    """Numbers that only every fifth step has are drawn; the doctor's findings stand above everything."""
    history = records(60)
    assert "Doctor:" not in Page(write_report(tmp_path, history, CONFIG)).text  # it has not looked yet
    for record in history[4::5]:
        record |= {"grad_G": 30.0, "grad_D": 5.0, "D_A_real": 0.8, "D_A_fake": 0.1, "luma_A": 0.5}
    page = Page(path := write_report(tmp_path, history, CONFIG))
    assert f"Doctor: nothing to report. {len(RULES)} rules looked at the last 10 looks." in page.text
    assert "Length of the gradients grad_G 30 grad_D 5" in page.text and "What D_A says D_A_real 0.8" in page.text
    assert "What D_B says" not in page.text and path.read_text("utf-8").count("<svg") == 8
    for record in history[4::5]:
        record["luma_A"] = -0.7
    page = Page(write_report(tmp_path, history, CONFIG, findings=[Finding("<new>", "", "odd", "--lr 1")]))
    assert "The doctor found <new> odd. Try --lr 1. colours inverted · A → B light becomes dark" in page.text


def test_several_ranks_have_a_table(tmp_path: Path) -> None:
    history = records(20)
    assert "Ranks" not in Page(write_report(tmp_path, history, CONFIG)).text
    for record in history[4::5]:
        record |= {"grad_G": 30.0, "ranks": [[0.25, 0.05, 0.2], [0.3, 0.0, 0.1]]}
    text = Page(write_report(tmp_path, history, CONFIG | {"batch_size": 6})).text
    assert "12 images of each domain per second" in text and "Ranks 2" in text
    assert "0 0.25 s 0.05 s 0.2 s 40% 1 0.3 s 0 s 0.1 s 25%" in text and "Rank computing" in text
    for record in history[9::5]:  # gone on with by a version that says how many images were whose
        record["ranks"] = [[0.25, 0.05, 0.2, 4.0], [0.3, 0.0, 0.1, 2.0]]
    text = Page(write_report(tmp_path, history, CONFIG | {"batch_size": 6})).text
    assert "12 images of each domain per second" in text and "Rank images of each domain computing" in text
    assert "0 4 0.25 s 0.05 s 0.2 s 40% 1 2 0.3 s 0 s 0.1 s 25%" in text


def test_the_page_follows_a_run_that_goes_on(tmp_path: Path) -> None:
    for state in ("running", "finished", "interrupted"):
        text = write_report(tmp_path, records(3), CONFIG, state=state).read_text("utf-8")
        assert ('http-equiv="refresh"' in text) == (state == "running"), state


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, records(5), CONFIG, SCORES, samples=pictures(tmp_path / "s", range(1))))
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "action", "data"):
            assert value is not None and value.startswith(("data:image/", "#")), (name, value)
    assert (
        "content",
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
    ) in page.attributes


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_an_empty_or_short_history(tmp_path: Path, n: int) -> None:
    page = Page(write_report(tmp_path, records(n), CONFIG, total=100))
    assert f"running step {n} of 100" in page.text
    assert page.text.count("Nothing to draw yet.") == (0 if n else 9)


def test_what_users_typed_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("1")</script>&'
    config = CONFIG | {"name": evil, "dataroot": evil, "checkpoints_dir": "my runs"}
    path = write_report(
        tmp_path, records(2), config, {evil: SCORES["A → B"]}, state="interrupted", total=9, command=f"go on {evil}"
    )
    assert path.read_text("utf-8").count("<script") == 1  # the page's own
    page = Page(path)
    assert page.text.count(evil) == 6  # title, heading, command, scores, and as name and dataroot in the settings


def test_the_folder_names_a_run_without_a_name(tmp_path: Path) -> None:
    assert f"A → B → A {tmp_path.name} running" in Page(write_report(tmp_path, [], CONFIG | {"name": ""})).text


def test_at_most_twelve_samples_spread_evenly(tmp_path: Path) -> None:
    path = write_report(tmp_path, records(1), CONFIG, samples=pictures(tmp_path / "s", range(0, 1000, 7)))
    steps = [
        int(s.replace(",", "")) for s in re.findall(r"<figure data-step=\"step ([\d,]+)\"", path.read_text("utf-8"))
    ]
    assert len(steps) == 12 and steps[0] == 0 and steps[-1] == 994
    assert all(abs(gap - 994 / 11) <= 7 for gap in np.diff(steps))


def test_samples_are_embedded_at_a_sensible_size(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, [], CONFIG, samples=pictures(tmp_path / "s", range(200, 201), (2200, 100))))
    (image,) = page.images
    assert (image["width"], image["height"]) == ("1100", "50")
    with Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1]))) as back:
        assert back.size == (1100, 50) and back.getpixel((5, 5)) == pytest.approx((200, 0, 0), abs=3)


def test_settings_that_differ_come_first(tmp_path: Path) -> None:
    text = Page(write_report(tmp_path, [], CONFIG)).text
    changed, same = text.split("Settings left at their default")
    assert "ngf channels of the generators' first layer 16 64" in changed
    assert "beta1" in same and "beta1" not in changed
    assert "no_flip do not mirror images at random no" in same


def test_numbers_that_were_not_finite_are_told(tmp_path: Path) -> None:
    history = records(50)
    for i in (19, 30):
        history[i]["G_B"] = None
    assert (
        "G_B was not a finite number in 2 steps, first in step 20."
        in Page(write_report(tmp_path, history, CONFIG)).text
    )
    dead = [record | {"D_A": None, "D_B": None} for record in records(3)]
    assert "D_A was not a finite number in 3 steps" in Page(write_report(tmp_path, dead, CONFIG)).text


def test_a_run_without_identity_loss_has_no_such_chart(tmp_path: Path) -> None:
    history = [{key: value for key, value in record.items() if not key.startswith("idt")} for record in records(5)]
    assert "Identity" not in Page(write_report(tmp_path, history, CONFIG)).text
    zeros = [record | {"idt_A": 0.0, "idt_B": 0.0} for record in records(5)]
    assert "Identity" not in Page(write_report(tmp_path, zeros, CONFIG)).text


@pytest.mark.parametrize(
    ("mode", "even", "undecided"), [("lsgan", 0.25, 0.25), ("vanilla", 0.693, 0.693), ("hinge", 1, 0)]
)
def test_the_texts_know_the_loss(mode: str, even: float, undecided: float) -> None:
    judges, generators = quantities(CONFIG | {"gan_mode": mode})[:2]
    assert judges[3] == even and f"{even:.2g} (dashed)" in judges[2]
    assert generators[3] == undecided


def test_the_curve_keeps_every_spike_in_few_points() -> None:
    x = np.arange(1.0, 12346)
    y = np.sin(x / 2000)
    y[6789], y[100:200] = 9, np.nan
    curve = Curve(x, y)
    raw, trend = envelope(curve), smooth(curve)
    assert len(raw[0]) == len(raw[1]) <= 2 * POINTS and len(trend[0]) == len(trend[1]) <= POINTS
    assert raw[1].max() == 9 and raw[1].min() == pytest.approx(-1, abs=1e-3)
    middle = slice(30, -30)
    assert np.abs(trend[1] - np.sin(trend[0] / 2000))[middle].max() < 0.04  # follows, without lag
    assert (curve.missing, curve.first_missing, curve.value) == (100, 101, y[-1])
    assert curve.total == pytest.approx(np.nansum(y))


@pytest.mark.parametrize("n", [1, POINTS - 1, POINTS, POINTS + 1, 2 * POINTS + 1, 5 * POINTS])
def test_a_curve_is_whole_however_long_it_is(n: int) -> None:
    """Every value is in one stretch, in order; as few values as there are points stand alone."""
    values = np.random.default_rng(n).normal(size=n)
    curve = Curve(range(n), values)
    first, last, count, total, low, high = curve.table
    assert len(count) <= POINTS and (n <= POINTS) == (curve.size == 1) and count.sum() == n
    assert first[0] == 0 and last[-1] == n - 1 and (first[1:] == last[:-1] + 1).all()
    for stretch in range(len(count)):
        part = values[int(first[stretch]) : int(last[stretch]) + 1]
        assert (low[stretch], high[stretch]) == (part.min(), part.max()) and total[stretch] == pytest.approx(part.sum())


@pytest.mark.parametrize("n", range(1, 60))
def test_smoothing_keeps_a_constant(n: int) -> None:
    x, y = smooth(Curve(range(n), [3.0] * n))
    assert x.shape == y.shape == (n,) and np.allclose(y, 3)


def test_a_chart_uses_the_pages_colours() -> None:
    svg = draw("Cycle", {"a": Curve(range(3), [1.0, np.nan, 2]), "b": Curve(range(3), [0.0, 1, 4])}, even=0.25)
    assert svg.startswith('<svg role="img" aria-label="Cycle" viewBox="0 0 ') and svg.rstrip().endswith("</svg>")
    assert "var(--first)" in svg and "var(--second)" in svg and "var(--soft)" in svg
    assert not re.search(r"#0[1-4]0[1-4]0[1-4]|<metadata|<\?xml", svg)
