"""Importing `palindrome_gan.train` and the others from the folders beside this one. Not installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from palindrome_gan.rename import FOLDERS, NAME, renamed

ROOT = Path(__file__).parents[1]


class Renaming(SourceFileLoader):
    """Runs a file of the repository renamed. Its bytecode is not kept: the one on disk is that of the file as it is."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(renamed(self.get_data(path).decode(), path), path)


class Finder:
    """Finds what lies below the package in the repository's folders."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        parts = fullname.split(".")
        if parts[0] != NAME or len(parts) < 2 or parts[1] not in (*FOLDERS, "tests"):
            return None
        return FileFinder(str(ROOT.joinpath(*parts[1:-1])), (Renaming, [".py"])).find_spec(fullname)


def find_folders(path: Any) -> None:
    """From now on, the package has the folders in it."""
    path.append(str(ROOT))
    if not any(finder is Finder for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder)
