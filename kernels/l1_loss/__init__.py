"""L1 loss: loss = mean(|x - y|), dx = sign(x - y) / n, dy = -dx; 0 where x equals y, as in PyTorch.

x and y of one shape -> (loss, dx). `weight` multiplies the loss and dx. Saves dx.
"""
