"""Reflection padding: the picture is mirrored at its edges, the edge itself not repeated.

    y[n, i, j, c] = x[n, mirror(i - pad, H), mirror(j - pad, W), c]        mirror(i, n): -i below 0, 2n-2-i from n on

x [N,H,W,C] -> y [N,H+2*pad,W+2*pad,C]. Needs pad < H and pad < W. Saves nothing but the shape.
The backward adds every mirrored copy's gradient to its source.
"""
