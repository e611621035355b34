"""report.html in a real browser: at the widths of a phone and of a desk, in light and dark, while a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser
from tests.test_report import CONFIG, SCORES, pictures, records
from train.report.page import write_report

PHONE, DESK = 390, 1280  # pixels across
WHOLE = "document.readyState == 'complete' && "
FIRST = "(slider = document.querySelector('.player input'), slider.value = 0, slider.oninput(), true)"
YOUNG = WHOLE + "performance.now() < 700 && "  # so that the page is not just being left (`refresh` is a second or more)
SHOWN = WHOLE + "document.querySelector('.state').innerText.includes('{}')"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    """Writes the report of a run of so many steps, whose looks are as `luma` has it; the address."""

    def write(steps: int, luma: float = 0.5, refresh: float = 20, **more: Any) -> str:
        history = records(steps)
        for record in history[::3]:
            record |= {"grad_G": 30.0, "grad_D": 5.0, "D_A_real": 0.8, "D_A_fake": 0.1, "luma_A": luma}
        samples = pictures(tmp_path / "samples", range(0, 60, 20), (580, 400))
        path = write_report(tmp_path, history, CONFIG, samples=samples, total=100, **more)
        hasty = path.with_suffix(".new")
        hasty.write_text(path.read_text("utf-8").replace('data-refresh="20"', f'data-refresh="{refresh}"'), "utf-8")
        hasty.replace(path)  # at once: half a page would never come anew
        return path.as_uri()

    return write


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_layout_holds(page: Browser, written: Callable[..., str], width: int) -> None:
    """Nothing hangs out at the side, everything that is there can be seen, and nothing is wrong in the console."""
    page.resize(width, 900)
    page.open(
        written(60, luma=-0.7, state="interrupted", scores=SCORES, command="python -m train.cyclegan " + "x" * 80)
    )
    assert page.run("innerWidth") == width
    assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    wide = page.run("[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('svg, .tables')).map(e => e.outerHTML.slice(0, 80))")  # fmt: skip
    assert wide == []
    charts = page.run("[...document.querySelectorAll('.chart svg')].map(s => s.getBoundingClientRect().width)")
    assert len(charts) == 8 and min(charts) > 280
    columns = page.run("new Set([...document.querySelectorAll('.chart')].map(c => c.getBoundingClientRect().x)).size")
    assert columns == (1 if width == PHONE else 3)
    doctor = page.run("document.querySelector('.doctor').innerText")
    assert "The doctor found" in doctor and "colours inverted · A → B" in doctor and "--lambda_identity" in doctor
    assert page.run("[...document.querySelectorAll('.frames figure')].filter(f => f.offsetHeight > 0).length") == 1
    page.run("document.querySelector('.player input').value = 0; document.querySelector('.player input').oninput()")
    assert "step 0" in page.run("document.querySelector('.frames figure.on').innerText")
    assert page.complaints() == []


def luminance(colour: str) -> float:
    """Of "rgb(1, 2, 3)", as the accessibility guidelines have it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (int(x) / 255 for x in colour[4:-1].split(","))]  # fmt: skip
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(page: Browser, written: Callable[..., str], scheme: str) -> None:
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.open(written(60, luma=-0.7))
    style = "getComputedStyle(document.querySelector('{}')).{}"
    paper = luminance(page.run(style.format(".card", "backgroundColor")))
    assert (paper < 0.1) == (scheme == "dark")
    for element in (".doctor b", ".doctor .soft", ".chart p", ".settings td"):
        ink = luminance(page.run(style.format(element, "color")))
        assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 4.5, element
    page.ask("Emulation.setEmulatedMedia", features=[])


def test_it_follows_a_run_and_stops_when_that_is_over(page: Browser, written: Callable[..., str]) -> None:
    """The page comes anew by itself, where the reader was; not while they look at an earlier sample, nor at the end."""
    page.resize(DESK, 700)
    page.open(written(30, refresh=1))
    page.wait_for(WHOLE + r"document.querySelector('.state').innerText.split('\n')[1] == 'step 30 of 100'")
    page.wait_for(YOUNG + "(document.querySelector('details').open = true, scrollTo(0, 400), true)")
    written(45, refresh=1)
    page.wait_for(SHOWN.format("step 45"))
    page.wait_for("scrollY == 400 && document.querySelector('details').open", seconds=5)

    page.wait_for(YOUNG + FIRST)
    written(60, refresh=1)
    page.run("new Promise(done => setTimeout(done, 2500))")
    assert "step 45" in page.run("document.querySelector('.state').innerText")
    page.run("slider.value = slider.max; slider.oninput()")
    page.wait_for(SHOWN.format("step 60"))

    written(60, refresh=1, state="finished")
    page.wait_for(SHOWN.format("finished"))
    page.run("window.same = true")
    page.run("new Promise(done => setTimeout(done, 2500))")
    assert page.run("window.same") is True


def test_it_says_when_there_has_been_no_news(page: Browser, written: Callable[..., str], tmp_path: Path) -> None:
    page.open(written(30, refresh=2))  # time enough to change the page before it comes anew
    page.wait_for(f"{YOUNG} {FIRST} && (document.querySelector('main').dataset.written -= 1500)")
    page.wait_for("document.querySelector('.stale').innerText == 'no news for 25 minutes: it may have been killed'")
