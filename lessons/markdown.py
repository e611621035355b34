"""As much of Markdown as the lessons use, as HTML: headings, paragraphs, lists, tables, quotes, code, links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape

LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n?", re.DOTALL | re.MULTILINE)


def html(text: str, link: Callable[[str], str] = str) -> str:
    """The page's body; `link` says where a target of the text lies for a reader of the page."""
    return "\n".join(block(b, link) for b in blocks(text))


def blocks(text: str) -> Iterator[str]:
    """Paragraphs and whole code fences."""
    start = 0
    for fence in FENCE.finditer(text):
        yield from filter(None, (b.strip("\n") for b in re.split(r"\n\s*\n", text[start : fence.start()])))
        yield fence.group(0)
        start = fence.end()
    yield from filter(None, (b.strip("\n") for b in re.split(r"\n\s*\n", text[start:])))


def block(text: str, link: Callable[[str], str]) -> str:
    if fence := FENCE.match(text):
        return f"<pre><code>{escape(fence.group(2).rstrip())}</code></pre>"
    if heading := re.match(r"(#+) (.+)$", text):
        level = len(heading.group(1))
        return f"<h{level}>{inline(heading.group(2), link)}</h{level}>"
    if text.startswith("|"):
        rows = [[inline(c.strip(), link) for c in line.strip().strip("|").split("|")] for line in text.split("\n")]
        head = "".join(f"<th>{c}</th>" for c in rows[0])
        body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows[2:])
        return f'<div class="scroll"><table class="words"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    if text.startswith("<!--"):
        return text
    for mark, tag in ((r"- ", "ul"), (r"\d+\. ", "ol")):
        if re.match(mark, text):
            items = re.split(rf"\n(?={mark})", text)
            inner = "".join(f"<li>{inline(re.sub(f'^{mark}', '', i), link)}</li>" for i in items)
            return f"<{tag}>{inner}</{tag}>"
    if text.startswith("> "):
        return f"<blockquote><p>{inline(re.sub(r'(?m)^> ?', '', text), link)}</p></blockquote>"
    return f"<p>{inline(text, link)}</p>"


def inline(text: str, link: Callable[[str], str] = str) -> str:
    """Links, code, bold and italics within a paragraph."""
    out, start = [], 0
    for found in LINK.finditer(text):
        out.append(words(text[start : found.start()]))
        out.append(f'<a href="{escape(link(found.group(2)))}">{words(found.group(1))}</a>')
        start = found.end()
    return "".join([*out, words(text[start:])])


def words(text: str) -> str:
    out = []
    for i, piece in enumerate(re.split(r"(`[^`]+`)", text)):
        if i % 2:
            out.append(f"<code>{escape(piece[1:-1])}</code>")
            continue
        piece = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(piece, quote=False), flags=re.DOTALL)
        out.append(re.sub(r"(?<![\w*])\*(?!\s)(.+?)(?<!\s)\*(?![\w*])", r"<i>\1</i>", piece, flags=re.DOTALL))
    return "".join(out)
