"""no_grad: nothing is recorded inside, and everything again outside, whatever happens in between."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from autograd import Tensor, mode, no_grad
from autograd.mode import grad_enabled


def leaf(value):
    return Tensor(np.array(value), requires_grad=True)


@pytest.fixture(autouse=True)
def recording():
    """Whatever a test leaves behind, the next one records."""
    yield
    mode.state.__dict__.clear()


def test_no_grad_nests_and_comes_back_after_an_error():
    x = leaf(1.0)
    with no_grad():
        with no_grad():
            pass
        assert not grad_enabled() and not (x * 2).requires_grad
    assert grad_enabled() and (x * 2).requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert grad_enabled()


def test_no_grad_as_a_decorator_even_of_a_recursive_function():
    @no_grad()
    def countdown(n):
        assert not grad_enabled()
        return countdown(n - 1) if n else (leaf(1.0) * 2).requires_grad

    assert countdown(3) is False
    assert grad_enabled()


def test_no_grad_belongs_to_its_thread():
    inside, seen, done = threading.Event(), [], threading.Event()

    def other():
        with no_grad():
            inside.set()
            done.wait(5)
            seen.append(grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(5)
    assert grad_enabled() and (leaf(1.0) * 2).requires_grad
    done.set()
    thread.join(5)
    assert seen == [False] and grad_enabled()


def test_one_no_grad_may_serve_two_threads():
    """A decorated function called by two threads, one of them inside no_grad already."""
    shared, entered, go, after = no_grad(), threading.Event(), threading.Event(), []

    def other():
        with no_grad():
            with shared:
                entered.set()
                go.wait(5)
            after.append(grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(5)
    with shared:
        pass
    go.set()
    thread.join(5)
    assert after == [False] and grad_enabled()
