"""The systems: CycleGAN's step on one page, and its relatives."""
