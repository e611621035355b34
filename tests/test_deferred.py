"""Weight gradients that wait for those of layers that are alike: one launch, the same bits, and nothing held longer than needed."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from unittest import mock

import ml_dtypes
import numpy as np
import pytest

from autograd import Tensor
from autograd.checkpointing import checkpointed
from autograd.engine import leaf_gradients
from autograd.fusion import Deferred
from autograd.mode import watched
from autograd.ops import cast, conv_norm_relu
from benchmarks.kernel_replays import kept_calls
from kernels.conv2d import wgrad as products
from kernels.conv2d.geometry import Geometry
from kernels.conv2d.wgrad import choose_wgrad_tiles, wgrad
from kernels.conv_norm_relu import gpu as conv_norm_relu_gpu
from kernels.gpu.launch import Launch, hooks, recorded
from tests.sanitiser import UNWRITTEN, sanitised, shuffled

MIRRORED = Geometry(padding=1, padding_mode="reflect")
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "matmul", "fp32")


def grouped(launches: Sequence[Launch]) -> list[int]:
    """How many layers each launch is made for."""
    return [one.shapes.get("layers", (1,))[0] for one in launches if one.name == "conv2d._wgrad"]


# -- the kernel


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["fp32", "bf16"])
def test_several_layers_in_one_launch_have_the_bits_of_each_alone(dtype: Any) -> None:
    """Two weights of three images, a halo, a bias and tiles that stick out; one layer of another size comes between."""
    halo, settings = 2, dict(stack=2, bias=True, halo=2)
    layers = [
        (rng.normal(0.3, 1, (6, 5, Q, 16)).astype(dtype), rng.normal(0.3, 1, (6, 5 + halo, Q + halo, 8)).astype(dtype))
        for Q in (8, 8, 8, 7, 8)
    ]
    alone = [wgrad(x, dy, (3, 3), MIRRORED, **settings) for x, dy in layers]
    with sanitised(order=shuffled(0), every_read=True) as memory, recorded() as launches:
        deferred, results = Deferred(), []
        for x, dy in layers:
            arrays = memory.guarded(x), memory.guarded(dy)
            results.append(wgrad(*arrays, (3, 3), MIRRORED, **settings, deferred=deferred))
        assert all((np.ascontiguousarray(results[-1][i]).view(np.uint8) == UNWRITTEN).all() for i in range(2))
        deferred.finish()
    assert grouped(launches) == [3, 1, 1]
    for got, want in zip(results, alone, strict=True):
        assert all(np.array_equal(g, w) for g, w in zip(got, want, strict=True))


def test_layers_that_fill_a_gpu_take_wider_tiles() -> None:
    """Two weights have 72 tiles of 128x128, or 36 of 128x256; 132 programs run at a time."""
    x = np.empty((4, 64, 64, 256), ml_dtypes.bfloat16)
    with recorded(run=False) as launches:
        for count in (1, 3, 4):
            deferred = Deferred()
            for _ in range(count):
                wgrad(x, x, (3, 3), MIRRORED, stack=2, deferred=deferred)
            deferred.finish()
    assert [one.grid for one in launches] == [(18, 2, 2), (18, 2, 6), (18, 1, 8)]
    assert [one.constexprs["BN"] for one in launches] == [128, 128, 256]
    assert [one.flops // launches[0].flops for one in launches] == [1, 3, 4]
    x, dy = (rng.integers(-3, 4, (1, 4, 64, 256)).astype(ml_dtypes.bfloat16) for _ in range(2))
    tiles = choose_wgrad_tiles(256, 256, 64, x, rows=1 << 20)
    wide, exact = wgrad(x, dy, (1, 1), Geometry(), tiles=tiles)[0], np.einsum("npqc,npqk->ck", *np.float64([x, dy]))
    assert tiles["BN"] == 256 and np.array_equal(wide[0, 0, 0], exact)  # of whole numbers no sum is rounded


def test_what_is_cut_into_slices_does_not_wait() -> None:
    """Few tiles and many pixels: the launch fills a GPU by itself, and what waits is small."""
    x = np.empty((4, 128, 128, 256), ml_dtypes.bfloat16)
    with recorded(run=False) as launches:
        wgrad(x, x, (3, 3), MIRRORED, stack=2, deferred=Deferred())
    assert [one.name for one in launches] == ["conv2d._wgrad", "conv2d._sum_slices"]


# -- the walk


def chain(x: Tensor, *weights: Tensor) -> Tensor:
    for first, second in zip(weights[::2], weights[1::2], strict=True):
        x = conv_norm_relu(conv_norm_relu(x, first, padding=1), second, x, padding=1, activation="none")
    return x


X = rng.normal(0.3, 1, (2, 6, 5, 8)).astype(np.float32)
W = [(rng.normal(0.1, 1, (3, 3, 8, 8)) / 8).astype(np.float32) for _ in range(4)]
DY = rng.normal(0.2, 1, X.shape).astype(np.float32)


def backward(y_of: Callable[..., Tensor] = chain) -> tuple[list[np.ndarray], list[int]]:
    """The gradients, and how many layers each launch of weight gradients was for."""
    x, *weights = leaves = [Tensor(a, requires_grad=True, device="interpret") for a in (X, *W)]
    y = y_of(x, *weights)
    with recorded() as launches:
        y.backward(DY.astype(y.dtype))
    return [leaf.grad for leaf in leaves], grouped(launches)


def at_once() -> Any:
    """Without waiting."""
    return mock.patch.object(conv_norm_relu_gpu, "DEFERRED", False)


def in_bfloat16(x: Tensor, *weights: Tensor) -> Tensor:
    return chain(*(cast(t, ml_dtypes.bfloat16) for t in (x, *weights)))


def computed(x: Tensor, *weights: Tensor) -> Tensor:
    """Weights that are no leaves: who made them wants their gradients on the way."""
    return chain(x, *(w * 2.0 for w in weights))


def shared(x: Tensor, *weights: Tensor) -> Tensor:
    """A copy in another precision that two layers read: its gradients are added up on the way."""
    low = [cast(t, ml_dtypes.bfloat16) for t in (x, *weights[:2])]
    return chain(*low, *low[1:])


def in_blocks(x: Tensor, *weights: Tensor) -> Tensor:
    for i in (0, 2):
        pair = weights[i : i + 2]
        x = checkpointed(lambda x, pair=pair: chain(x, *pair), x, pair)
    return x


@pytest.mark.parametrize(
    ("graph", "launches"),
    [(chain, [4]), (in_bfloat16, [4]), (computed, 4 * [1]), (shared, 4 * [1]), (in_blocks, [2, 2])],
)
def test_a_graph_has_the_same_bits_as_without_waiting(graph: Callable[..., Tensor], launches: list[int]) -> None:
    got, groups = backward(graph)
    with at_once():
        want, alone = backward(graph)
    assert groups == launches and alone == 4 * [1]
    assert all(np.array_equal(g, w) for g, w in zip(got, want, strict=True) if w is not None)


def test_who_watches_finds_each_gradient_made() -> None:
    """Of weights used twice: those of the first blocks wait, and are made before the first of all is complete."""

    class Watcher:
        heard: ClassVar[dict[int, np.ndarray]] = {}

        def expect(self, leaves: Any) -> None: ...

        def complete(self, leaf: Tensor) -> None:
            self.heard[id(leaf.data)] = leaf.grad.copy()

    def twice(x: Tensor, *weights: Tensor) -> Tensor:
        return chain(chain(x, *weights), *weights)

    with at_once():
        want, _ = backward(twice)
    with watched(Watcher()):
        got, launches = backward(twice)
    assert launches == [5, 1, 1, 1]
    assert all(np.array_equal(g, w) for g, w in zip(got, want, strict=True))
    assert all(np.array_equal(Watcher.heard[i], w) for i, w in zip(map(id, (X, *W)), want, strict=True))


def test_nothing_is_held_when_the_walk_is_over() -> None:
    join, waited = Deferred.join, []

    def joined(self: Deferred, kind: Any, work: Any, together: Any) -> None:
        join(self, kind, work, together)
        waited.extend(weakref.ref(array) for array in work[:2])
        assert all(array() is not None for array in waited)

    x, *weights = (Tensor(a, requires_grad=i > 0, device="interpret") for i, a in enumerate((X, *W)))
    y = chain(x, *weights)
    del x
    with mock.patch.object(Deferred, "join", joined):
        arrived = leaf_gradients(y, DY)
    alive = [array() for array in waited if array() is not None]
    assert len(waited) == 8 and len(arrived) == 4 and all(array is X for array in alive)


class Poisoned:
    """Memory that is overwritten with NaNs as soon as nobody holds it, as a pool's is by whoever is given it next."""

    def __init__(self, nbytes: int) -> None:
        self.bytes = ctypes.create_string_buffer(nbytes + 16)
        start = -ctypes.addressof(self.bytes) % 16 + ctypes.addressof(self.bytes)
        self.__array_interface__ = {"shape": (nbytes,), "typestr": "|u1", "data": (start, False), "version": 3}
        weakref.finalize(self, ctypes.memset, ctypes.addressof(self.bytes), 0xFF, nbytes + 16)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that kernels write is such memory."""
    kept = []

    def allocate(xp: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        block = Poisoned(int(np.prod(shape)) * dtype.itemsize)
        kept.append(block.bytes)  # given back to nobody else
        return np.asarray(block).view(dtype).reshape(shape)

    monkeypatch.setattr(hooks, "allocate", allocate)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("held", [True, False])
def test_what_waits_keeps_its_memory(held: bool) -> None:
    """And the test sees where it does not: addresses alone keep no memory."""

    def unheld(array: np.ndarray) -> np.ndarray:
        there = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
        return np.frombuffer(there, array.dtype).reshape(array.shape)

    join = Deferred.join

    def joined(self: Deferred, kind: Any, work: Any, together: Any) -> None:
        x, dz, dw = work
        join(self, kind, work if held else (unheld(x), unheld(dz), dw), together)

    with at_once():
        want, _ = backward()
    with mock.patch.object(Deferred, "join", joined):
        got, groups = backward()
    assert groups == [4]
    assert all(np.array_equal(g, w) for g, w in zip(got, want, strict=True)) == held


@pytest.mark.usefixtures("poisoned")
def test_a_launch_that_is_measured_finds_all_layers_again() -> None:
    """It knows them by their addresses alone."""
    with kept_calls() as calls:
        grads, _ = backward()
    before = [dw.copy() for dw in grads[1:]]
    for dw in grads[1:]:
        dw.fill(np.nan)
    (call,) = (call for call in calls.values() if "layers" in call.launch.shapes)
    call.again()
    assert all(np.array_equal(dw, was) for dw, was in zip(grads[1:], before, strict=True))


def test_every_kind_of_settings_is_told_apart() -> None:
    """Layers whose gradients one launch cannot make do not meet in one."""
    x, dy = np.ones((2, 6, 6, 16), np.float32), np.ones((2, 6, 6, 16), np.float32)
    plain = dict(x=x, dy=dy, kernel=(3, 3), geometry=Geometry(padding=1))
    others = [
        {"x": x.astype(ml_dtypes.bfloat16), "dy": dy.astype(ml_dtypes.bfloat16)}, {"x": x[:1], "dy": dy[:1]},
        {"geometry": MIRRORED}, {"stack": 2}, {"bias": True}, {"swapped": True}, {"kernel": (1, 3)}, {"halo": 2},
    ]  # fmt: skip
    with recorded(run=False) as launches:
        deferred = Deferred()
        for change in others:
            for settings in (plain, plain | change):
                products.wgrad(**settings, deferred=deferred)
        deferred.finish()
    assert grouped(launches) == 2 * len(others) * [1]
