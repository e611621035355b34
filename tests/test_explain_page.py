"""The page of the opened step in a real browser: by mouse, finger and keys, on a phone and on a desk, in light and dark."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser import Browser
from tests.test_explain import SMALL, pictures, trained
from tests.test_report_page import DESK, PHONE, luminance
from train.evaluation.explained_step import Explained, explain
from train.evaluation.opening_step import Subject
from train.report.explain import figures, patches
from train.report.explain import page as report

ROOT = Path(__file__).parents[1]
SAID = "document.querySelector('.patches .said').innerText"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]], Explained]:
    """The address of a page, what its script knows of the maps, and the step."""
    a, b = pictures(100)
    model = trained(3, n_blocks=2)
    opened = Subject(model, a, b, ("<a>.png", "b.png"), "a <run>", 3)
    step = explain(model, a, b)
    path = report.write_page(tmp_path_factory.mktemp("explained"), opened, step)
    return path.as_uri(), patches.data(step), step


def show(browser: Browser, address: str, width: int) -> None:
    browser.resize(width, 850)
    browser.open(address)
    browser.wait_for(f"{SAID}.includes('Score')")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_layout_holds_folded_and_open(browser: Browser, made: Any, width: int) -> None:
    show(browser, made[0], width)
    assert browser.run("innerWidth") == width
    for action in ("", "document.querySelectorAll('details').forEach(d => d.open = true)"):
        browser.run(action)
        assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        wide = browser.run("[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('svg')).map(e => e.outerHTML.slice(0, 80))")  # fmt: skip
        assert wide == []
    assert "<run>" in browser.run("document.querySelector('h1').innerText")
    blank = browser.run("[...document.querySelectorAll('.pic')].filter(p => getComputedStyle(p).backgroundImage == 'none' || !p.getBoundingClientRect().width).length")  # fmt: skip
    assert blank == 0 and browser.run("document.querySelectorAll('.pic').length") > 60
    assert browser.complaints() == []


def test_a_score_is_chosen_by_mouse_finger_and_keys(browser: Browser, made: Any) -> None:
    """And what is said of it is what was measured."""
    show(browser, made[0], PHONE)
    m = made[1][0]
    browser.run("document.querySelector('.view').scrollIntoView({block: 'start'})")
    box = browser.run("(({x, y, width, height}) => [x, y, width, height])(document.querySelector('.view').getBoundingClientRect())")  # fmt: skip

    def wanted(row: int, column: int) -> str:
        i, j = m["rows"][row], m["columns"][column]
        share = 100 * m["outside"][row * len(m["columns"]) + column]
        return f"Score ({i}, {j}) of {len(m['before'])}×{len(m['before'][0])}", f"{share:.1f} % of its gradient"

    def said(row: int, column: int) -> bool:
        return all(words in browser.run(SAID) for words in wanted(row, column))

    def place(row: int, column: int) -> tuple[float, float]:
        """Where the centre of its box is on the screen."""
        centre = [m["start"] + k * m["step"] + m["size"] / 2 for k in (m["rows"][row], m["columns"][column])]
        return box[0] + centre[1] / m["width"] * box[2], box[1] + centre[0] / m["height"] * box[3]

    middle = len(m["rows"]) // 2
    assert said(middle, middle)
    x, y = place(4, 6)
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert said(4, 6)
    x, y = place(7, 5)
    browser.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    browser.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert said(7, 5)
    browser.run("document.querySelector('.view').focus({preventScroll: true})")
    for key, at in (("ArrowLeft", (7, 4)), ("ArrowUp", (6, 4)), ("ArrowRight", (6, 5)), ("ArrowDown", (7, 5))):
        browser.ask("Input.dispatchKeyEvent", type="keyDown", key=key, code=key)
        browser.ask("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)
        assert said(*at), key
    assert browser.run("document.activeElement.className") == "view"

    before, after = m["before"][m["rows"][7]][m["columns"][5]], m["after"][m["rows"][7]][m["columns"][5]]
    assert f"{before:.2f} before the step, {after:.2f} after it" in browser.run(SAID).replace("\n", " ")
    browser.run("[...document.querySelectorAll('.patches .tabs button')][1].click()")
    m = made[1][1]
    assert said(middle, middle)
    assert browser.complaints() == []


def test_what_is_lit_is_where_the_gradient_is(browser: Browser, made: Any) -> None:
    """Pixels of the canvas against the measured map: the lightest of equal pixels where it is largest."""
    show(browser, made[0], DESK)
    lit = np.array(browser.run("""(() => {
        const canvas = document.querySelector('.view'), data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return [...Array(32 * 32).keys()].map(k => data[4 * ((Math.floor(k / 32) * 15 + 7) * canvas.width + (k % 32) * 15 + 7)]);
    })()""")).reshape(32, 32)  # fmt: skip
    m = made[1][0]
    middle, field = len(m["rows"]) // 2, (m["start"] + m["rows"][len(m["rows"]) // 2] * m["step"], m["size"])
    assert middle > 0
    inside = lit[field[0] + 3 : field[0] + field[1] - 3, field[0] + 3 : field[0] + field[1] - 3].mean()
    corners = np.mean([lit[:4, :4].mean(), lit[-4:, -4:].mean(), lit[:4, -4:].mean(), lit[-4:, :4].mean()])
    assert inside > 1.5 * corners


def test_all_scores_lie_over_the_picture(browser: Browser, made: Any) -> None:
    """Each in its colour, blue below the middle and orange above, around the middle of what it sees; before and after."""
    show(browser, made[0], DESK)
    m, picture = made[1][3], figures.picture(made[2].before.pictures["F(b)"])
    browser.run("document.querySelectorAll('.patches > .tabs button')[3].click()")
    browser.run("document.querySelectorAll('.over button')[1].click()")
    for when, button in (("before", 0), ("after", 1)):
        browser.run(f"document.querySelectorAll('.when button')[{button}].click()")
        for i, j in ((2, 3), (10, 9), (5, 10)):
            row, column = (
                m["start"] + k * m["step"] + m["size"] // 2 for k in (i, j)
            )  # a pixel beside the box's middle
            got = browser.run(f"[...document.querySelector('.view').getContext('2d').getImageData({15 * column + 7}, {15 * row + 7}, 1, 1).data]")  # fmt: skip
            tint = figures.diverging(np.array([[m[when][i][j]]]), 0.5, 1.0)[0, 0].astype(float)
            wanted = 0.45 * picture[row, column] + 0.55 * tint
            assert np.abs(np.array(got[:3]) - wanted).max() < 6, (when, i, j)


def test_the_graph_folds_by_keys_and_the_chart_is_read_out(browser: Browser, made: Any) -> None:
    show(browser, made[0], PHONE)
    shown = "[...document.querySelectorAll('.tree .line')].filter(l => l.checkVisibility()).length"
    few = browser.run(shown)
    browser.run("document.querySelectorAll('.fold button')[2].click()")
    assert browser.run(shown) > 4 * few
    browser.run("document.querySelectorAll('.fold button')[0].click()")
    assert browser.run(shown) == few
    browser.run("document.querySelector('.tree details.network > summary').focus()")
    browser.ask("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", text="\r")
    assert browser.run(shown) > few
    browser.run("document.querySelector('.depth').focus()")
    for expected in ("model.1 ", "model.4 "):
        browser.ask("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight")
        assert browser.run("document.querySelector('.depth .said').innerText").startswith(expected)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser: Browser, made: Any, scheme: str) -> None:
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    show(browser, made[0], DESK)
    style = "getComputedStyle(document.querySelector('{}')).{}"
    paper = luminance(browser.run(style.format(".card", "backgroundColor")))
    assert (paper < 0.1) == (scheme == "dark")
    terms = [f".term.{kind} > code" for kind in ("adversarial", "cycle", "identity", "real", "fake")]
    for element in (".loss > code", ".part span", ".line span", ".card .soft", ".said", *terms):
        ink = luminance(browser.run(style.format(element, "color")))
        assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 4.5, element
    browser.ask("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("settings", [{}, dict(lambda_GAN=0.0), dict(gan_mode="wgangp", lambda_identity=0.0), dict(input_nc=1, lambda_identity=0.0), dict(netD="pixel", pool_size=0)], ids=str)  # fmt: skip
def test_the_page_of_any_settings_has_no_hole(settings: dict[str, Any], tmp_path: Path) -> None:
    a, b = pictures(100)
    a = a.mean(axis=3, keepdims=True) if "input_nc" in settings else a
    model = trained(0, **settings)
    text = report.page(Subject(model, a, b, ("a", "b"), "", 0), explain(model, a, b))
    assert not re.findall(r'(?:src|href)="(?:https?:)?//|url\((?!data:)|\bnan\b|None', text)
    named = set(re.findall(r'class="pic (i[^ "]+)', text))
    assert named and all(f".{name} {{" in text for name in named)
    assert ("Score" in text) and (text.count("const maps = [{") == 1)
    assert SMALL["n_layers_D"] == 1


def test_pictures_of_numbers_arrive_as_they_are() -> None:
    """No JPEG and no lossy palette; colours say above, below and how far."""
    numbers = np.random.default_rng(0).normal(size=(40, 300))
    colours = figures.diverging(numbers, 0.5, 2.0)
    for pixels in (colours, colours[:, :, 0], figures.channels(numbers[:, :, None].repeat(9, axis=2), -1, 1)):
        data = base64.b64decode(figures.data_uri(pixels).partition(",")[2])
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG" and np.array_equal(
                np.asarray(image.convert("RGB" if pixels.ndim == 3 else "L")), pixels
            )
    red, blue = colours[..., 0].astype(int), colours[..., 2].astype(int)
    assert (red > blue)[numbers > 0.6].all() and (blue > red)[numbers < 0.4].all()
    x = np.arange(36.0).reshape(6, 6, 1)
    assert np.array_equal(figures.shrunk(x, 2)[:, :, 0], [[7, 10], [25, 28]]) and figures.shrunk(x, 6) is x


def test_the_command_writes_one_small_file_and_waits_for_no_compiler(tmp_path: Path) -> None:
    """Which would take 19 of the 22 seconds on a machine that has compiled nothing yet."""
    code = "import sys; from train.explain import main; print(main(sys.argv[1:]), 'numba' in sys.modules)"
    words = [sys.executable, "-c", code, "--output", str(tmp_path)]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "step.html" in told and told.endswith("0 False\n")
    assert [f.name for f in tmp_path.iterdir()] == ["step.html"]
    assert 1e5 < (tmp_path / "step.html").stat().st_size < 3e6
    assert "of the references in NumPy" in (tmp_path / "step.html").read_text("utf-8")
