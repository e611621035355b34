"""Files from strangers: crafted and mutated ones, and what reading them costs.

readers    what is attacked: everything that opens a file of someone else's
mutate     sound files of every kind, and mutations that follow from a seed
pickles    pickles put together opcode by opcode
measure    a reader in a process of its own: outcome, time and memory
"""
