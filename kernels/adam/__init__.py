"""Adam (Kingma & Ba 2015), for all tensors of a player at once, in place.

    m = beta1 m + (1 - beta1) g          m_hat = m / (1 - beta1^t)
    v = beta2 v + (1 - beta2) g^2        v_hat = v / (1 - beta2^t)
    p = p - lr m_hat / (sqrt(v_hat) + eps)

params, grads, m, v: lists of arrays of equal shapes; `step` t counts from 1. Writes params, m and v.
`control` [2], float32 on the device, holds lr / (1 - beta1^t) and (1 - beta2^t)^-1/2; where it is given, lr and step are not
looked at. The CPU's implementation has no such argument.
"""
