"""Do pictures of one name show one thing? Partners have their edges in the same places; strangers have not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from train.data.pixels import resize

SIDE = 32  # pixels at which edges are compared
SURE = 2.0  # standard errors by which partners must agree better than strangers


def edges(x: np.ndarray) -> np.ndarray:
    """Where [H,W,C] changes, however much it is and in which direction: [SIDE*SIDE], of mean 0 and length 1."""
    gray = resize(x.mean(axis=-1, keepdims=True).astype(np.float32), SIDE, SIDE)[..., 0].astype(np.float64)
    down, right = np.gradient(gray)
    found = np.hypot(down, right).ravel()
    found -= found.mean()
    return found / max(float(np.linalg.norm(found)), 1e-12)


def agreement(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> tuple[float, float, bool]:
    """The correlation of the edges of a[i] with those of b[i], and with those of all other b, both as means; and whether the
    former is larger beyond chance. At least 3 pictures each."""
    all_pairs = np.stack([edges(x) for x in a]) @ np.stack([edges(x) for x in b]).T  # [N,N]
    own, others = np.diagonal(all_pairs), all_pairs[~np.eye(len(a), dtype=bool)]
    error = float(others.std() / np.sqrt(len(a)))
    return float(own.mean()), float(others.mean()), bool(own.mean() > others.mean() + SURE * error)
