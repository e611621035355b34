"""Adam for the CPU: each number is read and written once, those of all parameters in one loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.adam import reference
from kernels.cpu.compiler import kernel
from kernels.cpu.multi_tensor import chunk, multi_tensor_apply
from kernels.cpu.threads import ready
from kernels.device import Array

f4 = np.float32


def update(
    params: Sequence[Array],
    grads: Sequence[Array],
    m: Sequence[Array],
    v: Sequence[Array],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    control: Array | None = None,
) -> None:
    if not all(a.dtype == f4 and a.flags.c_contiguous for own in (params, m, v) for a in own):
        return reference.update(
            params, grads, m, v, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step, control=control
        )
    control = np.array(reference.rates(lr, beta1, beta2, step)) if control is None else ready(control)
    grads = [ready(g.astype(f4, copy=False)) for g in grads]
    numbers = [f4(number) for number in (1 - beta1, 1 - beta2, eps)]
    multi_tensor_apply(_update, list(zip(params, grads, m, v, strict=True)), control, *numbers)
    return None


@kernel
def _update(first, last, table, control, weight1, weight2, eps):
    rate, unbias = f4(control[0]), f4(control[1])
    for row in range(len(table)):
        p, g = chunk(table, row, 0, first, last), chunk(table, row, 1, first, last)
        m, v = chunk(table, row, 2, first, last), chunk(table, row, 3, first, last)
        for i in range(p.size):
            m[i] += weight1 * (g[i] - m[i])
            v[i] += weight2 * (g[i] * g[i] - v[i])
            p[i] -= rate * m[i] / (np.sqrt(v[i]) * unbias + eps)
