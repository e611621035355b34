"""Least-squares GAN loss against a constant label: loss = mean((x - target)^2), dx = 2 (x - target) / n.

x any shape, target a number -> (loss, dx): a scalar array and the gradient, computed in the same pass while x is at
hand. `weight` multiplies both. Saves dx, as large as x and then all that the backward needs.
"""
