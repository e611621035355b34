"""What the CPU kernels share: threads, the matrix product, small constant matrices, many tensors in one loop."""
