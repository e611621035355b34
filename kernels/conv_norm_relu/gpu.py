"""The fused block on the GPU: one launch forward where all its programs run at once, else two; one op after the other takes four.

one_launch.py has the one. Where tiles are measured (kernels/gpu/autotune.py), so is whether two are faster. The two:

    1  z = fprop(x, w); while a tile of z is in registers, its mean and squared deviations go to `partials`
    2  merge the partials, normalise, activate, add the skip: instance_norm's second launch

Backward: dz, then dx and dw, which both read it. dz takes one launch where `sums` came with dout, else two (a last
contribution to dout that is a convolution's leaves them; see kernels/gpu/epilogue.py). With mirrored edges that launch
makes dz's halo too (kernels/conv2d/reflect_halo.py), so that dx is one launch.

Bytes forward: x, w, z written and (by two launches) read, out, skip. Statistics come from the float32 tile, also where z is stored as bf16.
"""

from __future__ import annotations

from kernels.conv2d.geometry import Geometry
from kernels.conv2d.gpu import gradients, product, wants_halo
from kernels.conv_norm_relu.one_launch import _block, in_one_launch, measured_for, tiles_for
from kernels.device import Array
from kernels.gpu.autotune import pick
from kernels.gpu.epilogue import Deferred, Epilogue, Sums
from kernels.gpu.launch import contiguous
from kernels.instance_norm.gradient import gradient
from kernels.instance_norm.normalise import normalise
from kernels.instance_norm.settings import NormSettings

STACKED = EPILOGUE = SUMS = DEFERRED = True
ONE, TWO = {"launches": 1}, {"launches": 2}


def forward(
    x: Array, w: Array, skip: Array | None = None, *, geometry: Geometry, norm: NormSettings
) -> tuple[Array, Array, Array, Array]:
    x, w = contiguous(x, w)
    geometry.check(x.shape, w.shape)
    size = geometry.output_size(x.shape, w.shape)
    tiles = tiles_for(x, w, size, geometry, norm, skip)

    def made(how: dict[str, int]) -> tuple[Array, Array, Array, Array]:
        if tiles and how == ONE:
            return in_one_launch(x, w, skip, size, geometry, norm, tiles)
        z, partials, tile = product(x, w, None, geometry, statistics=True)
        out, mean, rstd = normalise(z, partials, tile, skip, norm)
        return out, z, mean, rstd

    if tiles is None:
        return made(TWO)
    return made(
        pick(_block, ("launches", *measured_for(x, w, skip, size, geometry)), ONE, lambda one: [one, TWO], made)
    )


def backward(
    dout: Array, x: Array, w: Array, z: Array, mean: Array, rstd: Array, *,
    geometry: Geometry, norm: NormSettings, need: tuple[bool, bool] = (True, True),
    sums: Sums | None = None, epilogue: Epilogue | None = None, deferred: Deferred | None = None,
) -> tuple[Array | None, Array | None]:  # fmt: skip
    x, w = contiguous(x, w)
    reach = geometry.padding if need[0] and wants_halo(w, geometry) else 0
    dz = gradient(dout, z, mean, rstd, norm, sums=sums, padding=reach)
    dx, dw, _ = gradients(dz, x, w, geometry, (*need, False), halo=reach > 0, epilogue=epilogue, deferred=deferred)
    return dx, dw
