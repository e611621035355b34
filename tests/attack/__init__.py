"""Files from strangers, crafted and mutated, and what reading them costs; runs that are stopped, and how they go on.

readers    what is attacked: everything that opens a file of someone else's
mutate     sound files of every kind, and mutations that follow from a seed
files      these through those
pickles    pickles put together opcode by opcode
measure    a reader in a process of its own: outcome, time and memory

recording  every change that a run makes to the disk
disk       what a disk holds after some of them, the power gone or not
runs       a short run of each system, and how it must end
crashes    these runs stopped at every change
kills      real processes killed
"""
