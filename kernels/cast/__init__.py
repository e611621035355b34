"""Conversion between precisions: y = x in another dtype, rounded to nearest even. Saves nothing.

Master weights stay float32; a network that computes in bfloat16 converts them once per update.
"""
