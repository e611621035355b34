"""conv + instance norm + activation, one after the other: what a fused version must equal."""

from __future__ import annotations

from kernels.conv2d import reference as conv2d
from kernels.conv_norm_relu.unfused import unfused
from kernels.instance_norm import reference as instance_norm

forward, backward = unfused(conv2d, instance_norm)
