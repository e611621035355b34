"""The command of the course; see lessons/__init__.py."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from lessons import grading
from lessons.chapters import HERE, Chapter, chapter, chapters, notebook, page


def main(words: list[str] | None = None) -> int:
    """The exit status: 0, for `check` only if all is solved."""
    parser = argparse.ArgumentParser(
        prog="python -m lessons", description="How GAN training works inside, in small steps."
    )
    parser.add_argument(
        "what", nargs="?", default="list", help="list (the default), a chapter's number, check or notebook"
    )
    parser.add_argument("number", nargs="?", help="for check and notebook: a chapter's number, or all")
    parser.add_argument("--text", action="store_true", help="print the experiment instead of writing a page")
    parser.add_argument("--output", type=Path, help="where the page goes (default: lessons/pages/NAME.html)")
    parser.add_argument("--solution", type=Path, help="grade this file instead of the chapter's exercise.py")
    args = parser.parse_args(words)
    try:
        if args.what == "list":
            return contents()
        if args.what in ("check", "notebook"):
            if args.number is None:
                parser.error(f"{args.what} wants a chapter's number, or all")
            chosen = chapters() if args.number == "all" else [chapter(number(args.number))]
            if args.what == "check":
                return check(chosen, args.solution)
            for c in chosen:
                write(args.output or HERE / "pages" / f"{c.name}.ipynb", notebook(c))
            return 0
        return run(chapter(number(args.what)), args.text, args.output)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        return 0
    except (ValueError, OSError) as error:
        parser.exit(2, f"python -m lessons: {error}\n")


def number(word: str) -> int:
    if not word.isdigit():
        raise ValueError(f"{word!r} is neither a chapter's number nor list, check or notebook")
    return int(word)


def contents() -> int:
    """Print the chapters."""
    for c in chapters():
        print(f"{c.number:2}  {c.question}")
    print(
        "\nTo see how GAN training works: 0-6, 9-12, 16, 17. For kernels: 1, 2, 7, 8, 13-15. For your own pictures: 0, 11."
    )
    print("python -m lessons N          run the experiment and write its page (--text: here in the terminal)")
    print("python -m lessons check N    grade lessons/cNN_…/exercise.py")
    return 0


def run(c: Chapter, text: bool, output: Path | None) -> int:
    """Run the experiment; its page's path, or its text."""
    start = time.monotonic()
    parts = c.experiment()
    if text:
        print("\n\n".join(said for part in parts if (said := part.text())))
        return 0
    file = output or HERE / "pages" / f"{c.name}.html"
    write(file, page(c, parts, file))
    print(f"{c.question} ({time.monotonic() - start:.1f} s)")
    return 0


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(f"wrote {file}")


def check(chosen: list[Chapter], solution: Path | None) -> int:
    """0 if all are solved."""
    if solution and len(chosen) != 1:
        raise ValueError("--solution is one file: name one chapter")
    solved = [
        grading.grade(c, (solution or c.exercise).resolve()) for c in chosen
    ]  # every one, not only up to the first
    return 0 if all(solved) else 1


if __name__ == "__main__":
    sys.exit(main())
