"""The opened step as one page."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from train.evaluation.explained_step import Explained
from train.evaluation.opening_step import Subject
from train.files.atomic import write_bytes
from train.report.explain.text import text


def title(opened: Subject) -> str:
    """What is opened, in words."""
    who = f"run {opened.run}" if opened.run else "a fresh model"
    return f"Step {opened.step + 1:,} of {who}: {opened.names[0]} (A), {opened.names[1]} (B)"


def write_page(folder: Path, opened: Subject, e: Explained) -> Path:
    """Write folder/step.html; its path."""
    page = Template(files(__package__).joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(title(opened)), body=f"<pre>{escape(text(e, title(opened)))}</pre>"
    )
    path = folder / "step.html"
    write_bytes(path, page.encode())
    return path
