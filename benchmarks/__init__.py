"""Benchmarks: how fast, against whom, and how close to what the machine could do."""
