"""The image pool's exchange on the CPU: a picture or two at a time, which NumPy copies. One operation, where a step is noted."""

from __future__ import annotations

from kernels.cpu.noted import operation
from kernels.image_pool import reference

forward = operation(reference.forward)
