"""The image pool in one buffer on the device, so that a step replayed from a CUDA graph can swap pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.device import Array, Device, from_host
from kernels.dispatch import implementation
from train.models.image_pool import ImagePool


class DevicePool(ImagePool):
    """The same decisions, carried out by one launch over a buffer on the device; see kernels/image_pool.

    Where pictures differ in size there can be no such buffer: then they are kept one by one, as on the host, until all that
    are kept are of one size again.
    """

    def __init__(self, size: int, seed: int | list[int], device: Device) -> None:
        super().__init__(size, seed)
        self.device = device
        self.buffer: Array | None = None  # [size,H,W,C]

    @property
    def swaps_on_device(self) -> bool:  # type: ignore[override]
        """Whether a step can be captured: else the host chooses, and a graph would repeat that one choice for ever."""
        return self.size == 0 or self.buffer is not None

    def query(self, images: Array) -> Array:
        """images [N,H,W,C] -> as many, each either itself or a remembered one."""
        if self.size and self.filled == 0:
            self.buffer = self.device.xp.zeros((self.size, *images.shape[1:]), images.dtype)
        if self.buffer is not None and self.buffer.shape[1:] != images.shape[1:]:
            self.buffer = None
        if self.buffer is None:
            answer = super().query(images)
            self.gather(images.shape[1:])
            return answer
        decisions = from_host(self.device, lambda: self.decisions(len(images)))
        return implementation("image_pool", self.device).forward(images, self.buffer, decisions)

    def decisions(self, count: int) -> np.ndarray:
        """What is done with the next `count` pictures, [count,2]; see kernels/image_pool."""
        decided = np.array(self.decide(count), np.int32)
        if self.buffer is not None and len(self.images) < self.filled:
            self.images = list(self.buffer[: self.filled])
        return decided

    def load_state_dict(self, state: dict[str, Any], device: Device, dtype: Any = None) -> None:
        """Go on from `state`; images are kept on `device` in `dtype`."""
        super().load_state_dict(state, device, dtype)
        self.buffer = None
        if self.images:
            self.gather(self.images[0].shape)

    def gather(self, shape: tuple[int, ...]) -> None:
        """Keep the images in a buffer, if all are of this size."""
        if {image.shape for image in self.images} == {shape}:
            first = self.images[0]
            self.buffer = self.device.xp.zeros((max(self.size, self.filled), *first.shape), first.dtype)
            for place, image in zip(self.buffer, self.images, strict=False):
                place[...] = image
            self.images = list(self.buffer[: self.filled])
