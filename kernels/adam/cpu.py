"""Adam for the CPU: each number is read and written once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.adam import reference
from kernels.device import Array
from kernels.threads import kernel, ready, share

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
) -> None:
    if not all(a.dtype == f4 and a.flags.c_contiguous for own in (params, m, v) for a in own):
        return reference.update(params, grads, m, v, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step)
    rate, unbias = lr / (1 - beta1**step), (1 - beta2**step) ** -0.5
    numbers = [f4(number) for number in (rate, 1 - beta1, 1 - beta2, unbias, eps)]
    for p, g, m_, v_ in zip(params, grads, m, v, strict=True):
        arrays = (a.reshape(-1) for a in (p, ready(g.astype(f4, copy=False)), m_, v_))
        share(_update, p.size, 2 * p.size, *arrays, *numbers)
    return None


@kernel
def _update(first, last, p, g, m, v, rate, weight1, weight2, unbias, eps):
    for i in range(first, last):
        m[i] += weight1 * (g[i] - m[i])
        v[i] += weight2 * (g[i] * g[i] - v[i])
        p[i] -= rate * m[i] / (np.sqrt(v[i]) * unbias + eps)
