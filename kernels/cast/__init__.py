"""Conversion between precisions: y = x in another dtype, rounded to nearest even. Saves nothing.

Master weights stay float32; a network that computes in bfloat16 converts each of them once per update.
"""
