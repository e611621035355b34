"""Some of a batch's pictures: y = x[start : start + n]. The forward is a view and computes nothing.

backward(dy [n,...], *, count, start) -> dx [count,...]: dy in its place, zeros around it. Saves only the batch's size.
"""
