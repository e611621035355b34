"""What nn/trace.py notes of ops."""

from __future__ import annotations

import numpy as np

from autograd import Tensor, no_grad
from nn import ResnetGenerator
from nn.trace import traced


def test_bytes_kept_are_counted_once_and_weights_not():
    net = ResnetGenerator(ngf=2, n_blocks=0)
    x = Tensor(np.zeros((1, 16, 16, 3), np.float32))
    with traced() as trace:
        (net(x) * net(x)).sum().backward()
    first, last = trace.ops[0], next(op for op in trace.ops if op.name == "mul")
    assert first.name == "conv_norm_relu"
    x_and_z = 4 * 16 * 16 * (3 + 2)
    assert x_and_z <= first.saved <= x_and_z + 4 * 2 * 2 + 2 * 60  # and mean and rstd; z and these begin at cache lines
    assert last.saved == 0  # both factors are what tanh kept
    with no_grad(), traced() as trace:
        net(x)
    assert {op.saved for op in trace.ops} == {0} and all(op.backward_seconds is None for op in trace.ops)
