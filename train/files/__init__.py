"""What is written to disk and read back: atomically, checkpoints, the record of steps."""
