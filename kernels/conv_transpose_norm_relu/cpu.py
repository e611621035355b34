"""The enlarging block for the CPU: the faster convolution and the faster norm, one after the other."""

from __future__ import annotations

from kernels.conv_norm_relu.unfused import unfused
from kernels.device import Device
from kernels.dispatch import implementation

# Whatever the CPU has for these: without their cpu.py this stays correct.
forward, backward = unfused(*(implementation(op, Device("cpu")) for op in ("conv_transpose2d", "instance_norm")))
