"""Palindrome under one name, which nobody else has: beside any `autograd`, `kernels`, `nn` or `train` of other people.

    from palindrome_gan.train.cyclegan import CycleGAN, Config

What is installed is this package alone, with the repository's folders in it and their imports renamed (rename.py). In the
repository, and after `pip install -e`, the folders stay where they are and are renamed while they are imported.
"""

from pathlib import Path

if not Path(__file__).with_name("train").is_dir():
    from palindrome_gan import in_place

    in_place.find_folders(__path__)
