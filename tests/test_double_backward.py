"""Gradients of gradients against torch's in float64: op by op, through a whole discriminator, and by differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autograd import Tensor, grad, gradcheck, no_grad, ops
from kernels.device import Device
from nn import PatchDiscriminator
from nn.losses import gradient_penalty
from tests.cases import CASES, Case, arrays
from tests.harness import compare
from tests.tolerances import tolerance, within
from tests.torch_ops import TORCH
from tests.torch_reference import TorchPatchDiscriminator, load_numpy_state, to_torch
from tests.torch_reference import gradient_penalty as torch_penalty

TWICE = {
    "conv2d", "conv_transpose2d", "conv_norm_relu", "conv_transpose_norm_relu", "instance_norm", "leaky_relu", "tanh", "mean", "add",
    "batch_slice", "reflection_pad", "resize", "dropout",
}  # fmt: skip
SAMPLED = {"minimal", "ragged", "non-contiguous", "degenerate", "stride-2-strided", "stride-2-reflect", "unread-edge",
           "patch", "innermost", "unet", "leaky-skip", "relu-skip", "relu", "bilinear-down", "many",
           "stack", "stack-patch"}  # fmt: skip


def second_gradients(case: Case, device: Device) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """d(loss)/d(every input, and the upstream gradient), ours and torch's, for a random loss of all first gradients."""
    inputs = {name: array for name, array in arrays(case, "float64").items()}
    theirs = {n: None if a is None else torch.tensor(a, requires_grad=True) for n, a in inputs.items()}
    mine = {n: None if a is None else Tensor(a, requires_grad=True, device=device) for n, a in inputs.items()}
    y, z = getattr(ops, case.op)(*mine.values(), **case.settings), TORCH[case.op](*theirs.values(), **case.settings)
    rng = np.random.default_rng(1)
    up = rng.standard_normal(y.shape) + 0.2
    u, v = Tensor(up, requires_grad=True, device=device), torch.tensor(up, requires_grad=True)
    leaves = [t for t in mine.values() if t is not None]
    truths = [t for t in theirs.values() if t is not None]
    first = grad(y, leaves, u)
    wanted = torch.autograd.grad(z, truths, v, create_graph=True)
    loss, truth = None, torch.zeros((), dtype=torch.float64)
    for g, w in zip(first, wanted, strict=True):
        weights = rng.standard_normal(g.shape) + 0.3
        term = (g * g * weights + g * weights).sum()
        loss = term if loss is None else loss + term
        truth = truth + (w * w * torch.tensor(weights) + w * torch.tensor(weights)).sum()
    assert loss is not None
    loss.backward()
    truth.backward()
    pairs = [(t.grad, s.grad) for t, s in zip([*leaves, u], [*truths, v], strict=True)]
    zero = [np.zeros(tuple(s.shape)) for s in [*truths, v]]
    return (
        [z if g is None else g for (g, _), z in zip(pairs, zero, strict=True)],
        [z if s is None else s.numpy() for (_, s), z in zip(pairs, zero, strict=True)],
    )


@pytest.mark.parametrize("case", [c for c in CASES if c.op in TWICE and c.label in SAMPLED], ids=str)
def test_second_gradients_agree_with_torch(case: Case) -> None:
    mine, wanted = second_gradients(case, Device("cpu"))
    rtol, atol = tolerance(case.op, "float64", case.values)
    for i, (a, b) in enumerate(zip(mine, wanted, strict=True)):
        compare(
            f"{case}, second gradient {i}", a, b, within(b, 100 * rtol, 100 * atol)
        )  # two backwards and a square on top


def slopes(x: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """A penalty on the input's gradient through every kind of node."""
    h = ops.conv_norm_relu(x, w, stride=2, padding=1, activation="leaky_relu")
    h = ops.tanh(ops.conv2d(h, v, padding=1) / 2.0 - 0.1)
    (dx,) = grad(ops.mean(h * h[:, ::-1]) - ops.exp(0.5 * h.reshape(-1)).sum() / (1 + h.sum() ** 2), [x])
    return ((dx * dx).sum(axis=(1, 2, 3)) + 1e-12) ** 0.5


def twice(x: Tensor, w: Tensor) -> Tensor:
    """A gradient of a gradient."""
    (dw,) = grad((ops.conv2d(x, w, padding=1) ** 3).sum(), [w])
    (dx,) = grad((dw * dw).sum(), [x])
    return dx


@pytest.mark.parametrize(
    ("function", "shapes", "atol"),
    [(slopes, ((2, 6, 5, 2), (4, 4, 2, 3), (3, 3, 3, 2)), 1e-6), (twice, ((1, 4, 4, 1), (3, 3, 1, 2)), 1e-4)],
)
def test_differences_agree_too_and_third_gradients_exist(function, shapes, atol) -> None:
    rng = np.random.default_rng(0)
    inputs = [Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]
    assert gradcheck(function, inputs, rtol=1e-4, atol=atol)
    # Differences of a wrong first gradient agree with the backward of that wrong gradient: so the table against `backward`.
    upstream = rng.standard_normal(function(*inputs).shape)
    again = grad(function(*inputs), inputs, Tensor(upstream))
    for tensor, mine in zip(inputs, again, strict=True):
        tensor.grad = None
        function(*inputs).backward(upstream)
        compare(str(function), mine.data, tensor.grad, within(tensor.grad, 1e-9, 1e-9))


def test_first_gradients_of_all_arithmetic_are_those_of_backward() -> None:
    x, z = (Tensor(np.array(values), requires_grad=True) for values in ([0.5, 1.5, -2.0], [[2.0], [-0.7]]))
    y = ((x - z) / (x * z + 5) + ops.exp(x / 2) * ops.tanh(z) - ops.leaky_relu(x + z + x, 0.3) ** 3)[:, 1:].sum(axis=0)
    y = y + (z @ x.reshape(1, 3)).T[1:].sum(axis=1)
    first = grad(y, [x, z])
    y.backward(np.ones(2))
    for mine, tensor in zip(first, (x, z), strict=True):
        compare("arithmetic", mine.data, tensor.grad, within(tensor.grad, 1e-14, 1e-14))


@pytest.mark.parametrize(("place", "dtype"), [("cpu", "float64"), ("cpu", "float32"), ("interpret", "float32")])
def test_the_penalty_of_a_whole_discriminator(place: str, dtype: str) -> None:
    device, size = Device(place), 10 if place == "interpret" else 20
    layers = 1 if place == "interpret" else 2
    rng = np.random.default_rng(0)
    disc = PatchDiscriminator(3, ndf=4, n_layers=layers, device=device, seed=1, init_gain=0.1).astype(dtype)
    twin = TorchPatchDiscriminator(3, 4, layers).double()
    load_numpy_state(twin, disc.state_dict())
    real, fake = (np.tanh(rng.normal(0.3, 1, (2, size, size + 4, 3))) for _ in range(2))
    share = rng.random((2, 1, 1, 1))
    loss = gradient_penalty(disc, *(Tensor(a.astype(dtype), device=device) for a in (real, fake, share)), 10.0)
    loss.backward()
    truth = torch_penalty(twin, to_torch(real), to_torch(fake), torch.tensor(share), 10.0)
    truth.backward()
    tight = 1e-10 if dtype == "float64" else 1e-4
    assert loss.item() == pytest.approx(truth.item(), rel=tight)
    wanted = {name: p.grad for name, p in twin.named_parameters()}
    for name, p in disc.named_parameters():
        if p.trained and p.grad is not None:  # the last bias moves no slope
            g = p.grad.transpose(p.torch_axes) if p.ndim == 4 else p.grad
            compare(name, np.asarray(g), wanted[name].numpy(), within(wanted[name].numpy(), tight, tight))


def test_values_without_history_under_no_grad_and_what_is_refused() -> None:
    x = Tensor(np.arange(1.0, 5.0), requires_grad=True)
    y = x * x
    (g,) = grad(y.sum(), [x])
    np.testing.assert_array_equal(g.data, 2 * x.data)
    with no_grad():
        (plain,) = grad(y, [x])
    assert plain.creator is None and np.array_equal(plain.data, 2 * x.data)
    assert x.grad is None
    with pytest.raises(NotImplementedError, match="l1_loss: there is no gradient of its gradient"):
        grad(ops.l1_loss(x, Tensor(np.zeros(4))), [x])
    with pytest.raises(ValueError, match="does not depend on input 0"):
        grad(y, [Tensor(np.ones(4), requires_grad=True)])
    with pytest.raises(ValueError, match=r"upstream gradient \(3,\) does not fit"):
        grad(y, [x], Tensor(np.ones(3)))
