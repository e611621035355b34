"""What a run sees of itself every so often, as numbers for `metrics.jsonl`: taken from what the last step made anyway.

    grad_G, grad_D       length of the gradient that each player last followed
    D_A_real, D_A_fake   mean score that the discriminator D_A gave to real pictures and to fakes
    D_A_spread           standard deviation of its scores, over patches and pictures
    luma_A               correlation of light and dark between a real A and its translation, -1 to 1
    change_A             how much the translation differs from the real A, relative to that one's own contrast
    variety_A            how much the translations of recent pictures differ from each other, relative to real Bs

and so for B. As everywhere, what is about the mapping A -> B ends in _A.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from kernels.device import Array, to_host
from train.data.pixels import to_gray
from train.models.model import Model

SIDE = 8  # of a thumbnail, pixels
RECENT = 8  # thumbnails among which variety is measured


class Watch:
    """Looks at a model after every `every`-th step (0: never). Remembers thumbnails of recent pictures."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.recent: dict[str, list[np.ndarray]] = {}

    def look(self, model: Model, step: int) -> dict[str, float]:
        """The numbers, where a look is due after `step` steps; else none."""
        if not self.every or step % self.every:
            return {}
        found = {f"grad_{player.upper()}": optimizer.grad_norm() for player, optimizer in model.optimizers.items()}
        seen = {name: on_host(array) for name, array in model.seen.items()}
        for disc in {name.rpartition("_")[0] for name in seen if name.startswith("D_")}:
            real, fake = seen[f"{disc}_real"], seen[f"{disc}_fake"]
            found |= {f"{disc}_real": real.mean(), f"{disc}_fake": fake.mean()}
            found[f"{disc}_spread"] = np.concatenate([real.ravel(), fake.ravel()]).std()
        for start, end in ("ab", "ba"):
            if f"fake_{end}" in seen:
                found |= self._translation(start.upper(), seen[f"real_{start}"], seen[f"fake_{end}"])
                fakes, reals = self._kept(f"fake_{end}", seen), self._kept(f"real_{end}", seen)
                if len(fakes) == len(reals) == RECENT and (usual := variety(reals)) > 0:
                    found[f"variety_{start.upper()}"] = variety(fakes) / usual
        return {name: float(value) for name, value in sorted(found.items())}

    def _translation(self, name: str, real: np.ndarray, fake: np.ndarray) -> dict[str, Any]:
        light, made = luma(real), luma(fake)  # [N,H,W]
        one, other = (real, fake) if real.shape == fake.shape else (light, made)
        contrast = np.abs(one - one.mean()).mean()
        if min(contrast, light.std(), made.std()) < 1e-4:  # one flat colour has neither contrast nor light and dark
            return {}
        correlation = np.corrcoef(light.ravel(), made.ravel())[0, 1]
        return {f"change_{name}": np.abs(other - one).mean() / contrast, f"luma_{name}": correlation}

    def _kept(self, name: str, seen: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Thumbnails of the last pictures of this name, the newest among them."""
        self.recent[name] = [*self.recent.get(name, []), thumbnail(seen[name][0])][-RECENT:]
        return self.recent[name]

    def state_dict(self) -> dict[str, Any]:
        return {"recent": {name: list(thumbnails) for name, thumbnails in self.recent.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if any(np.shape(x)[:2] != (SIDE, SIDE) for thumbnails in state["recent"].values() for x in thumbnails):
            raise ValueError(f"something else than thumbnails [{SIDE},{SIDE},C] among the recent pictures")
        self.recent = {name: list(thumbnails) for name, thumbnails in state["recent"].items()}


def on_host(array: Array) -> np.ndarray:
    """As float32 in host memory."""
    return to_host(array).astype(np.float32, copy=False)


def luma(pictures: np.ndarray) -> np.ndarray:
    """[...,C] → [...], light and dark as seen."""
    return to_gray(pictures)[..., 0] if pictures.shape[-1] == 3 else pictures.mean(axis=-1)


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """[H,W,C], sides of at least SIDE → [SIDE,SIDE,C]: means of blocks; a remainder is left out."""
    h, w = picture.shape[0] // SIDE, picture.shape[1] // SIDE
    return picture[: SIDE * h, : SIDE * w].reshape(SIDE, h, SIDE, w, -1).mean(axis=(1, 3))


def variety(pictures: list[np.ndarray]) -> float:
    """Mean root-mean-square difference between any two."""
    return float(np.mean([np.sqrt(np.square(x - y).mean()) for x, y in combinations(pictures, 2)]))
