"""Resizing, nearest or bilinear (pixel centres at half integers, as PyTorch's align_corners=False).

Both are linear and separable, y = A x B^T with one matrix per axis, so the backward is the transposed matrices.
x [N,H,W,C] -> y [N,P,Q,C]. Saves nothing but the input's shape.
"""
