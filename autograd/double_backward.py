"""Gradients that can be differentiated again: what a penalty on a gradient needs.

`Tensor.backward` is fast because it works on arrays: what it computes has no history. `grad` walks the same graph, but asks
each node for its backward *written in ops*; these leave a graph of their own behind, and a loss made of the gradients
can be sent backward as any other.

A node answers in one of three ways, tried in this order:

    forward_in_ops(*inputs)        what it computes, from simpler ops: the walk goes through those instead
    backward_in_ops(dy, *inputs)   its gradients as formulas of Tensors
    linear = True                  its backward does not depend on its input: `Adjoint` makes an op of it (function.py)

An op with none of them has no second derivative here, and says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from autograd.engine import unbroadcast
from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import xp_of


def grad(output: Tensor, inputs: Sequence[Tensor], upstream: Tensor | None = None) -> tuple[Tensor, ...]:
    """d(output)/d(input) for each of `inputs`, weighted by `upstream`, as Tensors with a history.

    upstream  Tensor of output's shape; by default ones: the gradient of output's sum

    Touches no `.grad` and frees nothing; PyTorch's `autograd.grad(..., create_graph=True)`. Within `no_grad` the results
    are plain values. Raises NotImplementedError for an op without a second derivative, ValueError for an input that
    `output` does not depend on.
    """
    if upstream is None:
        upstream = Tensor(xp_of(output.data).ones_like(output.data), device=output.device)
    if upstream.shape != output.shape:
        raise ValueError(f"grad: upstream gradient {upstream.shape} does not fit the tensor {output.shape}")
    found: dict[int, Tensor] = {}  # by id of the input
    wanted = {id(tensor) for tensor in inputs}
    ready: list[tuple[int, Function]] = []  # a heap, youngest first: see engine.py
    pending: dict[Function, Tensor] = {}

    def give(receiver: Tensor, g: Tensor) -> None:
        if id(receiver) in wanted:
            found[id(receiver)] = found[id(receiver)] + g if id(receiver) in found else g
        node = receiver.creator
        if node is None:
            return
        if node in pending:
            pending[node] = pending[node] + g
        else:
            pending[node] = g
            heapq.heappush(ready, (-node.serial, node))

    give(output, upstream)
    while ready:
        _, node = heapq.heappop(ready)
        dy = pending.pop(node)
        node.check_fresh()
        assert node.inputs is not None
        simpler = node.forward_in_ops(*node.inputs)
        if simpler is not None:
            give(simpler, dy)  # its nodes are younger than all that wait, so they come next
            continue
        leads = [t is not None and (t.creator is not None or id(t) in wanted) for t in node.inputs]
        node.wanted = tuple(n and lead for n, lead in zip(node.need, leads, strict=True))
        grads = node.backward_in_ops(dy, *node.inputs)
        grads = grads if isinstance(grads, tuple) else (grads,)
        for receiver, shape, g, asked in zip(node.inputs, node.shapes, grads, node.wanted, strict=True):
            if asked and receiver is not None:
                give(receiver, unbroadcast(node.name, g, shape))
    missing = [i for i, tensor in enumerate(inputs) if id(tensor) not in found]
    if missing:
        raise ValueError(f"grad: the output does not depend on input {missing[0]}, or that does not require a gradient")
    return tuple(found[id(tensor)] for tensor in inputs)
