"""EMA, an exponential moving average of networks, for all tensors at once, in place.

    average = average + share (now - average)

averages, now: lists of float32 arrays of equal shapes; writes averages. share: 1 minus the decay, a number, or on a GPU an
array [1] there, so that a captured graph serves for every step. Who decides on it: train/models/ema.py. Saves nothing.
"""
