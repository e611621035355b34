"""Arrays in, arrays out: the maths of every layer, without a graph. One folder per op; README.md is its table.

Letters used throughout: N images in the batch, HxW input size, C channels in, K channels out, RxS kernel size,
PxQ output size. Activations are NHWC, conv weights `[R, S, C, K]`.
"""
