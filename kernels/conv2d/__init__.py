"""2-D convolution (cross-correlation, as the field says it), padded with zeros or with the mirrored picture.

    y[n,p,q,k] = b[k] + sum over r,s,c of  x_padded[n, p*stride + r, q*stride + s, c] * w[r,s,c,k]

x [N,H,W,C], w [R,S,C,K], b [K] or None -> y [N,P,Q,K] with P = (H + 2*padding - R) // stride + 1.
Stride, padding and what the padding holds, zeros or the mirrored picture, are a `Geometry` (geometry.py). Saves x and w: dw
needs x, dx needs w. `backward` returns (dx, dw, db), which the field calls dgrad and wgrad; `need` tells which are wanted, the
others come back as None.

w may be a stack [G,R,S,C,K], b then [G,K]: the images of x are shared out to the weights, in order. See kernels/conv2d/stacked.py.
"""
