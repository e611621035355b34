"""Grades chapter 7."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from kernels.conv2d import reference as conv2d
from lessons.grading import compare, demand


def check_mirror(exercise: ModuleType) -> None:
    """mirror: reflection padding"""
    x = np.random.default_rng(0).standard_normal((5, 6))
    for pad in (1, 2, 3):
        yours = np.asarray(exercise.mirror(x, pad))
        wanted = np.pad(x, pad, mode="reflect")
        twice = yours.shape == wanted.shape and np.allclose(yours, np.pad(x, pad, mode="symmetric"))
        why = (
            "yours repeats the edge; the mirror stands *on* the edge pixel, so it comes only once"
            if twice
            else "beyond the edge the picture runs backwards"
        )
        compare(f"mirror by {pad}", yours, wanted, why)


def check_unfold(exercise: ModuleType) -> None:
    """unfold: patches as rows"""
    x = np.random.default_rng(1).standard_normal((5, 6))
    for size in (1, 3):
        wanted = conv2d.unfold(x[None, :, :, None], (size, size), 1).reshape(-1, size * size)
        yours = np.asarray(exercise.unfold(x, size))
        turned = yours.shape == wanted.shape and np.allclose(np.sort(yours, axis=None), np.sort(wanted, axis=None))
        compare(
            f"unfold {size}×{size}",
            yours,
            wanted,
            "the right numbers in another order: places run along a row first, and so do the pixels of a patch"
            if turned
            else "row k is the patch whose corner is at divmod(k, W - size + 1)",
        )


def check_fold(exercise: ModuleType) -> None:
    """fold: the adjoint of unfold"""
    rng = np.random.default_rng(2)
    x, size = rng.standard_normal((5, 6)), 3
    patches = rng.standard_normal((12, 9))
    yours = np.asarray(exercise.fold(patches, x.shape, size))
    demand(yours.shape == x.shape, f"fold gave shape {yours.shape}, wanted {x.shape}")
    left = float((conv2d.unfold(x[None, :, :, None], (size, size), 1).reshape(12, 9) * patches).sum())
    right = float((x * yours).sum())
    counts = np.asarray(exercise.fold(np.ones((12, 9)), x.shape, size))
    why = (
        f"a pixel in the middle lies in 9 patches and must receive from all of them; with patches of ones yours has {counts[2, 2]:g} there"
        if counts[2, 2] != 9 else "sum(unfold(x) * p) must be sum(x * fold(p)) for every x and p; that is what makes it the backward"
    )  # fmt: skip
    compare("sum(x · fold(p))", right, left, why)
    compare("fold", yours, conv2d.fold(patches.reshape(1, 3, 4, 9), (1, 5, 6, 1), (3, 3), 1)[0, :, :, 0], why)
