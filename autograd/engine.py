"""The backward walk: from the newest node to the oldest, each visited once, memory freed on the way."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from autograd.function import Function, one
from autograd.fusion import Deferred
from autograd.mode import Watcher, state
from autograd.tensor import Tensor, total
from kernels.device import Array


def backward(tensor: Tensor, grad: Array | None = None) -> None:
    """Add d(tensor)/d(leaf), weighted by `grad`, to `.grad` of every leaf that requires it. This is Tensor.backward.

    grad: array of this tensor's shape; may be left out where the tensor holds one number.
    The graph is freed on the way: a second call raises RuntimeError.
    """
    if state.watcher is None:
        (state.take or accumulate)(leaf_gradients(tensor, grad))
    else:
        leaf_gradients(tensor, grad, state.watcher)


Tensor.backward = backward  # type: ignore[assignment, method-assign]


def leaf_gradients(
    tensor: Tensor, grad: Array | None = None, watcher: Watcher | None = None
) -> dict[Tensor, list[Array]]:
    """Walk the graph behind `tensor` and free it. For each leaf the gradients that arrive there, to be added up; where somebody
    watches, they are added up as soon as the last has come, and then the watcher hears of it.

    A node is always younger than the nodes that made its inputs, so taking the youngest first visits every node after
    all of its consumers. No recursion: the depth of a network is not limited by Python's stack.
    """
    if not tensor.requires_grad:
        raise RuntimeError("backward: this tensor does not depend on anything that requires a gradient")
    if grad is None and tensor.size != 1:
        raise ValueError(f"backward: a tensor of shape {tensor.shape} needs an upstream gradient of that shape")
    if grad is not None:
        grad = tensor.device.asarray(grad, dtype=tensor.dtype)
    else:
        grad = tensor.device.xp.ones_like(tensor.data) if tensor.shape else one(tensor.device, tensor.dtype)
    if grad.shape != tensor.shape:
        raise ValueError(f"backward: upstream gradient {grad.shape} does not fit the tensor {tensor.shape}")

    ready: list[tuple[int, Function]] = []  # a heap, youngest first
    pending: dict[Function, list[Array]] = {}  # what has come for the outputs of nodes that are not yet visited
    leaves: dict[Tensor, list[Array]] = {}
    deferred = Deferred()  # gradients of leaves that are made later, some together: see fusion.py
    coming: dict[Tensor, int] = {}
    if watcher is not None:
        coming = uses(tensor)
        watcher.expect(coming.keys())

    def give(receiver: Tensor, g: Array) -> None:
        node = receiver.creator
        if node is None:
            leaves.setdefault(receiver, []).append(g)
            if watcher is not None and len(leaves[receiver]) == coming[receiver]:
                deferred.finish()
                receiver.take([total(receiver, leaves.pop(receiver))])
                watcher.complete(receiver)
        elif node in pending:
            pending[node].append(g)
        else:
            pending[node] = [g]
            heapq.heappush(ready, (-node.serial, node))

    give(tensor, grad)
    while ready:
        _, node = heapq.heappop(ready)
        dy = node.total(pending.pop(node))
        node.check_fresh()
        output = node.output()
        if output is not None and output.retains_grad:
            output.grad = dy
        grads = node.run_backward(dy, pending, deferred)
        grads = grads if isinstance(grads, tuple) else (grads,)
        assert node.inputs is not None
        if len(grads) != len(node.inputs):
            raise RuntimeError(f"{node.name}: backward gave {len(grads)} gradients for {len(node.inputs)} inputs")
        for receiver, shape, g in zip(node.inputs, node.shapes, grads, strict=True):
            if receiver is not None and receiver.requires_grad:
                give(receiver, unbroadcast(node.name, g, shape))
        node.release()
    deferred.finish()
    return leaves


def uses(tensor: Tensor) -> dict[Tensor, int]:
    """How many gradients a backward from `tensor` will bring to each leaf."""
    if tensor.creator is None:
        return {tensor: 1}
    found: dict[Tensor, int] = {}
    seen, todo = {tensor.creator}, [tensor.creator]
    while todo:
        for receiver in todo.pop().inputs or ():
            if receiver is None or not receiver.requires_grad:
                continue
            node = receiver.creator
            if node is None:
                found[receiver] = found.get(receiver, 0) + 1
            elif node not in seen:
                seen.add(node)
                todo.append(node)
    return found


def accumulate(arrived: Mapping[Tensor, Sequence[Array]]) -> None:
    """Add to the gradients of leaves what has arrived for them."""
    for leaf, arrays in arrived.items():
        leaf.take(arrays)


def unbroadcast(op: str, grad: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting, the one place where this is done: sum `grad` over the axes along which `shape` was repeated."""
    if grad is None:
        raise RuntimeError(f"{op}: backward gave no gradient for an input that requires one")
    if grad.shape == shape:
        return grad
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] != 1)
    grad = grad.sum(axis=repeated, keepdims=True)
    if grad.shape != shape:
        raise RuntimeError(f"{op}: backward gave a gradient of shape {grad.shape} for an input of shape {shape}")
    return grad
