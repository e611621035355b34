"""The CPU's first step: what is compiled ahead is what the step wants, in one form each, and who compiles it leaves with the first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIGNATURES = """
import json, sys
from numba.core.dispatcher import Dispatcher
from kernels import rehearsal
from train.cyclegan import Config, CycleGAN
import numpy as np

def compiled():
    found = {}
    for module, content in list(sys.modules.items()):
        for name, value in list(vars(content).items()) if module.startswith("kernels.") else ():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module:
                found[f"{module}.{name}".removeprefix("kernels.")] = len(value.signatures)
    return found

for op, name, arguments, options in rehearsal.CALLS:
    getattr(rehearsal.implementation(op, rehearsal.Device("cpu")), name)(*arguments, **options)
ahead = compiled()
model = CycleGAN(Config(crop_size=64, load_size=64, ngf=16, ndf=16, n_blocks=1, device="cpu"))
model.step(*np.random.default_rng(0).standard_normal((2, 1, 64, 64, 3)).astype(np.float32))
json.dump([ahead, compiled()], sys.stdout)
"""
FIRST = {"conv2d.direct._fprop", "instance_norm.cpu._moments", "instance_norm.cpu._normalise"}
"""What the first layer wants, and so nobody can compile ahead."""


def python(program: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "NUMBA_NUM_THREADS": "2"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # type: ignore[call-overload]  # fmt: skip


def test_a_first_step_wants_what_was_compiled_ahead_each_kernel_in_one_form() -> None:
    out, problems = python(SIGNATURES).communicate()
    assert out, problems
    ahead, step = json.loads(out)
    del step["conv2d.winograd._transform"]  # for four threads and more
    assert set(step.values()) == {1}
    assert {name for name, forms in step.items() if forms > ahead[name]} == FIRST


def test_the_helper_ends_with_who_started_it() -> None:
    helper = python("""
import time
from kernels import rehearsal
rehearsal.CALLS = [("conv2d", "forward", (), {})]
rehearsal.implementation = lambda *_: print("begun", flush=True) or time.sleep(60)
rehearsal.rehearse()
""")
    assert helper.stdin and helper.stdout and helper.stdout.readline() == "begun\n"
    helper.stdin.close()
    assert helper.wait(10) == 0
