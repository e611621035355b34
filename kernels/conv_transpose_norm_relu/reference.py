"""Transposed convolution + instance norm + activation, one after the other: what a fused version must equal."""

from __future__ import annotations

from kernels.conv_norm_relu.unfused import unfused
from kernels.conv_transpose2d import reference as conv_transpose2d
from kernels.instance_norm import reference as instance_norm

forward, backward = unfused(conv_transpose2d, instance_norm)
