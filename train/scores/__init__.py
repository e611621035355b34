"""How good is a model? Scores with pairs, without pairs, and for label maps. Start with `evaluation.py`."""
