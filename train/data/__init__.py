"""Where images come from, and how they become batches. Start with `dataset.py`; `images.py` reads one file."""
