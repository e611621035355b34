"""What is installed: the package `palindrome_gan` and the command `palindrome-gan`, and no other name.

A wheel holds the repository's folders below that package, renamed (palindrome_gan/rename.py). `pip install -e .` installs the
package alone, which finds the folders here. Everything else about the project stands in pyproject.toml.
"""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))
from palindrome_gan.rename import NAME, files, renamed


class Build(build_py):
    """Copies and renames."""

    def run(self) -> None:
        if self.editable_mode:
            return super().run()
        shutil.rmtree(self.build_lib, ignore_errors=True)  # whatever an earlier build left there would be packed too
        package = Path(self.build_lib, NAME)
        for file in files(ROOT):
            (package / file).parent.mkdir(parents=True, exist_ok=True)
            text = (ROOT / file).read_text(encoding="utf-8")
            (package / file).write_text(renamed(text, str(file)) if file.suffix == ".py" else text, encoding="utf-8")
        for name in ("__init__.py", "__main__.py"):
            shutil.copy(ROOT / NAME / name, package)


setup(packages=[NAME], cmdclass={"build_py": Build})
