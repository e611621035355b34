"""The image pool: a discriminator learns from past fakes too, so that the two players do not chase each other round."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.device import Array, Device, to_host, xp_of


class ImagePool:
    """Remembers up to `size` generated pictures (Shrivastava et al. 2017, section 2.3).

    `query` swaps each new picture, with probability one half, for a remembered one. Size 0 passes everything through.
    """

    def __init__(self, size: int, seed: int | list[int] = 0) -> None:
        self.size = size
        self.images: list[Array] = []
        self.rng = np.random.default_rng(seed)

    def query(self, images: Array) -> Array:
        """images [N,H,W,C] -> as many, each either itself or a remembered one."""
        if self.size == 0:
            return images
        chosen = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image)
                chosen.append(image)
            elif self.rng.random() > 0.5:
                i = int(self.rng.integers(self.size))
                chosen.append(self.images[i])
                self.images[i] = image
            else:
                chosen.append(image)
        return xp_of(images).stack(chosen)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next decisions depend on, on the host."""
        images = [to_host(image) for image in self.images]
        images = [image.astype(np.float32) if image.dtype.name == "bfloat16" else image for image in images]  # exact
        return {"images": images, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any], device: Device, dtype: Any = None) -> None:
        """Go on from `state`; images are kept on `device` in `dtype`."""
        self.images = [device.asarray(image, dtype=dtype) for image in state["images"]]
        self.rng.bit_generator.state = state["rng"]
