"""Transposed convolution: the adjoint of a strided convolution, which makes pictures larger.

Each input pixel stamps its weighted RxS kernel on the output, `stride` pixels apart:
    y[n, h*stride + r - padding, w*stride + s - padding, k] += x[n,h,w,c] * weight[r,s,c,k]        then + b[k]

x [N,H,W,C], w [R,S,C,K], b [K] or None -> y [N,P,Q,K] with P = (H-1)*stride - 2*padding + R + output_padding.
Stride, padding and output_padding are a `TransposedGeometry` (kernels/conv2d/geometry.py). Saves x and w. `backward` returns
(dx, dw, db); `need` tells which are wanted.

w may be a stack [G,R,S,C,K], b then [G,K]: the images of x are shared out to the weights, in order. See kernels/conv2d/stacked.py.
"""
