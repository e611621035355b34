"""Every setting of a run, and the command line made from them."""
