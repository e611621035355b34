"""Hinge loss of a discriminator against a label t of +1 (real) or -1 (fake): loss = mean(max(0, 1 - t x)).

x any shape -> (loss, dx) with dx = -t / n where t x < 1, else 0. `weight` multiplies the loss and dx. Saves dx.
"""
