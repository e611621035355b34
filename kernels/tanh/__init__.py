"""Hyperbolic tangent: y = tanh(x), dx = dy * (1 - y^2). Saves y."""
