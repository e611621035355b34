"""Files from strangers: crafted and mutated ones, and what reading them costs.

readers    what is attacked: everything that opens a file of someone else's
measure    a reader in a process of its own: outcome, time and memory
"""
