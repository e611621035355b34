"""The mean of all elements as a loss: loss = weight * mean(x), dx = weight / n. The hinge generator's, with weight -1.

x any shape -> (loss, dx): a scalar array, and the gradient of x's shape. Saves dx.
"""
