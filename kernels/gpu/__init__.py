"""What the Triton kernels share: launching, the interpreter, CUDA graphs, tile sizes, sums in a fixed order."""
