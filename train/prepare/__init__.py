"""Data sets: `python -m train.prepare` lists them, and writes datasets/NAME with trainA trainB testA testB.

command    the command line             download   a file over HTTP that survives a bad line
place      nothing half-made is seen    unpack     archives that cannot write where they should not
paper      the sets of the paper        folders    any two folders of yours
earth      satellite <-> relief map     emoji      Noto <-> Twemoji
"""
