"""The run around the step: data in, checkpoints and records out. Start with `trainer.py`."""
