"""Peak memory is told, and running out of it names the options that help."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from kernels.device import Device, peak_bytes
from train.cyclegan import CycleGAN, main
from train.files.sizes import size_text
from train.report.page import write_report
from train.run import display

MB = 2**20
ROOT = Path(__file__).parents[1]
TINY = "--preset tiny --device cpu --load_size 24 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 1 --max_steps 1 --sample_freq 99"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)


def cupy_holding(size: int) -> types.SimpleNamespace:
    """A CuPy whose pool holds so much."""
    return types.SimpleNamespace(get_default_memory_pool=lambda: types.SimpleNamespace(total_bytes=lambda: size))


def test_the_peak_of_the_process_grows_with_what_it_holds_and_never_falls():
    """In a process of its own: in this one, an earlier test may have held more."""
    code = """
import numpy as np
from kernels.device import Device, peak_bytes

before = peak_bytes(Device("cpu"))
held = np.ones(25 * 2**18, np.uint32)  # 25 MB
during = peak_bytes(Device("cpu"))
del held
print(before, during, peak_bytes(Device("interpret")))
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    before, during, after = (int(number) / MB for number in told.split())
    assert 15 < before < 200 and 24 < during - before < 35 and abs(after - during) < 2


def test_the_peak_where_there_is_no_proc(monkeypatch):
    exact = peak_bytes(Device("cpu"))

    def missing(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert peak_bytes(Device("cpu")) >= exact * 0.9
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_bytes(Device("cpu")) is None


def test_the_peak_of_the_gpu_is_its_pools(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy_holding(123))
    assert peak_bytes(Device("cuda")) == 123


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 kB"), (20_400, "20 kB"), (999_000_000, "999 MB"), (3_440_000_000, "3.4 GB")]
)
def test_sizes_for_people(size, text):
    assert size_text(size) == text


def test_a_run_says_what_it_held(capsys):
    assert main(TINY.split()) == 0
    assert " of memory." in capsys.readouterr().out


def test_the_report_tells_the_peak(tmp_path):
    text = write_report(tmp_path, [{"step": 1, "seconds": 1.0}], {"name": "x"}, peak=3_440_000_000).read_text("utf-8")
    assert "<dt>Most memory held</dt><dd>3.4 GB</dd>" in text


def shortage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], make: object) -> str:
    """What the command says where a step raises the error that `make()` raises or returns."""

    def step(*_: object) -> None:
        raise make()  # type: ignore[operator]

    monkeypatch.setattr(CycleGAN, "step", step)
    assert main(TINY.split()) == 2
    err = capsys.readouterr().err
    assert err.count("error:") == 1 and "Traceback" not in err
    return err


def test_running_out_of_main_memory(monkeypatch, capsys):
    err = shortage(monkeypatch, capsys, lambda: np.empty((2**40, 2**20), np.float32))  # NumPy's own words
    assert "this machine: Unable to allocate 4.00 EiB" in err and "were held" in err
    for option in ("--crop_size", "--batch_size", "--ngf", "--ndf", "--n_blocks"):
        assert option in err
    assert "bf16" not in err  # which the CPU does not have


def test_running_out_of_the_gpus_memory(monkeypatch, capsys):
    from cupy.cuda.memory import OutOfMemoryError

    monkeypatch.setitem(sys.modules, "cupy", cupy_holding(17_200_000_000))
    err = shortage(monkeypatch, capsys, lambda: OutOfMemoryError(2**31, 2**34))
    assert "the GPU: Out of memory allocating 2,147,483,648 bytes" in err and "at most 17.2 GB were held" in err
    assert "--crop_size" in err and "--precision bf16" in err


def test_an_error_without_words(monkeypatch, capsys):
    assert "an array could not be made" in shortage(monkeypatch, capsys, MemoryError)
