"""The image pool in one buffer on the device, so that a step replayed from a CUDA graph can swap pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.device import Array, Device
from kernels.dispatch import implementation
from kernels.gpu.cuda_graph import Control
from train.models.image_pool import ImagePool


class DevicePool(ImagePool):
    """The same decisions, carried out by one launch over a buffer on the device; see kernels/image_pool.

    Where pictures differ in size there can be no such buffer: then they are kept one by one, as on the host.
    """

    def __init__(self, size: int, seed: int | list[int], device: Device) -> None:
        super().__init__(size, seed)
        self.device = device
        self.buffer: Array | None = None  # [size,H,W,C]
        self.control: Control | None = None  # [N,2], see kernels/image_pool

    def query(self, images: Array) -> Array:
        """images [N,H,W,C] -> as many, each either itself or a remembered one."""
        if self.size and self.filled == 0:
            self.buffer = self.device.xp.zeros((self.size, *images.shape[1:]), images.dtype)
        if self.buffer is None or self.buffer.shape[1:] != images.shape[1:]:
            self.buffer = self.control = None
            return super().query(images)
        if self.control is None or len(self.control.host) != len(images):
            self.control = Control(self.device, (len(images), 2), np.int32)
        self.advance()
        return implementation("image_pool", self.device).forward(images, self.buffer, self.control.array)

    def controls(self) -> list[Control]:
        """The decisions on the device."""
        return [] if self.control is None else [self.control]

    def advance(self) -> None:
        """Decide for the next pictures, as many as before, and tell the device."""
        if self.control is not None and self.buffer is not None:
            self.control.host[...] = self.decide(len(self.control.host))
            self.control.send()
            if len(self.images) < self.filled:
                self.images = list(self.buffer[: self.filled])

    def load_state_dict(self, state: dict[str, Any], device: Device, dtype: Any = None) -> None:
        """Go on from `state`; images are kept on `device` in `dtype`."""
        super().load_state_dict(state, device, dtype)
        self.buffer = self.control = None
        if len({image.shape for image in self.images}) == 1:
            self.buffer = device.xp.zeros((max(self.size, self.filled), *self.images[0].shape), self.images[0].dtype)
            for place, image in zip(self.buffer, self.images, strict=False):
                place[...] = image
            self.images = list(self.buffer[: self.filled])
