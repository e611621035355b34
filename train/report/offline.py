"""The head that all pages of one file share, the lessons' too: what they may load (nothing), their colours in light and dark, their type."""

from __future__ import annotations

from importlib.resources import files
from string import Template


def head(title: str, style: str, more: str = "") -> str:
    """From the doctype to </head>: `head.html` with a title, already escaped, a page's own style, and `more` elements."""
    return Template(read("head.html")).substitute(title=title, style=style.strip(), more=more)


def read(name: str) -> str:
    """A file beside this one."""
    return files(__package__).joinpath(name).read_text("utf-8")
