"""The CPU's own promises: threads do not change the bits, BLAS gets its threads back, buffers do not leak into results."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numba import njit, types
from numba.core import event
from numba.extending import intrinsic

from kernels.adam import cpu as adam
from kernels.adam import reference as plain_adam
from kernels.conv2d import cpu as conv2d
from kernels.conv2d import direct, reference, winograd, winograd_layout
from kernels.conv2d.geometry import Geometry, TransposedGeometry
from kernels.conv_transpose2d import cpu as conv_transpose2d
from kernels.conv_transpose2d import reference as plain_transpose
from kernels.cpu import compiler, threads
from kernels.instance_norm import cpu as instance_norm
from kernels.instance_norm import reference as plain_norm
from kernels.instance_norm.settings import NormSettings
from kernels.reflection_pad import cpu as reflection_pad
from kernels.reflection_pad import reference as plain_pad

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def close(got, want, tolerance=5e-6):
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * max(1, np.abs(want).max())


PADDED, STRIDED = Geometry(padding=1), Geometry(stride=2, padding=1)
CONVOLUTIONS = {
    "stem": ((2, 9, 10, 3), (7, 7, 3, 18), Geometry(padding=3, padding_mode="reflect")),
    "head": ((1, 9, 8, 18), (7, 7, 18, 3), Geometry(padding=3, padding_mode="reflect")),
    "strided": ((2, 9, 8, 10), (3, 3, 10, 12), Geometry(stride=2, padding=1)),
    "strided, reflected": ((1, 9, 9, 9), (3, 3, 9, 9), Geometry(stride=2, padding=1, padding_mode="reflect")),
    "first of a discriminator": ((2, 11, 8, 3), (4, 4, 3, 16), Geometry(stride=2, padding=1)),
    "last of a discriminator": ((2, 5, 6, 24), (4, 4, 24, 1), Geometry(padding=1)),
    "few channels out, strided": ((1, 9, 11, 12), (3, 3, 12, 3), Geometry(stride=2, padding=1)),
    "1x1": ((2, 3, 5, 9), (1, 1, 9, 12), Geometry()),
    "1x1, strided: some pixels meet no weight": ((1, 7, 6, 9), (1, 1, 9, 8), Geometry(stride=2)),
    "stride beyond the kernel's half": ((1, 8, 7, 8), (3, 3, 8, 8), Geometry(stride=3, padding=1)),
    "more patches than one block": ((1, 40, 44, 8), (3, 3, 8, 9), Geometry(stride=2, padding=1)),
    "deep, several rows in a band, none of whole tiles": (
        (1, 40, 23, 160),
        (4, 4, 160, 70),
        Geometry(stride=2, padding=1),
    ),
    "deeper than one product": ((1, 5, 5, 300), (4, 4, 300, 10), Geometry(stride=2, padding=1)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_conv2d_agrees_with_float64(name):
    shape, kernel, geometry = CONVOLUTIONS[name]
    x, w, b = normal(*shape), normal(*kernel), normal(kernel[3])
    exact = [a.astype(np.float64) for a in (x, w, b)]
    want = reference.forward(*exact, geometry=geometry)
    close(conv2d.forward(x, w, b, geometry=geometry), want)
    dy = normal(*want.shape)
    gradients = conv2d.backward(dy, x, w, geometry=geometry)
    exactly = reference.backward(dy.astype(np.float64), *exact[:2], geometry=geometry)
    for got, wanted in zip(gradients, exactly, strict=True):
        close(got, wanted)


@pytest.mark.parametrize("C, K, R, extra", [(8, 6, 3, 1), (10, 3, 4, 0), (3, 9, 4, 0)])
def test_conv_transpose2d_agrees_with_float64(C, K, R, extra):
    x, w, b = normal(2, 5, 4, C), normal(R, R, C, K), normal(K)
    exact, geometry = [a.astype(np.float64) for a in (x, w, b)], TransposedGeometry(output_padding=extra)
    want = plain_transpose.forward(*exact, geometry=geometry)
    close(conv_transpose2d.forward(x, w, b, geometry=geometry), want)
    dy = normal(*want.shape)
    wanted = plain_transpose.backward(dy.astype(np.float64), *exact[:2], geometry=geometry)
    for got, exactly in zip(conv_transpose2d.backward(dy, x, w, geometry=geometry), wanted, strict=True):
        close(got, exactly)


@pytest.mark.parametrize("H, W, pad", [(2, 2, 1), (5, 4, 3), (3, 9, 2), (7, 7, 6)])
def test_reflection_pad_and_its_adjoint(H, W, pad):
    x, dy = normal(2, H, W, 3), normal(2, H + 2 * pad, W + 2 * pad, 3)
    assert np.array_equal(reflection_pad.forward(x, pad=pad), plain_pad.forward(x, pad=pad))
    close(reflection_pad.backward(dy, pad=pad), plain_pad.backward(dy, pad=pad))


@pytest.mark.parametrize("mean", [0.0, 100.0, 1000.0])
def test_instance_norm_survives_a_large_mean(mean):
    x = normal(1, 32, 33, 5) + np.float32(mean)
    y, _, rstd = instance_norm.forward(x, norm=NormSettings())
    want, _, wanted = plain_norm.forward(x.astype(np.float64), norm=NormSettings())
    # A slab's mean is kept in float32, so up to 3e-8 of itself off; slabs lie 0.1 deviations from the picture's mean.
    close(rstd, wanted, 3e-7 + 3e-9 * mean)
    close(y, want, 3e-7 + 3e-8 * mean)


def test_a_constant_plane_gives_zeros():
    y, _, rstd = instance_norm.forward(np.full((1, 9, 9, 2), 3.7, np.float32), norm=NormSettings(eps=1e-5))
    assert not y.any() and np.allclose(rstd, 1e-5**-0.5)


def test_adam_agrees_with_its_reference_and_leaves_the_gradient_alone():
    p, g, m, v = normal(7, 5), normal(5, 7).T, normal(7, 5), np.abs(normal(7, 5))
    mine, theirs = ([a.copy() for a in (p, m, v)] for _ in range(2))
    settings = dict(lr=1e-2, beta1=0.5, beta2=0.999, eps=1e-8, step=3)
    before = g.copy()
    adam.update([mine[0]], [g], [mine[1]], [mine[2]], **settings)
    plain_adam.update([theirs[0]], [g], [theirs[1]], [theirs[2]], **settings)
    assert np.array_equal(g, before)
    for got, want in zip(mine, theirs, strict=True):
        close(got, want, 1e-6)


def everything() -> list[np.ndarray]:
    """One result of each kind of kernel, large enough to be shared among threads."""
    fixed = np.random.default_rng(1)
    x, w, few = (fixed.standard_normal(s).astype(np.float32) for s in ((1, 48, 48, 32), (3, 3, 32, 32), (7, 7, 32, 3)))
    norm, mirrored = NormSettings("relu"), Geometry(padding=3, padding_mode="reflect")
    results = [conv2d.forward(x, w, geometry=PADDED), conv2d.forward(x, few, geometry=mirrored)]
    results += conv2d.backward(x, x, w, geometry=PADDED)
    results += conv2d.backward(x[:, ::2, ::2], x, w, geometry=STRIDED)
    results += [conv_transpose2d.forward(x, w, geometry=TransposedGeometry()), *instance_norm.forward(x, x, norm=norm)]
    return [*results, instance_norm.backward(x, x, *instance_norm.forward(x, norm=norm)[1:], norm=norm)]


def test_the_number_of_threads_and_pieces_does_not_change_one_bit(monkeypatch):
    monkeypatch.setattr(threads, "GRAIN", 1)
    results = []
    for count, piece in ((1, 1), (2, threads.PIECE), (2, 1), (3, 1), (5, 1)):  # 5: weights are transformed once for all
        monkeypatch.setattr(threads, "COUNT", count)
        monkeypatch.setattr(threads, "PIECE", piece)
        results.append([a.tobytes() for a in everything()])
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("taps, padding", [(3, 1), (3, 3), (4, 1), (4, 2), (4, 3)])
def test_where_threads_could_meet_is_known(taps, padding):
    """Two lines of tiles that are not neighbours meet the same row only in deep mirrors."""
    apart = []
    for size in range(4, 30):
        source, m = direct.sources(size, padding, "reflect"), winograd_layout.tile(taps, 1)
        lines = [set(source[top : top + 6]) for top in range(0, len(source) - taps + 1, m)]
        apart.append(not any(a & b for i, a in enumerate(lines) for b in lines[i + 2 :]))
        assert winograd_layout.layout(size, size, taps, Geometry(1, padding, "reflect")).apart == apart[-1]
        assert winograd_layout.layout(size, size, taps, Geometry(1, padding)).apart
    assert all(apart) == (padding == 1)


def test_a_thread_writes_into_nobody_elses_part(monkeypatch):
    """Products are made of ROWS rows, so the last ones of a part reach beyond it: here, before its neighbour is ready."""
    x, w = normal(1, 27, 27, 32), normal(3, 3, 32, 32)
    want = conv2d.backward(x, x, w, geometry=PADDED, need=(True, False, False))[0]

    def share(function, count, work, *args, least=1):
        cut = 3 if function is winograd._dgrad else 0  # 21 tiles
        threads._run(function, cut, count, args)
        if cut:
            vars(threads._own)["M"].fill(np.nan)
            threads._run(function, 0, cut, args)

    monkeypatch.setattr(winograd, "share", share)
    assert np.array_equal(conv2d.backward(x, x, w, geometry=PADDED, need=(True, False, False))[0], want)


def test_results_are_not_buffers():
    x, w = normal(1, 8, 8, 16), normal(3, 3, 16, 16)
    first = conv2d.forward(x, w, geometry=PADDED)
    kept = first.copy()
    conv2d.forward(-x, w, geometry=PADDED)
    assert np.array_equal(first, kept)
    x, w = normal(1, 4, 12, 3), normal(4, 4, 3, 64)  # one part, of whole tiles and vectors: nothing to add or to cut
    dw = conv2d.backward(x[:, ::2, ::2, :1].repeat(64, 3), x, w, geometry=STRIDED)[1]
    kept = dw.copy()
    conv2d.backward(x[:, ::2, ::2, 1:2].repeat(64, 3), x, w, geometry=STRIDED)
    assert np.array_equal(dw, kept)


def test_read_only_and_strided_arrays_are_taken():
    x, w = normal(1, 16, 8, 16)[:, ::2], np.broadcast_to(normal(3, 3, 1, 16), (3, 3, 16, 16))
    close(conv2d.forward(x, w, geometry=Geometry()), reference.forward(x, w, geometry=Geometry()))


def test_many_threads_may_call_at_once():
    x, w = normal(1, 16, 16, 16), normal(3, 3, 16, 16)
    want, wrong = conv2d.forward(x, w, geometry=PADDED), []

    def call() -> None:
        wrong.extend(i for i in range(20) if not np.array_equal(conv2d.forward(x, w, geometry=PADDED), want))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_an_error_in_one_part_is_raised(monkeypatch):
    monkeypatch.setattr(threads, "COUNT", 2)

    def fails(first: int, last: int) -> None:
        if first:
            raise ZeroDivisionError(first)

    with pytest.raises(ZeroDivisionError):
        threads.share(fails, 2, 10 * threads.GRAIN)
    done: list[int] = []
    threads.share(lambda first, last: done.append(last - first), 2, 10 * threads.GRAIN)
    assert sorted(done) == [1, 1]


def pieces_of(count: int, work: int, **limits: int) -> list[tuple[int, int]]:
    """How `share` cuts a loop."""
    pieces: list[tuple[int, int]] = []
    threads.share(lambda first, last: pieces.append((first, last)), count, work, **limits)
    return sorted(pieces)


def test_a_loop_is_cut_as_it_pays(monkeypatch):
    monkeypatch.setattr(threads, "COUNT", 2)
    large = 100 * threads.PIECE
    assert pieces_of(9, threads.GRAIN) == [(0, 9)]
    assert pieces_of(9, 2 * threads.GRAIN) == [(0, 5), (5, 9)]
    assert pieces_of(11, large) == [(0, 2), (2, 4), (4, 6), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11)]
    assert pieces_of(11, large, least=2) == [(0, 3), (3, 6), (6, 9), (9, 11)]
    assert pieces_of(11, large, least=9) == [(0, 6), (6, 11)]


def test_a_slow_thread_takes_fewer_pieces(monkeypatch):
    """The first piece lasts until all others are done, by a thread that it does not hold up."""
    monkeypatch.setattr(threads, "COUNT", 2)
    rest, done = threading.Event(), []

    def piece(first: int, last: int) -> None:
        if not first:
            assert rest.wait(10)
        done.append(first)
        if len(done) == 7:
            rest.set()

    threads.share(piece, 8, 100 * threads.PIECE)
    assert done[-1] == 0 and sorted(done) == list(range(8))


def test_who_has_ended_helps_the_others(monkeypatch):
    """While all threads have an item, loops are not cut; once others have ended, they take part in the last one's."""
    count = max(2, len(threads._threads) + 1)  # with those that other tests have started
    monkeypatch.setattr(threads, "COUNT", count)
    all_there, pair, seen = threading.Barrier(count), threading.Barrier(2), set[int]()

    def meet(first: int, last: int) -> None:
        pair.wait(10)
        seen.add(threading.get_ident())

    def item(i: int) -> None:
        all_there.wait(10)
        assert threads.parts_of(8, 100 * threads.PIECE) == 1
        all_there.wait(10)
        if i == count - 1:
            until = time.monotonic() + 10
            while threads.parts_of(2, 100 * threads.PIECE) < 2 and time.monotonic() < until:
                time.sleep(0.001)
            threads.share(meet, 2, 2 * threads.PIECE)

    threads.together(item, range(count))
    assert len(seen) == 2


def test_who_is_interrupted_while_waiting_is_asked_no_more(monkeypatch):
    monkeypatch.setattr(threads, "COUNT", max(2, len(threads._threads) + 1))
    both, waiting = threading.Barrier(2), threading.current_thread()

    def item(i: int) -> None:
        both.wait(10)
        if threading.current_thread() is not waiting:
            time.sleep(0.05)
            signal.pthread_kill(waiting.ident, signal.SIGINT)
            time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        threads.together(item, range(2))
    time.sleep(0.2)  # the other one ends
    assert len(threads._idle) <= len(threads._threads)


def test_numba_is_not_loaded_before_it_is_needed():
    code = "import sys, kernels.dispatch, autograd, nn, train.cyclegan; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_subroutine_is_compiled_once_for_constants_and_variables():
    compiled: list[str] = []

    class Names(event.Listener):
        def on_start(self, event):
            compiled.append(event.data["dispatcher"].py_func.__name__)

        def on_end(self, event):
            pass

    @compiler.subroutine
    def scaled(x, factor, i):
        return x[i] * factor

    @njit(**compiler.OPTIONS)  # not `kernel`: that would keep the code
    def run(x, n):
        x[0] = scaled(x, 3, 1) + scaled(x, n, 1) + scaled(x, n, n)

    x = np.arange(4, dtype=np.float32)
    with event.install_listener("numba:compile", Names()):
        run(x, 2)
    assert x[0] == 9
    assert sorted(compiled) == ["run", "scaled"]


def test_ctrl_c_waits_until_a_function_is_compiled():
    went_on: list[bool] = []

    @intrinsic
    def interrupted(context):
        signal.raise_signal(signal.SIGINT)
        went_on.append(True)
        return types.int64(), lambda context, builder, *_: context.get_constant(types.int64, 7)

    @njit(**compiler.OPTIONS)
    def run():
        return interrupted()

    with pytest.raises(KeyboardInterrupt):
        run()
    assert went_on and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run() == 7


def test_a_change_of_shared_code_is_compiled_into_its_callers(tmp_path):
    package = Path(threads.__file__).parents[1]
    for file in (
        *package.glob("*.py"),
        *(package / "cpu" / name for name in ("__init__.py", "noted.py", "threads.py")),
        *compiler.SHARED,
    ):
        copy = tmp_path / "kernels" / file.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    (tmp_path / "caller.py").write_text("""
import numpy as np
from kernels.cpu.linear import copy_run
from kernels.cpu.compiler import kernel

@kernel
def run(x, y):
    copy_run(x, 0, y, 0, 3)

y = np.zeros(3, np.float32)
run(np.ones(3, np.float32), y)
print(int(y.sum()))
""")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def answer() -> str:
        done = subprocess.run(
            [sys.executable, "caller.py"], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    assert answer() == "3"
    linear = tmp_path / "kernels" / "cpu" / "linear.py"
    linear.write_text(linear.read_text().replace("= x[x_at + i]", "= 2 * x[x_at + i]"))
    assert answer() == "6"
