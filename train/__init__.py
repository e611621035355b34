"""Training: data in, pictures out. Start with `models/cyclegan.py`, where the step reads like the paper."""

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # A command of ours begins. Until it is ready to save what it has (train/run/exit_code.py), Ctrl-C ends it at once and
    # without a traceback out of the middle of some import.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

for _name in ("kernels", "autograd", "nn"):
    _ours, _found = Path(__file__).parents[1] / _name, find_spec(__name__.removesuffix("train") + _name)
    if _found is None or _found.origin is None or not (_ours / "__init__.py").samefile(_found.origin):
        raise ImportError(
            f"{_found.origin if _found and _found.origin else 'a module'} hides {_ours}, which Palindrome's train/ needs: "
            f"run from {_ours.parent}, or put that first in sys.path, or rename the other; or pip install {_ours.parent} "
            "and import palindrome_gan.train (command: palindrome-gan), whose names nothing hides"
        )
