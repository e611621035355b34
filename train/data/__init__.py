"""Where training images come from, and how they become batches. Start with `dataset.py`."""
