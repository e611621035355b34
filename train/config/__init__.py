"""Every setting of a run, the command line made from them, and which systems there are."""
