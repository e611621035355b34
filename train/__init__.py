"""Training: data in, pictures out. Start with `cyclegan.py`, which holds the step and reads like the paper."""
