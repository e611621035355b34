"""The probe's section of a run's report: what its way back reads in the fake A, and what its code does.

`python -m train.probe` leaves probe.json and probe.png in the run's folder. The report takes them in whenever it is written;
`renew` does it for a report that is there already, of a run that is over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from train.errors import shown
from train.evaluation.probe import BACK
from train.files.atomic import write_text
from train.files.json_file import write_json
from train.models.model import Rows
from train.report.charts import draw
from train.report.samples import embedded, sample_grid, save_png
from train.report.summary import Curve

START, END = "<!-- probe -->", "<!-- end of probe -->"
ABOUT = {
    BACK: "B → A → B: mean difference to the B where it began, of 255, if the fake A is disturbed on the way. What the "
    "picture shows survives noise of one grey level, 8 bits and JPEG; a hidden message does not.",
    "texture": "Share of a picture's energy in the upper half of the frequencies. Far more in fake As than in real ones: "
    "something may be written there.",
    "variety": "Mean difference, of 255, between translations of one A with different codes; where A has codes "
    "too, also of one B. 0: one answer, whatever the code.",
    "hues": "0: all codes paint one hue; 1: all hues alike. Beside it what the true Bs have.",
    "true pairs": "A → B for a pair (A, B): mean difference to the B, of 255, with the code that is read from the pair, and "
    "with one that knows nothing of it. Of hues the cosine of the angle by which they are off: 1 is right, about 0 is chance.",
    "hues kept": "B → A → B with a code that knows nothing of the B. 1: each hue returns; about 0: none does. A gray A "
    "shows no hue, so what returns was hidden in it.",
}
"""What the groups of figures say."""


def section(folder: Path) -> str:
    """The section as HTML between its marks; nothing between them if the run was not probed."""
    file, picture = folder / "probe.json", folder / "probe.png"
    if not file.exists():
        return START + END
    try:
        return START + _words(json.loads(file.read_bytes()), picture) + END
    except Exception as error:  # noqa: BLE001  anyone may have changed it, and it is only for show
        why = escape(shown(error, 100))
        return (
            f"{START}<p class='soft'>probe.json cannot be read ({why}): python -m train.probe makes it anew.</p>{END}"
        )


def _words(found: Mapping[str, Any], picture: Path) -> str:
    """What a probe found; everything out of the file is a number, or escaped."""
    tables = "".join(_table(title, found[title]) for title in ABOUT if title in found)
    noise = {float(name.split()[1]): float(value) for name, value in found[BACK].items() if name.startswith("noise ")}
    curve = draw(BACK, {BACK: Curve(noise, noise.values())}, exact=True, below="noise, of 255")
    figure = f"<figure>{embedded(picture, 'the probe')}</figure>" if picture.exists() else ""
    return (
        f"<h2>Does it hide anything?</h2><p class='soft'>Probed on {int(found['images'])} test pictures after step "
        f"{int(found['step']):,}.</p><div class='grid'>{tables}<section class='card chart'><h3>Noise on the fake A</h3>{curve}"
        "<p class='soft'>|B - back| as noise grows. A jump at the left end is a message that a grey level destroys.</p>"
        f"</section></div><p class='soft'>Below: each A with several codes, if the model takes any; then each B there and "
        f"back, again and again, with a fresh code each time.</p>{figure}"
    )


def write_probe(folder: Path, found: Mapping[str, Any], grid: Rows, title: str) -> str:
    """Write probe.json and probe.png, and renew the report; tells what was written, in words."""
    write_json(folder / "probe.json", found)
    save_png(folder / "probe.png", sample_grid(grid, title))
    report = folder / "report.html"
    if renew(folder):
        return f"written: {folder / 'probe.json'}, probe.png, and a section of report.html"
    why = "has no place for them, it is an older version's" if report.exists() else "is not there"
    return f"written: {folder / 'probe.json'}, probe.png\n{report} {why}; the next that is written will show them"


def renew(folder: Path) -> bool:
    """Put the section as it is now into the report that lies in the run's folder; whether one does that has a place for it."""
    report = folder / "report.html"
    if not report.exists():
        return False
    mark, new = f"{re.escape(START)}.*?{re.escape(END)}", section(folder)
    page, found = re.subn(mark, lambda _: new, report.read_text("utf-8"), count=1, flags=re.DOTALL)
    if found:
        write_text(report, page)
    return found == 1


def _table(title: str, figures: Mapping[str, float]) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{float(value):.3f}</td></tr>" for name, value in figures.items())
    return (
        f"<section class='card'><h3>{escape(title)}</h3><table><tbody>{rows}</tbody></table>"
        f"<p class='soft'>{escape(ABOUT[title])}</p></section>"
    )
