"""The course: exercises are graded rightly, pages show what the lessons say, and every file of the product is reached."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re

import numpy as np
import pytest

from lessons import chapters as book
from lessons import markdown
from lessons.__main__ import main
from lessons.chapters import ROOT, Chapter, chapters
from lessons.grading import compare, verdicts
from tests.test_docs import Checker, anchors

ALL = chapters()
CHEAP = {1, 2, 3, 6, 7, 8, 9, 15, 16}
"""Chapters whose experiment takes less than a second; the others train, see test_lessons_points.py."""

every_chapter = pytest.mark.parametrize("chapter", ALL, ids=lambda c: c.name)
cheap_chapter = pytest.mark.parametrize("chapter", [c for c in ALL if c.number in CHEAP], ids=lambda c: c.name)


def test_chapters_are_numbered_without_a_gap():
    assert [c.number for c in ALL] == list(range(len(ALL))) and len(ALL) > 12


# -- exercises


@every_chapter
def test_a_solution_is_accepted_and_an_empty_exercise_is_not(chapter: Chapter, capsys):
    assert main(["check", str(chapter.number), "--solution", str(chapter.solution)]) == 0, capsys.readouterr().out
    assert main(["check", str(chapter.number)]) == 1
    said = capsys.readouterr().out
    assert "✗" in said and ("not written yet: " in said or "yours" in said)


@every_chapter
def test_an_exercise_needs_no_later_chapter(chapter: Chapter):
    known = {link for c in ALL if c.number <= chapter.number for link in c.links()}
    names = {
        n.module for n in ast.walk(ast.parse(chapter.solution.read_text("utf-8"))) if isinstance(n, ast.ImportFrom)
    }
    own = {
        name for name in names if name and name.partition(".")[0] in ("kernels", "autograd", "nn", "train", "lessons")
    }
    files = {name: (ROOT / name.replace(".", "/")) for name in own}
    missing = [name for name, path in files.items() if not {path, path.with_suffix(".py"), path.parent} & known]
    assert not missing, f"{missing}: no chapter up to {chapter.number} leads there"


MUTANTS = [
    (1, "return dz * y, dz * x", "return dz * x, dz * y", "the other input"),
    (1, "keepdims=True", "keepdims=False", "shape"),
    (3, "2 * weight * error / x.size", "2 * weight * error", "the mean divides"),
    (3, "2 * weight * error / x.size", "weight * error / x.size", "factor 2"),
    (4, "        game.adam_d.zero_grad()\n".strip(), "pass", "forget them first"),
    (4, "fake_b.detach()", "fake_b", "Cut it"),
    (4, "game.disc_b.requires_grad_(True)", "pass", "frozen"),
    (5, "back(there(x))", "there(back(x))", "the other way round"),
    (6, "- 0.5 * psi", "- 0.0 * psi", "A circle neither grows nor shrinks"),
    (6, "- 0.5 * psi", "- 30 * psi", "floats"),
    (7, "+= patch", "= patch", "must receive from all"),
    (7, "x[1 : pad + 1][::-1]", "x[:pad][::-1]", "mirror"),
    (8, "dy - dy.mean() - ", "dy - ", "(1, 1, …, 1)"),
    (8, " - x_hat * (dy * x_hat).mean()", "", "orthogonal to x_hat"),
    (8, " / np.sqrt(x.var() + EPS)", "", "the same factor"),
    (9, "(kernel - 1) * apart", "kernel - 1", "product of all strides"),
    (10, "game.gen_ab.zero_grad()", "pass", "`backward` adds"),
    (10, " + l1_loss(game.gen_ab(game.gen_ba(b)), b, 10.0)", "", "The second is missing"),
    (11, "g < 0.18", "g < 0.26", "false alarm"),
    (12, "a, 0.0)", "a, self.lambda_cycle)", "the round trip is still good"),
    (15, "range(20)", "range(3)", "right only while looked at"),
    (16, "0.03 if bit else -0.03", "0.04 if bit else -0.04", "at most 0.03"),
    (17, "counts.min()", "counts.max()", "the rarest one"),
]


@pytest.mark.parametrize(("number", "right", "wrong", "why"), MUTANTS)
def test_a_wrong_answer_is_told_why(number, right, wrong, why, tmp_path):
    source = ALL[number].solution.read_text("utf-8")
    assert right in source
    file = tmp_path / "exercise.py"
    file.write_text(source.replace(right, wrong, 1), "utf-8")
    assert why in next(text for passed, text in verdicts(ALL[number], file) if not passed)


@pytest.mark.parametrize("yours", [None, ..., 1.1, [1.0, 2.0], np.nan, np.inf])
def test_a_comparison_refuses_what_is_not_equal(yours):
    with pytest.raises(Exception, match="x"):
        compare("x", yours, 1.0)


def test_an_error_in_an_exercise_is_told_by_its_line(tmp_path):
    file = tmp_path / "exercise.py"
    file.write_text(ALL[6].solution.read_text("utf-8").replace("    push =", "    1 / 0\n    push ="), "utf-8")
    assert any("line 9 of exercise.py raised ZeroDivisionError" in text for _, text in verdicts(ALL[6], file))
    file.write_text("def f(:", "utf-8")
    assert [passed for passed, _ in verdicts(ALL[6], file)] == [False]


# -- lessons


@every_chapter
def test_snippets_print_what_the_lesson_shows(chapter: Chapter):
    said: list[str] = []
    blocks = "\n".join(re.findall(r"^```python\n(.*?)^```", chapter.lesson, re.DOTALL | re.MULTILINE))
    runner = doctest.DocTestRunner(Checker(), verbose=False)
    runner.run(doctest.DocTestParser().get_doctest(blocks, {}, chapter.name, None, 0), out=said.append)
    assert not said, "".join(said)


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def alike(shown: str, said: str) -> bool:
    """Whether a line of output is the one shown: the same words, numbers within a quarter (rounding errors: within 3 times)."""
    if NUMBER.sub("#", " ".join(shown.split())) != NUMBER.sub("#", " ".join(said.split())):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(said), strict=True)
    return all(abs(float(a) - float(b)) <= (3 if "e" in a else 0.25) * abs(float(a)) + 1e-3 for a, b in pairs)


def not_found(snippet: str, output: str) -> list[str]:
    """The lines shown under a command that its output lacks, in this order."""
    lines, missing = iter(output.split("\n")), []
    for shown in snippet.split("\n")[1:]:
        if shown.strip() not in ("", "...") and not any(alike(shown, line) for line in lines):
            missing.append(shown)
    return missing


@cheap_chapter
def test_commands_print_what_the_lesson_shows(chapter: Chapter, capsys):
    for snippet in re.findall(r"^```console\n(.*?)^```", chapter.lesson, re.DOTALL | re.MULTILINE):
        (words,) = book.commands(snippet)
        assert main(words) == 0
        assert not_found(snippet, capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("shown", "right"), [("a 1.0 b", True), ("a 1.2 b", True), ("a 2.0 b", False), ("a 1.0 c", False)]
)
def test_a_wrong_line_is_noticed(shown, right):
    assert (not_found(f"$ python -m lessons\n{shown}\n", "z\na 1.05 b\n") == []) == right


@every_chapter
def test_commands_of_a_lesson_are_there(chapter: Chapter):
    named = re.findall(r"python -m ([\w.]*\w)", chapter.lesson)
    assert f"python -m lessons {chapter.number}\n" in chapter.lesson
    assert f"python -m lessons check {chapter.number}\n" in chapter.lesson
    assert [name for name in named if importlib.util.find_spec(name) is None] == []


@every_chapter
def test_links_lead_somewhere(chapter: Chapter):
    targets = [target for _, target in markdown.LINK.findall(chapter.lesson) if "://" not in target]
    assert targets
    for target in targets:
        file, _, heading = target.partition("#")
        path = chapter.folder / file
        assert path.exists(), target
        assert not heading or heading in anchors(path), target


def test_every_file_of_the_product_is_reached_from_some_chapter():
    links = {link for c in ALL for link in c.links()}
    files = [
        p for d in ("kernels", "autograd", "nn", "train") for p in (ROOT / d).rglob("*.py") if p.name != "__init__.py"
    ]
    assert len(files) > 100
    assert [str(p.relative_to(ROOT)) for p in files if p not in links and p.parent not in links] == []


def test_a_ladder_shows_no_time_for_something_else_and_its_share_of_the_roof():
    from lessons.c13_fast import mirror
    from lessons.c13_fast.experiment import drawn
    from lessons.c13_fast.ladder import Ladder

    ladder = Ladder("x", "memory", 0, 8 * 10**6, np.arange(4.0))
    ladder.rung("slow", lambda: np.arange(4.0))
    ladder.rung("half of it", lambda: np.arange(2.0), share=0.5)
    with pytest.raises(ValueError, match="“wrong” is off by 3"):
        ladder.rung("wrong", lambda: np.zeros(4))
    ladder.rungs[0]["ms"], ladder.rungs[1]["ms"], ladder.roof = 4.0, 0.5, 32.0
    said = drawn(ladder.done()).text().split("\n")
    assert said[2].split() == ["slow", "4", "2", "6%", "none"] and said[3].split()[-4:] == ["0.5", "16", "50%", "none"]
    assert 'style="width:100.0%"' in drawn(ladder.done()).html()
    y = np.empty((mirror.H + 2 * mirror.PAD, mirror.W + 2 * mirror.PAD, mirror.C), np.float32)
    x = np.random.default_rng(0).standard_normal((mirror.H, mirror.W, mirror.C)).astype(np.float32)
    mirror.python_loops(x, y, mirror.ROWS)
    assert np.array_equal(y[: mirror.ROWS], mirror.index_lists(x)[: mirror.ROWS])


def test_a_triton_ladders_rungs_agree_and_what_they_ask_for_is_counted(monkeypatch):
    pytest.importorskip("triton")
    from benchmarks.cubin import Cubin, Loop
    from lessons.c14_triton import ladder

    code = Cubin(32, 0, 0, 0, 4, {}, {16: 2}, {}, 0, "", 10, Loop(0, {}, {}), (Loop(9, {}, {16: 2}),))
    monkeypatch.setattr(ladder, "compile_launch", lambda launch, target: code)
    mirrored, loss, normed, _ = ladder.LADDERS
    for shown in (mirrored, loss, normed):
        naive, trains = (ladder.interpreted(rung, shown.small) for rung in shown.rungs)
        assert np.allclose(naive.y, trains.y, atol=1e-5) and naive.owner.min() == trains.owner.min() == 0
    assert (naive.owner == np.arange(24)).all() and (
        trains.owner[..., 0] == trains.owner[..., 5]
    ).all()  # channels; pixels
    assert naive.reads[0].mean() == 3 and 2 <= trains.reads[0].mean() < 2.1  # three passes, and two with a pivot
    small = ((1, 40, 40, 3),) * 2
    alone, many = (ladder.climbed(rung, small) for rung in loss.rungs)
    assert (alone.programs, many.programs, len(many.launches)) == (1, 5, 2)
    assert alone.asked == pytest.approx(3 * 4 * 4800, rel=0.01)  # x, y and dx once; NumPy starts arrays within a sector
    assert alone.seconds > 100 * alone.asked / ladder.H100.l2  # one multiprocessor of 132
    far, _ = (ladder.climbed(rung, normed.large) for rung in normed.rungs)
    assert far.asked == 8 * 4 * far.once / 2  # of each sector of 8 numbers one is used; three reads and a write


# -- pages and notebooks


@cheap_chapter
def test_a_page_is_one_file_that_needs_nothing_else(chapter: Chapter, tmp_path, capsys):
    file = tmp_path / "page.html"
    assert main([str(chapter.number), "--output", str(file)]) == 0
    text = file.read_text("utf-8")
    assert chapter.question in text and text.count('class="card"') >= 2 and book.MARK not in text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text) and "$" not in re.sub(
        r"<pre>.*?</pre>", "", text, flags=re.DOTALL
    )
    for target in re.findall(r'href="([^"]+)"', text):
        assert (tmp_path / target.partition("#")[0]).exists()


@every_chapter
def test_a_notebook_runs(chapter: Chapter, monkeypatch, capsys):
    import json

    cells = json.loads(book.notebook(chapter))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert sum(cell["cell_type"] == "markdown" for cell in cells) > 8
    scope: dict = {}
    for source in code:
        if "Traceback" not in source and "float32([1, 2])" not in source:
            exec(compile(source, chapter.name, "exec"), scope)  # noqa: S102


def test_the_list_and_what_is_refused(capsys):
    assert main([]) == 0
    assert all(c.question in capsys.readouterr().out for c in ALL[:1])
    for words in (["99"], ["nonsense"], ["check"], ["check", "x"], ["check", "all", "--solution", "x.py"]):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("# A *b*", "<h1>A <i>b</i></h1>"),
        (
            "see [`a`](b.py), **c** and `x < y`",
            '<p>see <a href="b.py"><code>a</code></a>, <b>c</b> and <code>x &lt; y</code></p>',
        ),
        ("- a\n- b\n  c", "<ul><li>a</li><li>b\n  c</li></ul>"),
        ("```\na < b\n\nc\n```\n", "<pre><code>a &lt; b\n\nc</code></pre>"),
        ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
    ],
)
def test_markdown(text, wanted):
    assert markdown.html(text) == wanted
