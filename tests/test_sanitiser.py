"""The sanitiser catches kernels broken on purpose, and lets the sound one pass."""

from __future__ import annotations

import numpy as np
import pytest
import triton
import triton.language as tl

from kernels.gpu.launch import empty, launch
from tests.sanitiser import SanitiserError, sanitised, shuffled

BLOCK = 64
N = 200  # four programs, the last one ragged


@triton.jit
def _sound(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n, other=0.0) + 1, mask=at < n)


@triton.jit
def _writes_outside(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n, other=0.0) + 1, mask=at <= n)


@triton.jit
def _copies_outside(x, y, n, BLOCK: tl.constexpr):
    """Nothing is masked: guards are read and written as they are."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at))


@triton.jit
def _updates_outside(x, y, n, BLOCK: tl.constexpr):
    """In place: what lies outside is read, changed and written back."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n, other=0.0) + 1, mask=at < n)
    tl.store(y + at, tl.load(y + at) + 1)


@triton.jit
def _reads_outside(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at + 1, mask=at < n, other=0.0) + 1, mask=at < n)


@triton.jit
def _leaves_one_out(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n, other=0.0) + 1, mask=at < n - 1)


@triton.jit
def _races(x, y, n, BLOCK: tl.constexpr):
    """Every program also writes the next one's first element."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n, other=0.0) + 1, mask=at < n)
    after = (tl.program_id(0) + 1) * BLOCK
    tl.store(y + after, 7.0, mask=after < n)


@triton.jit
def _reads_outside_and_forgets(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    unmasked = tl.load(x + at)
    tl.store(y + at, tl.where(at < n, unmasked, 0.0) + 1, mask=at < n)


def run(kernel, order=iter, every_read=False):
    with sanitised(order, every_read) as memory:
        x = memory.guarded(np.arange(N, dtype=np.float32))
        y = empty(x, x.shape)
        launch(kernel, (triton.cdiv(N, BLOCK),), x, y, N, BLOCK=BLOCK)
    return y


def test_a_sound_kernel_passes_in_any_order():
    expected = np.arange(N, dtype=np.float32) + 1
    for order in (iter, shuffled(0), shuffled(1)):
        assert np.array_equal(run(_sound, order), expected)


@pytest.mark.parametrize("kernel", [_writes_outside, _copies_outside, _updates_outside], ids=lambda k: k.fn.__name__)
def test_a_write_outside_is_caught(kernel):
    with pytest.raises(SanitiserError, match="wrote outside"):
        run(kernel)


def test_a_read_outside_leaves_a_nan():
    assert np.isnan(run(_reads_outside)[-1])


def test_a_read_outside_is_caught_even_if_nothing_comes_of_it():
    assert np.array_equal(run(_sound, every_read=True), run(_reads_outside_and_forgets))
    with pytest.raises(SanitiserError, match="read outside"):
        run(_reads_outside_and_forgets, every_read=True)


def test_an_element_that_was_not_written_is_caught():
    with pytest.raises(SanitiserError, match="1 of 200 elements"):
        run(_leaves_one_out)


def test_a_race_shows_in_another_order():
    assert not np.array_equal(run(_races), run(_races, shuffled(0)))


def test_the_hooks_are_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), sanitised():
        raise ZeroDivisionError
    assert not np.isnan(empty(np.ones(3), (4,)).view(np.uint8)).any()  # a plain array again, not a guarded one
    assert empty(np.ones(3), (4,)).base is None
