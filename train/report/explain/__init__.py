"""The glass-box page: one training step, opened."""
