"""How far is a set of pictures from a domain? It takes no pairs, and most data sets have none.

A small classifier of our own learns to tell the training images of A from those of B. What its layers see in a picture
(of each channel the mean and the standard deviation over the picture) are the picture's features, in units of their
spread within a domain. The distance of two sets is the Fréchet distance of their features, each set taken as a Gaussian,
as a root mean square over the F features:

    sqrt( (|m1 - m2|^2 + trace(S1 + S2 - 2 (S1 S2)^(1/2))) / F )

0 is equal, 1 about one standard deviation apart in every feature. The formula is that of FID (there without root and F),
but **this is not FID**: FID's features come from a large network trained on ImageNet; these know the two domains at hand
and nothing else. So a value means something only beside others from the same images, and is always shown beside two:
the distance of *real* held-out pictures, about as near as so few pictures can come, and of the untouched input.

It does not ask whether the *right* picture was made. A generator that answers every A with some fine picture of B does
well; the cycle loss, pairs and eyes must judge that.

The classifier sees pictures at 64x64, computes on the CPU whatever the device, and depends on data and seed alone.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autograd import Tensor, no_grad
from autograd.ops import add, bce_with_logits
from nn.layers import Conv2d, LeakyReLU
from nn.module import Module, Sequential
from nn.network import Network
from nn.optim import Adam
from train.data.pixels import for_eyes, resize
from train.errors import UserError
from train.files import checkpoint

SIDE, CHANNELS = 64, (16, 32, 64)  # pixels; channels of the three layers
STEPS, BATCH, RATE, SHIFT = 200, 16, 1e-3, 4  # of the classifier's training; pixels by which it moves pictures

Pictures = Sequence[np.ndarray]  # each float32 [H,W,C] in [-1, 1], of any size


class DomainClassifier(Network):
    """[N,64,64,3] -> a score for each patch, [N,8,8,1]: above 0 it looks like B. No norm: that would make it colour-blind."""

    def __init__(self, seed: int = 0) -> None:
        self.in_channels = 3
        layers: dict[int, Module] = {}
        for i, (c, k) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False)):
            layers |= {2 * i: Conv2d(c, k, 4, stride=2, padding=1), 2 * i + 1: LeakyReLU(0.2)}
        self.model = Sequential(layers)
        self.score = Conv2d(CHANNELS[-1], 1, 1)
        self.finish("cpu", seed, "kaiming", 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.model(x))

    @no_grad()
    def look(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features [N,F] of pictures [N,64,64,3], float64, and how sure it is of B, [N]: above 0 it says B."""
        h, features = Tensor(x), []
        for _, layer in self.model.children():
            h = layer(h)
            if isinstance(layer, LeakyReLU):
                seen = h.numpy().astype(np.float64)  # [N,P,Q,K]
                features += [seen.mean(axis=(1, 2)), seen.std(axis=(1, 2))]
        return np.concatenate(features, axis=1), self.score(h).numpy().mean(axis=(1, 2, 3))


class DomainDistance:
    """The distance of pictures from A's or B's training images, by a classifier trained on them here.

    `cache`: a file that keeps the classifier; used again only for the very same images and seed.
    """

    def __init__(self, real_a: Pictures, real_b: Pictures, seed: int = 0, cache: Path | None = None) -> None:
        a, b = small(real_a), small(real_b)
        self.classifier = DomainClassifier(seed)
        key = hashlib.sha256(
            repr((CHANNELS, STEPS, BATCH, RATE, SHIFT, seed, len(a))).encode() + a.tobytes() + b.tobytes()
        )
        if not (cache and self._recall(cache, key.hexdigest())):
            train_classifier(self.classifier, a, b, seed)
            if cache:
                with contextlib.suppress(UserError):  # where the disk refuses, it is trained anew the next time
                    checkpoint.save(cache, {"key": key.hexdigest(), "network": self.classifier.state_dict()})
        real = {"A": self._look(a)[0], "B": self._look(b)[0]}
        self.unit = np.sqrt((real["A"].var(axis=0) + real["B"].var(axis=0)) / 2) + 1e-8  # [F]; of a domain's own spread
        self.real = {domain: features / self.unit for domain, features in real.items()}

    def __call__(self, pictures: Pictures, domain: str) -> float:
        """How far `pictures`, at least 2, are from domain "A" or "B"."""
        return frechet(self._look(small(pictures))[0] / self.unit, self.real[domain])

    def accuracy(self, pictures_a: Pictures, pictures_b: Pictures) -> float:
        """The share of held-out pictures that the classifier puts in their own domain: near 1/2 it has learnt nothing."""
        right = [(self._look(small(x))[1] > 0) == is_b for is_b, x in enumerate((pictures_a, pictures_b))]
        return float(np.concatenate(right).mean())

    def _look(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        looks = [self.classifier.look(x[i : i + 32]) for i in range(0, len(x), 32)]  # bounds the memory
        return np.concatenate([f for f, _ in looks]), np.concatenate([s for _, s in looks])

    def _recall(self, cache: Path, key: str) -> bool:
        try:
            saved = checkpoint.load(cache)
            if saved["key"] == key:
                self.classifier.load_state_dict(saved["network"])
                return True
        except (UserError, LookupError, TypeError, ValueError):  # none, damaged, or of another version: train anew
            pass
        return False


def train_classifier(classifier: DomainClassifier, a: np.ndarray, b: np.ndarray, seed: int) -> None:
    """Teach it to score a [N,64,64,3] below and b above 0, on pictures mirrored and shifted at random."""
    rng = np.random.default_rng([seed, 1])
    optimizer = Adam(classifier.parameters(), RATE, (0.9, 0.999))
    for _ in range(STEPS):
        on_a = bce_with_logits(classifier(_drawn(a, rng)), 0.0)
        on_b = bce_with_logits(classifier(_drawn(b, rng)), 1.0)
        optimizer.zero_grad()
        add(on_a, on_b).backward()
        optimizer.step()


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """The Fréchet distance of two sets of features [N,F] and [M,F], N and M at least 2, as a root mean square over F."""
    # With centred X, Y over sqrt(N-1), S1 = X'X and S2 = Y'Y: trace (S1 S2)^(1/2) is the sum of the singular values of X Y',
    # which is small and needs no square root of a matrix of low rank.
    x0, y0 = ((z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y))
    apart = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    spread = np.square(x0).sum() + np.square(y0).sum() - 2 * np.linalg.svd(x0 @ y0.T, compute_uv=False).sum()
    return float(np.sqrt(max(0.0, apart + spread) / x.shape[1]))


def small(pictures: Pictures) -> np.ndarray:
    """Pictures as the classifier sees them, [N,64,64,3], whatever their channels."""
    return np.stack([resize(for_eyes(x), SIDE, SIDE) for x in pictures]).astype(np.float32)


def _drawn(pictures: np.ndarray, rng: np.random.Generator) -> Tensor:
    x = pictures[rng.integers(len(pictures), size=BATCH)]
    x = np.where(rng.random((BATCH, 1, 1, 1)) < 0.5, x[:, :, ::-1], x)
    top, left = rng.integers(2 * SHIFT, size=2, endpoint=True)
    x = np.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="reflect")
    return Tensor(np.ascontiguousarray(x[:, top : top + SIDE, left : left + SIDE]))
