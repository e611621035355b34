"""The block CycleGAN is made of, as one op: pad, convolve, normalise, activate, add the skip.

    z   = conv2d(x, w)                             see kernels/conv2d; no bias
    out = act((z - mean) * rstd) + skip            see kernels/instance_norm

x [N,H,W,C], w [R,S,C,K], skip [N,P,Q,K] or None -> out [N,P,Q,K], z [N,P,Q,K], mean [N,K], rstd [N,K].
Stride and padding are a `Geometry`, activation, slope and eps `NormSettings`.
There is no bias: instance norm subtracts every channel's mean, so a bias cannot change the result.
Saves x, w, z and the statistics; neither the padded input nor the normalised map is kept.
`backward` returns (dx, dw); `need` tells which are wanted. The gradient of skip is dout itself.

w may be a stack [G,R,S,C,K]: the images of x are shared out to the weights, in order. See kernels/conv2d/stacked.py.
"""
