"""The backward walk: from the newest node to the oldest, each visited once, memory freed on the way."""

from __future__ import annotations

import contextlib
import heapq
import threading
from collections import Counter
from collections.abc import Iterator

from autograd.function import Function, one
from autograd.tensor import Tensor
from kernels.device import Array, xp_of
from kernels.dispatch import implementation
from kernels.gpu.epilogue import Epilogue

_state = threading.local()


def backward(tensor: Tensor, grad: Array | None = None) -> None:
    """Add d(tensor)/d(leaf), weighted by `grad`, to `.grad` of every leaf that requires it. This is Tensor.backward.

    grad: array of this tensor's shape; may be left out where the tensor holds one number.
    The graph is freed on the way: a second call raises RuntimeError.

    A node is always younger than the nodes that made its inputs, so taking the youngest first visits every node after
    all of its consumers. No recursion: the depth of a network is not limited by Python's stack.
    """
    if not tensor.requires_grad:
        raise RuntimeError("backward: this tensor does not depend on anything that requires a gradient")
    if grad is None:
        if tensor.size != 1:
            raise ValueError(f"backward: a tensor of shape {tensor.shape} needs an upstream gradient of that shape")
        grad = xp_of(tensor.data).ones_like(tensor.data) if tensor.shape else one(tensor.device, tensor.dtype)
    else:
        grad = tensor.device.asarray(grad, dtype=tensor.dtype)
    if grad.shape != tensor.shape:
        raise ValueError(f"backward: upstream gradient {grad.shape} does not fit the tensor {tensor.shape}")

    ready: list[tuple[int, Function]] = []  # a heap, youngest first
    pending: dict[Function, Array] = {}  # gradients of node outputs so far
    arrivals: Counter[Function] = Counter()  # how many of them have come
    arrived: dict[Tensor, list[Array]] = {}  # gradients of leaves, to be summed together at the end
    held: dict[Tensor, Array] | None = getattr(_state, "gradients", None)  # see `collected`
    add = implementation("add", tensor.device)

    def give(receiver: Tensor, g: Array, all_so_far: bool = False) -> None:
        node = receiver.creator
        if node is None:
            before = receiver.grad if held is None else held.get(receiver)
            arrived.setdefault(receiver, [] if before is None else [before]).append(g)
            return
        arrivals[node] += 1
        if node not in pending:
            heapq.heappush(ready, (-node.serial, node))
        elif not all_so_far:
            g = add.forward(pending[node], g)  # never in place: somebody else may hold the first array
        pending[node] = g

    def epilogue(node: Function) -> Epilogue | None:
        """What the backward of `node` can do for its first input, if it can: add what has come for it before, and grant
        the wish of the op that made it, if no other gradient is still to come."""
        assert node.inputs is not None
        x = node.inputs[0]
        if x is None or x.creator is None or not x.requires_grad or not node.fuses:
            return None
        if arrivals[x.creator] + 1 == x.creator.uses:
            x.creator.sums = x.creator.wish()
        return Epilogue(pending.get(x.creator), x.creator.sums)

    give(tensor, grad)
    while ready:
        _, node = heapq.heappop(ready)
        dy = pending.pop(node)
        node.check_fresh()
        output = node.output()
        if output is not None and output.retains_grad:
            output.grad = dy if output.grad is None else output.grad + dy
        node.epilogue = epilogue(node)
        grads = node.backward(dy)
        grads = grads if isinstance(grads, tuple) else (grads,)
        assert node.inputs is not None
        if len(grads) != len(node.inputs):
            raise RuntimeError(f"{node.name}: backward gave {len(grads)} gradients for {len(node.inputs)} inputs")
        for i, (receiver, shape, g) in enumerate(zip(node.inputs, node.shapes, grads, strict=True)):
            if receiver is not None and receiver.requires_grad and shape is not None:
                give(receiver, unbroadcast(node.name, g, shape), all_so_far=i == 0 and node.epilogue is not None)
        node.release()
    # An op may mix precisions, but each leaf keeps its own.
    totals = add.totals(list(arrived.values()), [leaf.dtype for leaf in arrived])
    for leaf, total in zip(arrived, totals, strict=True):
        if held is None:
            leaf.grad = total
        else:
            held[leaf] = total


Tensor.backward = backward  # type: ignore[assignment, method-assign]


@contextlib.contextmanager
def collected() -> Iterator[dict[Tensor, Array]]:
    """Within this context this thread's backwards leave the gradients of leaves in the dict instead of in the leaves."""
    before, _state.gradients = getattr(_state, "gradients", None), {}
    try:
        yield _state.gradients
    finally:
        _state.gradients = before


def settle(gradients: dict[Tensor, Array]) -> None:
    """Add collected gradients to the leaves."""
    for leaf, total in gradients.items():
        leaf.grad = total if leaf.grad is None else implementation("add", leaf.device).forward(leaf.grad, total)


def unbroadcast(op: str, grad: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting, the one place where this is done: sum `grad` over the axes along which `shape` was repeated."""
    if grad is None or grad.shape == shape:
        if grad is None:
            raise RuntimeError(f"{op}: backward gave no gradient for an input that requires one")
        return grad
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] != 1)
    grad = grad.sum(axis=repeated, keepdims=True)
    if grad.shape != shape:
        raise RuntimeError(f"{op}: backward gave a gradient of shape {grad.shape} for an input of shape {shape}")
    return grad
