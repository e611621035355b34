"""Addition: y = x1 + x2 + ..., from left to right.

forward(*xs): arrays of one shape (the reference also broadcasts) -> their sum.
totals(groups, dtypes): for each group, a sequence of arrays of one shape, its sum in that dtype; a group of one array that
has the dtype already is that array. This is how gradients that arrive at a leaf on several ways become one: for all the
leaves of a network together. Saves nothing: every term's gradient is dy.
"""
