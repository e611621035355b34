"""What a run shows: pages, curves, sample grids. Start with `page.py`."""
