"""The image pool: a discriminator learns from past fakes too, so that the two players do not chase each other round."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.device import Array, Device, to_host, xp_of


class ImagePool:
    """Remembers up to `size` generated pictures (Shrivastava et al. 2017, section 2.3).

    `query` swaps each new picture, with probability one half, for a remembered one. Size 0 passes everything through.
    """

    swaps_on_device = False

    def __init__(self, size: int, seed: int | list[int] = 0) -> None:
        self.size = size
        self.images: list[Array] = []
        self.filled = 0
        self.rng = np.random.default_rng(seed)

    def decide(self, count: int) -> list[tuple[int, bool]]:
        """For each of the next `count` pictures: where it is put (-1: nowhere), and if the one before comes back for it."""
        decisions = []
        for _ in range(count):
            if self.filled < self.size:
                decisions.append((self.filled, False))
                self.filled += 1
            elif self.rng.random() > 0.5:
                decisions.append((int(self.rng.integers(self.size)), True))
            else:
                decisions.append((-1, False))
        return decisions

    def query(self, images: Array) -> Array:
        """images [N,H,W,C] -> as many, each either itself or a remembered one."""
        if self.size == 0:
            return images
        chosen = []
        for image, (place, old) in zip(images, self.decide(len(images)), strict=True):
            chosen.append(self.images[place] if old else image)
            if place >= 0:
                self.images[place : place + 1] = [image]
        return xp_of(images).stack(chosen)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next decisions depend on, on the host."""
        images = [np.array(to_host(image)) for image in self.images]
        images = [image.astype(np.float32) if image.dtype.name == "bfloat16" else image for image in images]  # exact
        return {"images": images, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any], device: Device, dtype: Any = None) -> None:
        """Go on from `state`; images are kept on `device` in `dtype`."""
        if any(image.ndim != 3 or image.dtype.kind != "f" for image in state["images"]):
            raise ValueError("a pool holds something else than pictures [H,W,C]")
        self.images = [device.asarray(image, dtype=dtype) for image in state["images"]]
        self.filled = len(self.images)
        self.rng.bit_generator.state = state["rng"]


class Chosen(ImagePool):
    """A pool that has chosen already: what another one, of all ranks' fakes, gives for these."""

    def __init__(self, images: Array) -> None:
        super().__init__(0)
        self.chosen = images

    def query(self, images: Array) -> Array:
        """What was chosen, [N,H,W,C]."""
        return self.chosen
