"""Values of pixels: float32 in [-1, 1], and the whole numbers of files that they stand for."""

from __future__ import annotations

import numpy as np
from PIL import Image

LEVELS = {8: 255, 16: 65535}
LUMA = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601)


def to_gray(x: np.ndarray) -> np.ndarray:
    """The luma of colours: [...,3] → [...,1], as Pillow has it."""
    return x @ np.array(LUMA, x.dtype)[:, None]


def for_eyes(x: np.ndarray) -> np.ndarray:
    """[...,C] as RGB: gray three times (with alpha dropped), of more than three channels the first three."""
    return np.repeat(x[..., :1], 3, axis=-1) if x.shape[-1] < 3 else x[..., :3]


def to_uint8(x: np.ndarray) -> np.ndarray:
    """From [-1, 1] to uint8: (x+1)/2·255, rounded; values beyond the range are clipped. Any shape."""
    return to_integers(x, 8)


def to_integers(x: np.ndarray, bits: int, white: int = 0) -> np.ndarray:
    """The same to uint8 or uint16; white: the value that 1 becomes (0: the largest there is)."""
    top = white or LEVELS[bits]
    return np.clip(np.rint((np.asarray(x, np.float32) + 1.0) * (top / 2)), 0, top).astype(f"uint{bits}")


def ends_at(brightest: int, white: int) -> str:
    """What to say of 16-bit values that end far from the white level, and what to type; "" where they use the range."""
    if brightest > white:
        return f"values reach {brightest}, beyond --white_level {white}: what is brighter is white too"
    if not 0 < brightest <= white // 2:
        return ""
    least = 2 ** int(brightest).bit_length() - 1
    return (
        f"values end at {brightest} of {white}: networks see nothing above {brightest / white * 2 - 1:.2f}, where white is 1; "
        f"--white_level {least} makes use of the range ({int(brightest).bit_length()} bits)"
    )


def resize(x: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bicubic with anti-aliasing (Pillow's filter, in float: no rounding in between), kept within [-1, 1].

    [H,W,C] → [height,width,C]; an image already of that size is returned untouched.
    """
    if x.shape[:2] == (height, width):
        return x
    planes = [Image.fromarray(x[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(x.shape[2])]
    return np.clip(np.stack([np.asarray(p) for p in planes], axis=-1), -1.0, 1.0)  # [height,width,C]
