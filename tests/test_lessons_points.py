"""The plane: its trainings, the museum's numbers, and the page that shows them, at both widths."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest

from autograd import Tensor
from kernels.dispatch import references
from lessons import points, recording
from lessons.c06_circles.dirac import end, play
from lessons.c10_real_step import experiment as real_step
from lessons.c12_museum.measure import SEEDS, apart, measured, numbers
from lessons.chapters import ROOT, chapter, page
from lessons.exhibits import LEAK, MUSEUM, NO_CYCLE, NO_DETACH, SHELF, SOUND, Exhibit
from lessons.parts import Table
from lessons.points import Change, train
from lessons.solutions.c11_diagnosis import examine
from lessons.sources import by_loss, length
from tests.browser import CHROMIUM, Browser


def test_a_training_compiles_nothing_and_is_the_same_twice():
    code = """
import sys
from lessons.points import train
first, second = (train(3, steps=20).losses for _ in range(2))
print(first == second, len(first["G_A"]), sorted({"numba", "triton", "torch", "cupy", "matplotlib"} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout.strip() == "True 20 []"


# -- the museum


@pytest.mark.parametrize("exhibit", MUSEUM, ids=lambda e: e.name)
def test_an_exhibit_stands_apart_from_every_sound_run_on_five_seeds(exhibit: Exhibit):
    runs = measured()
    assert len(runs[exhibit.name]) == len(SEEDS) == 5 and len(runs["sound"]) == 10
    assert apart(exhibit, runs[exhibit.name], runs["sound"])


@pytest.mark.parametrize("exhibit", (SOUND, *MUSEUM), ids=lambda e: e.name)
def test_the_rules_of_chapter_11_name_what_is_broken_and_nothing_else(exhibit: Exhibit):
    """Under every seed. No two exhibits of one name are told apart by them, but by looking."""
    said = [examine(run["D"], run["G"], run["round trip"]) for run in measured()[exhibit.name]]
    assert said == [exhibit.named] * len(said) and (exhibit.named != "sound") == (exhibit in MUSEUM)


@pytest.mark.parametrize("exhibit", SHELF, ids=lambda e: e.name)
def test_what_stands_on_the_shelf_does_not(exhibit: Exhibit):
    runs = measured()
    for name in ("missed by", "round trip", "D", "G"):
        for direction in ("higher", "lower"):
            assert not apart(Exhibit("", tells=name, direction=direction), runs[exhibit.name], runs["sound"])


def test_sound_runs_end_as_the_lessons_say():
    runs = measured()["sound"]
    even = [run for run in runs if 0.24 < run["D"] < 0.28 and 0.24 < run["G"] < 0.28]
    assert len(runs) == 10 and len(even) == 9 and all(run["round trip"] < 0.1 for run in runs)
    assert all(run["reached"] == 4 and run["missed by"] < 0.1 for run in even)
    assert all(run["G"] < 0.13 and run["missed by"] > 1 for run in measured()[LEAK.name])
    assert all(run["round trip"] > 0.5 for run in measured()[NO_CYCLE.name])


def test_what_was_measured_comes_out_again():
    """A sample: sound runs under two seeds that pair in opposite ways, and a broken one."""
    runs = [train(seed) for seed in (0, 4)]
    assert [run.pairing() for run in runs] == [[3, 0, 1, 2], [2, 3, 0, 1]]
    for run, before in zip(runs, (measured()["sound"][0], measured()["sound"][4]), strict=True):
        assert all(abs(value - before[name]) < 0.05 for name, value in run.numbers().items())
    assert apart(LEAK, [numbers(LEAK, 0)], measured()["sound"])


def test_one_gray_cluster_reaches_both_answers_only_with_the_cycle():
    with_cycle, without = (
        [n["rarer answer"] for n in measured()[f"one gray cluster, cycle weight {w}"]] for w in (10, 0)
    )
    assert len(with_cycle) == len(without) == 5 and min(with_cycle) > 0.3 and max(without) < 0.1


def test_a_pool_makes_the_smallest_game_circle_wider():
    assert min(end(play(pool=50, seed=seed)) for seed in range(5)) > 2 * end(play())


def test_the_first_step_on_pictures_is_ruled_by_the_cycle():
    with references():
        for seed in range(5):
            a, b = (Tensor(x) for x in real_step.pair(seed))
            found = by_loss(real_step.fresh(seed), "generators", a, b)
            size = {name: length(found[name]["gen_ab"]) for name in real_step.SOURCES}
            assert min(size["cycle_A"], size["cycle_B"]) > max(size["G_A"], size["idt_A"])


def test_history_that_is_not_cut_stops_in_the_first_step():
    with pytest.raises(RuntimeError, match="backward was already run through this graph"):
        NO_DETACH.run(0, steps=1)


@pytest.mark.parametrize("old", ["no such line", "self.adam_d"])
def test_a_change_wants_its_line_exactly_once(old):
    with pytest.raises(ValueError, match="wanted once"):
        Change(((old, ""),)).source()


def test_a_change_shows_what_it_does():
    assert Change((("self.adam_g.step()", "pass"),)).diff() == [("-", "self.adam_g.step()"), ("+", "pass")]


# -- the experiments that train, on a few steps


@pytest.mark.parametrize(
    ("number", "few"),
    [
        (4, {}),
        (5, {"seeds": (0,)}),
        (10, {"looks": (0, 1)}),
        (11, {"patients": "QU"}),
        (12, {"exhibits": (SOUND, LEAK)}),
    ],
)
def test_an_experiment_shows_its_tables(number, few, monkeypatch, tmp_path):
    monkeypatch.setattr(points, "STEPS", 4)
    monkeypatch.setattr(recording, "FRAMES", (0, 4))
    monkeypatch.setattr(points.train, "__defaults__", (0, 4))
    c = chapter(number)
    parts = c.module("experiment").show(**few)
    assert any(isinstance(part, Table) and len(part.rows) > 0 for part in parts)
    assert all(part.text() is not None for part in parts)
    assert c.question in page(c, parts, tmp_path / "page.html")


# -- the screen


@pytest.fixture(scope="module")
def film_page(tmp_path_factory):
    """Chapter 0 with two short films."""
    patch = pytest.MonkeyPatch()
    patch.setattr(recording, "FRAMES", (0, 2, 4))
    patch.setattr(points.train, "__defaults__", (0, 4))
    experiment = importlib.import_module("lessons.c00_what_it_does.experiment")
    patch.setattr(
        experiment,
        "FILMS",
        {name: experiment.FILMS[name] for name in (*list(experiment.FILMS)[:1], list(experiment.FILMS)[-1])},
    )
    file = tmp_path_factory.mktemp("film") / "page.html"
    file.write_text(page(chapter(0), experiment.show(), file), "utf-8")
    yield file
    patch.undo()


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_screen_works_with_keys_and_fits(width, film_page, tmp_path):
    with Browser(tmp_path, width=width) as browser:
        browser.open(film_page.as_uri())
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("document.querySelector('output').textContent") == "step 4"
        browser.run("document.querySelector('input[type=range]').focus()")
        for kind in ("keyDown", "keyUp"):
            browser.ask(
                "Input.dispatchKeyEvent", type=kind, key="ArrowLeft", code="ArrowLeft", windowsVirtualKeyCode=37
            )
        browser.wait_for("document.querySelector('output').textContent == 'step 2'")
        before = browser.run("document.querySelector('canvas').toDataURL()")
        browser.run("document.querySelectorAll('.films button')[1].click()")
        assert browser.run("document.querySelector('canvas').toDataURL()") != before
        assert browser.run("document.querySelectorAll('.films button')[1].getAttribute('aria-pressed')") == "true"
        browser.run("document.querySelector('.back').click()")
        browser.run("document.querySelector('.play').click()")
        browser.wait_for("document.querySelector('output').textContent == 'step 4'")
        assert browser.complaints() == []


def test_a_frame_keeps_scores_and_places():
    run = train(0, steps=0, watch=recording.frame, looks=(0,))
    frame = np.frombuffer(run.seen[0], np.int8).astype(float)
    count, grid = recording.LOOKED_AT, recording.GRID
    assert len(frame) == 8 * count + 2 * grid * grid
    there = points.apply(run.game.gen_ab, recording.points(points.A))
    assert abs(frame[: 2 * count].reshape(-1, 2) / 100 * recording.REACH - there).max() < 0.02
    corner = points.apply(run.game.disc_b, np.array([[-recording.REACH, recording.REACH]]))
    assert abs((frame[8 * count] + 60) / 120 - np.clip(corner[0, 0], -0.5, 1.5)) < 0.01
