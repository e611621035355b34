"""Leaky ReLU: y = x where x > 0, else slope * x. Slope 0 is ReLU. At 0 the gradient is the slope, as in PyTorch.

Saves y, which the next layer keeps anyway: y > 0 exactly where x > 0.
"""
