"""Every memory-bound GPU kernel, in Triton's interpreter, against its reference in float64.

Each case runs twice, the second time with the programs of every launch shuffled, and both times under the sanitiser: same
bits, nothing written outside, all outputs written, inputs unchanged.
"""

from __future__ import annotations

import importlib
import itertools
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.sanitiser import sanitised, shuffled

TOLERANCE = 5e-6


@dataclass
class Case:
    """One call: `kernels.<op>.gpu.<function>(*arrays, **options)`."""

    op: str
    function: str
    label: str
    arrays: tuple[np.ndarray, ...]
    options: dict[str, Any] = field(default_factory=dict)
    tolerance: float = TOLERANCE

    def __str__(self) -> str:
        return f"{self.op}.{self.function}-{self.label}"


def outputs(module: Any, case: Case, arrays: list) -> tuple[np.ndarray, ...]:
    result = getattr(module, case.function)(*arrays, **case.options)
    return result if isinstance(result, tuple) else (result,)


def check(case: Case) -> None:
    expected = outputs(reference(case), case, [a.astype(np.float64) for a in case.arrays])
    runs = []
    for order in (iter, shuffled(0)):
        with sanitised(order) as memory:
            given = [memory.guarded(a) if a.flags.c_contiguous else a.copy("K") for a in case.arrays]
            runs.append(outputs(gpu(case), case, given))
        for before, after in zip(case.arrays, given, strict=True):
            assert np.array_equal(before, after), "an input was changed"
    for want, first, second in zip(expected, *runs, strict=True):
        assert first.shape == np.shape(want)
        assert first.tobytes() == second.tobytes(), "the order of programs changed the result"
        assert (np.abs(first - want) <= case.tolerance * (1 + np.abs(want))).all()  # NaN fails


def gpu(case: Case) -> Any:
    return importlib.import_module(f"kernels.{case.op}.gpu")


def reference(case: Case) -> Any:
    return importlib.import_module(f"kernels.{case.op}.reference")


SHAPES = {
    "minimal": (1, 1, 1, 1),
    "ragged": (2, 5, 7, 3),
    "non-contiguous": (2, 6, 5, 4),
    "real": (1, 12, 16, 16),
    "degenerate": (1, 4, 4, 2),
}


def draw(label: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Numbers with a mean that is not 0; the same number everywhere for the degenerate case."""
    x = np.random.default_rng(seed).normal(0.5, 1.5, shape).astype(np.float32)
    if label == "non-contiguous":
        return np.asfortranarray(x)
    return np.full_like(x, 1.0 - 2 * (seed % 2)) if label == "degenerate" else x


def elementwise_cases():
    for label, shape in SHAPES.items():
        x, y, dy = (draw(label, shape, seed) for seed in range(3))
        for op in ("lsgan_loss", "bce_with_logits", "hinge_loss"):
            yield Case(op, "forward", label, (x,), dict(target=1.0))
            yield Case(op, "forward", f"{label}-0", (x,), dict(target=-1.0 if op == "hinge_loss" else 0.0))
        yield Case("l1_loss", "forward", label, (x, y))
        yield Case("l1_loss", "forward", f"{label}-ties", (x, x))
        yield Case("tanh", "forward", label, (x,))
        yield Case("tanh", "backward", label, (dy, y))
        yield Case("leaky_relu", "forward", label, (x,), dict(slope=0.2))
        yield Case("leaky_relu", "backward", label, (dy, x * (x > 0)), dict(slope=0.2))
        yield Case("dropout", "forward", label, (x,), dict(p=0.5, key=0xFEDCBA98))
        yield Case("cast", "forward", label, (x,), dict(dtype=np.dtype(ml_dtypes.bfloat16)))
    yield Case("dropout", "backward", "key-1-drops-none", (dy,), dict(p=0.0, key=1))
    extreme = np.array([-1000, -90, -0.0, 0.0, 1e-4, 90, 1000], np.float32)
    yield Case("tanh", "forward", "extreme", (extreme,))
    yield Case("bce_with_logits", "forward", "extreme", (extreme,), dict(target=1.0), 1e-5)


def reshaping_cases():
    for label, shape, pad in [
        ("minimal", (1, 2, 2, 1), 1),
        ("ragged", (2, 5, 7, 3), 3),
        ("non-contiguous", (1, 4, 5, 4), 1),
        ("real", (1, 9, 8, 70), 3),
        ("degenerate", (1, 3, 4, 2), 2),  # pad = H - 1
        ("none", (1, 3, 4, 2), 0),
    ]:
        padded = (shape[0], shape[1] + 2 * pad, shape[2] + 2 * pad, shape[3])
        yield Case("reflection_pad", "forward", label, (draw(label, shape),), dict(pad=pad))
        yield Case("reflection_pad", "backward", label, (draw(label, padded),), dict(pad=pad))
    for label, shape, size in [
        ("minimal", (1, 1, 1, 1), (2, 2)),
        ("ragged", (2, 5, 7, 3), (8, 6)),
        ("non-contiguous", (1, 3, 4, 4), (6, 8)),
        ("real", (1, 8, 8, 16), (16, 16)),
        ("degenerate", (1, 9, 8, 2), (2, 1)),  # pixels that no output looks at
    ]:
        for mode in ("nearest", "bilinear"):
            x, dy = draw(label, shape), draw(label, (shape[0], *size, shape[3]), 1)
            yield Case("resize", "forward", f"{label}-{mode}", (x,), dict(size=size, mode=mode))
            yield Case("resize", "backward", f"{label}-{mode}", (dy,), dict(input_size=shape[1:3], mode=mode))
    for label, shape in SHAPES.items():
        for axis in (-1, 1):
            other = list(shape)
            other[axis] += 2
            x, y = draw(label, shape), draw(label, tuple(other), 1)
            options = dict(widths=(x.shape[axis], y.shape[axis]), axis=axis)
            yield Case("concat", "forward", f"{label}-{axis}", (x, y), dict(axis=axis))
            yield Case("concat", "backward", f"{label}-{axis}", (np.concatenate((x, y), axis),), options)


def instance_norm_cases():
    for label, shape, activation, with_skip in [
        ("minimal", (1, 1, 2, 1), "none", False),
        ("ragged", (2, 7, 9, 3), "leaky_relu", True),
        ("non-contiguous", (1, 6, 11, 5), "relu", True),
        ("real", (1, 24, 24, 70), "relu", True),  # 18 tiles, two blocks of channels
        ("degenerate", (1, 6, 7, 4), "relu", False),
    ]:
        x, skip, dy = draw(label, shape), draw("", shape, 1), draw("", shape, 2)
        exact = importlib.import_module("kernels.instance_norm.reference").forward(x.astype(np.float64))
        mean, rstd = (a.astype(np.float32) for a in exact[1:])
        tolerance = 2e-5
        options = dict(activation=activation)
        yield Case("instance_norm", "forward", label, (x, skip) if with_skip else (x,), options, tolerance)
        yield Case("instance_norm", "backward", label, (dy, x, mean, rstd), options, tolerance)
        style = draw(label, (shape[0], shape[3]), 3), draw(label, (shape[0], shape[3]), 4)
        yield Case("conditional_instance_norm", "forward", label, (x, *style), options, tolerance)
        yield Case("conditional_instance_norm", "backward", label, (dy, x, mean, rstd, *style), options, tolerance)


@pytest.mark.parametrize("case", [*elementwise_cases(), *reshaping_cases(), *instance_norm_cases()], ids=str)
def test_agrees_with_the_reference(case):
    check(case)


def test_variance_survives_a_large_mean():
    x = np.random.default_rng(0).normal(1000, 1, (1, 16, 16, 4)).astype(np.float32)
    variance = x.astype(np.float64).var((1, 2))
    from kernels.instance_norm import gpu

    _, mean, rstd = gpu.forward(x, eps=0.0)
    assert np.abs(mean / x.astype(np.float64).mean((1, 2)) - 1).max() < 1e-7
    assert np.abs(rstd**-2.0 / variance - 1).max() < 1e-5  # E[x^2] - E[x]^2 is off by 9e-2


def test_partials_of_other_tiles_give_the_same_norm():
    """As left by a convolution whose tile is not the one that `forward` would take; the last is shorter."""
    from kernels.instance_norm import gpu

    x, tile = draw("", (2, 7, 9, 3)), 20
    pixels = [x.reshape(2, 63, 3)[:, start : start + tile].astype(np.float64) for start in range(0, 63, tile)]
    partials = np.stack([np.stack((p.mean(1), p.var(1) * p.shape[1]), 1) for p in pixels], 1).astype(np.float32)
    assert partials.shape == (2, 4, 2, 3)
    for got, want in zip(gpu.normalise(x, partials, tile), gpu.forward(x), strict=True):
        assert np.abs(got - want).max() < 5e-6


def test_a_tile_may_take_several_rounds(monkeypatch):
    """On large maps a program walks over its tile 32 pixels at a time; here the last round of the only tile is ragged."""
    from kernels.instance_norm import gpu

    x, dy = draw("", (2, 7, 13, 3)), draw("", (2, 7, 13, 3), 1)
    few = gpu.forward(x, activation="relu")
    monkeypatch.setattr(gpu, "_tile", lambda x: 96)
    one = gpu.forward(x, activation="relu")
    assert all(np.abs(a - b).max() < 5e-6 for a, b in zip(few, one, strict=True))
    check(Case("instance_norm", "forward", "rounds", (x,), tolerance=2e-5))
    check(Case("instance_norm", "backward", "rounds", (dy, x, *one[1:]), tolerance=2e-5))


@pytest.mark.parametrize("order", [iter, shuffled(0)], ids=["in order", "shuffled"])
def test_adam_updates_all_tensors_in_one_launch(order):
    from kernels.adam import gpu, reference
    from kernels.gpu.launch import recorded

    rng = np.random.default_rng(0)
    shapes = [(1,), (3, 3, 4, 5), (1500,), (7, 2)]
    exact = [[rng.normal(size=shape) for shape in shapes], *([np.zeros(s) for s in shapes] for _ in range(2))]
    with sanitised(order) as memory:
        ours = [[memory.guarded(a.astype(np.float32)) for a in group] for group in exact]
        for step in (1, 2, 3):
            grads = [np.asfortranarray(rng.normal(size=shape).astype(np.float32)) for shape in shapes]
            options = dict(lr=2e-3, beta1=0.5, beta2=0.999, eps=1e-8, step=step)
            kept = [g.copy() for g in grads]
            reference.update(exact[0], [g.astype(np.float64) for g in grads], *exact[1:], **options)
            with recorded() as launches:
                gpu.update(ours[0], grads, *ours[1:], **options)
            assert len(launches) == 1 and launches[0].bytes == 28 * sum(g.size for g in grads)
            assert all(np.array_equal(a, b) for a, b in zip(grads, kept, strict=True))
    for want, got in zip(itertools.chain(*exact), itertools.chain(*ours), strict=True):
        assert (np.abs(got - want) <= 2e-6 * (1 + np.abs(want))).all()


def test_adam_takes_tensors_at_any_address():
    from kernels.adam import gpu

    results = []
    for offset in (0, 1):
        p, g, m, v = (np.zeros(34, np.float32)[offset : offset + 33] for _ in range(4))
        p[:], g[:] = 1, np.linspace(-1, 1, 33)
        gpu.update([p], [g], [m], [v], lr=0.1, beta1=0.5, beta2=0.9, eps=1e-8, step=1)
        results.append(p)
    assert np.array_equal(*results) and not (results[0] == 1).all()


def test_adam_refuses_what_it_would_get_wrong():
    from kernels.adam import gpu

    options = dict(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-8, step=1)
    good, matrix = np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32).T
    with pytest.raises(TypeError, match="float32"):
        gpu.update([good], [good.astype(np.float64)], [good], [good], **options)
    with pytest.raises(ValueError, match="contiguous"):
        gpu.update([matrix], [good], [good], [good], **options)
    with pytest.raises(ValueError, match="shapes"):
        gpu.update([good], [good[:1]], [good], [good], **options)


@pytest.mark.parametrize("function", ["forward", "backward"])
def test_bfloat16_in_and_out(function):
    """Stored as bf16, computed in float32: within one rounding (2^-8) of the reference on the same inputs."""
    for case in [*elementwise_cases(), *reshaping_cases(), *instance_norm_cases()]:
        if case.label not in ("ragged", "ragged-bilinear", "ragged--1") or case.function != function:
            continue
        arrays = [a.astype(ml_dtypes.bfloat16) if a.ndim == 4 else a for a in case.arrays]
        expected = outputs(reference(case), case, [a.astype(np.float64) for a in arrays])
        for want, got in zip(expected, outputs(gpu(case), case, arrays), strict=True):
            assert got.dtype == (ml_dtypes.bfloat16 if got.ndim == 4 else np.float32)
            assert (np.abs(got.astype(np.float64) - want) <= 2**-8 * np.abs(want) + 1e-5).all(), str(case)


def test_float64_is_refused():
    from kernels.tanh import gpu

    with pytest.raises(TypeError, match=r"float64.*float32"):
        gpu.forward(np.zeros((1, 2, 2, 1)))
