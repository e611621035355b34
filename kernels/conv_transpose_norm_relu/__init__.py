"""The block that enlarges a picture, as one op: transposed convolution, normalise, activate, add the skip.

    z   = conv_transpose2d(x, w)                   see kernels/conv_transpose2d; no bias
    out = act((z - mean) * rstd) + skip            see kernels/instance_norm

conv_norm_relu with the other convolution: the same arrays in the same order, and a `TransposedGeometry`. Saves x, w, z and the
statistics.
"""
