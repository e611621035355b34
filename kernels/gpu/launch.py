"""The one place where arrays meet Triton. A kernel's launcher in `gpu.py` looks like this:

    import triton
    import triton.language as tl

    from kernels.gpu.launch import cdiv, contiguous, empty, launch

    @triton.jit
    def _double(x, y, n, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        tl.store(y + at, 2 * tl.load(x + at, mask=at < n, other=0.0), mask=at < n)

    def forward(x: Array) -> Array:
        (x,) = contiguous(x)                       # kernels see plain memory, first axis slowest
        y = empty(x, x.shape)                      # on x's device, of x's dtype; not cleared
        # Program i owns elements [1024 i, 1024 (i + 1)).
        launch(_double, (cdiv(x.size, 1024),), x, y, x.size, BLOCK=1024)
        return y

`launch(kernel, grid, *arguments, **constexprs)` takes arrays as they are. NumPy arrays run in Triton's interpreter (device
`interpret`), CuPy arrays on the GPU, on CuPy's current device and stream; both work in one process, and no environment
variable is read. `num_warps` and `num_stages` are Triton's; `bytes` (DRAM traffic; by default every array once) and
`flops` are only told to the records:

    with recorded() as launches: model.step(a, b)
    len(launches), sum(l.bytes for l in launches); launches[0].source()    # what triton.compile(...) takes

With `recorded(run=False)` nothing runs: a step at full size is described in a moment, on any machine; outputs are zeros.

Helpers that kernels call are `@triton.jit` functions too. Call `tl.sum(x, 0)` and so on as usual; libdevice is not
available in the interpreter. Load bf16 with `.to(tl.float32)` ahead of any arithmetic: the interpreter holds bf16 as raw
16-bit integers. This module does not import Triton until the first launch.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels.device import Array, address, captured, xp_of

Grid = tuple[int, ...]
DTYPES = {"float32": "fp32", "bfloat16": "bf16", "int32": "i32", "int64": "i64", "uint8": "u8"}
dtype_name = functools.cache(str)
"""Of an array's dtype, "float32". NumPy builds that word anew whenever it is asked, in a tenth of the time of a launch."""


def cdiv(a: int, b: int) -> int:
    """a / b, rounded up. Triton's own looks whether it is being compiled, which takes as long as allocating an array."""
    return -(-a // b)


@dataclass(frozen=True)
class Launch:
    """One launch, described so that exactly what ran can be compiled for any GPU, without one.

    `signature` maps each parameter to Triton's type name ("*fp32", "i32", "constexpr", ...), `divisible` names the
    parameters that are multiples of 16 (pointers: of 16 bytes), `bytes` is DRAM traffic, `flops` counts both operations
    of a multiply-add. `shapes` are those of the arrays, by parameter.
    """

    kernel: Any = field(repr=False)
    grid: Grid
    signature: dict[str, str]
    constexprs: dict[str, Any]
    divisible: tuple[str, ...]
    options: dict[str, Any]
    bytes: int
    flops: int
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The op and the function, as in `instance_norm._normalise`, whatever file of its folder that stands in."""
        module, kernels = self.kernel.fn.__module__, __name__.removesuffix("gpu.launch")
        if module.startswith(kernels):
            module = module.removeprefix(kernels).removeprefix("gpu.").partition(".")[0]
        return f"{module}.{self.kernel.fn.__name__}"

    @property
    def key(self) -> tuple:
        """Equal for launches that share one compiled kernel."""
        parts = (self.signature, self.constexprs, self.options)
        return (self.name, self.divisible, *(tuple(sorted(part.items(), key=str)) for part in parts))

    def source(self) -> Any:
        """For `triton.compile(launch.source(), target=GPUTarget("cuda", 90, 32), options=launch.options)`.

        The same as Triton's JIT makes of the launch, so that what is compiled here is found on disk when the launch comes.
        """
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource, make_backend

        known = {name: "D" if name in self.divisible else "" for name, kind in self.signature.items() if kind != "fp32"}
        specialised = [(kind, self.constexprs.get(n, known.get(n))) for n, kind in self.signature.items()]
        values = {name: self.constexprs.get(name) for name in self.signature}
        backend = make_backend(GPUTarget("cuda", 90, 32))  # whichever: it only says how to write attributes down
        _, signature, constexprs, attributes = self.kernel._pack_args(backend, {}, values, specialised, None)
        return ASTSource(fn=self.kernel, signature=signature, constexprs=constexprs, attrs=attributes)


def launch(
    kernel: Any,
    grid: Grid,
    *arguments: Any,
    bytes: int | None = None,
    flops: int = 0,
    num_warps: int = 4,
    num_stages: int = 2,
    cooperative: bool | int = False,
    **constexprs: Any,
) -> None:
    """Run a `@triton.jit` kernel over a grid of at most three dimensions. `cooperative`: all its programs at once, or an error.

    Arguments are C-contiguous arrays of float32, bfloat16 or integers, numbers, or None. Raises TypeError for other
    dtypes (float64 is the references' business) and ValueError for an array with gaps.
    """
    arrays = [a for a in arguments if _is_array(a)]
    for array in arrays:
        _check(kernel, array)
    # Triton 3.10 turns contraction of a*b+c into one rounding off by default; said here, results outlive the version.
    options = dict(num_warps=num_warps, num_stages=num_stages, enable_fp_fusion=True)
    if cooperative:
        options["launch_cooperative_grid"] = True
    grid = (*grid, 1, 1)[:3]
    if hooks.records is not None:
        traffic = sum(a.nbytes for a in arrays) if bytes is None else bytes
        hooks.records.append(_describe(kernel, grid, arguments, constexprs, options, traffic, flops))
    if 0 in grid or not hooks.run:
        return
    pointers = [Pointer(a) if _is_array(a) else a for a in arguments]
    if all(isinstance(a, np.ndarray) for a in arrays):
        run, every = importlib.import_module(f"{__package__}.interpreter").run, tuple(map(range, grid))
        hooks.perform(
            lambda: run(kernel, hooks.order(itertools.product(*every)), grid, pointers, constexprs, cooperative)
        )
    else:
        use_cupy()
        hooks.compiled(kernel[grid](*pointers, **constexprs, **options))


class Pointer:
    """An array as Triton wants to see it: an address and a dtype. Keeps the array alive."""

    __slots__ = ("array", "dtype")

    def __init__(self, array: Array):
        self.array, self.dtype = array, dtype_name(array.dtype)

    def data_ptr(self) -> int:
        return address(self.array)


def empty(like: Array, shape: Iterable[int], dtype: Any = None) -> Array:
    """An uninitialised array on the device of `like`, of its dtype unless another is given."""
    return hooks.allocate(xp_of(like), tuple(shape), np.dtype(like.dtype if dtype is None else dtype))


def contiguous(*arrays: Array) -> tuple[Array, ...]:
    """The arrays, copied where their elements do not lie one after the other, last axis fastest."""
    return tuple(a if a is None or a.flags.c_contiguous else xp_of(a).ascontiguousarray(a) for a in arrays)


def upload(xp: Any, host: np.ndarray) -> Array:
    """A constant that kernels read, on the device. While a graph is captured the copy is made beside it and not again."""
    if xp is np:
        array = host.copy()
    else:
        with xp.cuda.Stream(non_blocking=True) as stream:
            array = xp.asarray(host)
            stream.synchronize()
    if hooks.capture is not None:
        hooks.capture.kept.append(array)
    return array


@dataclass
class Hooks:
    """Process-wide: how outputs are allocated, the interpreter's order of programs, where launches are noted.

    `perform` is given each launch of the interpreter, `compiled` each kernel that was launched on a GPU; `capture` is
    the graph that is captured (kernels/gpu/cuda_graph.py), in whose list `kept` stands what must live as long; `tuner` chooses tile sizes
    where they are measured (kernels/gpu/autotune.py). `cooperative`: whether programs of one launch may wait for each other
    where all of them run at once (kernels/gpu/grid_barrier.py).
    """

    allocate: Callable[[Any, tuple[int, ...], np.dtype], Array] = lambda xp, *wanted: (
        xp.empty(*wanted) if hooks.run else xp.zeros(*wanted)  # what no kernel writes must not be noise
    )
    order: Callable[[Iterable[tuple]], Iterable[tuple]] = iter
    perform: Callable[[Callable[[], None]], None] = lambda launch: launch()
    compiled: Callable[[Any], None] = lambda kernel: None
    tuner: Any = None
    records: list[Launch] | None = None
    run: bool = True
    matmul: str = "tf32"
    cooperative: bool = True

    @property
    def capture(self) -> Any:
        """The graph that is being captured, or None."""
        return captured[-1] if captured else None


hooks: Hooks = Hooks()


@contextlib.contextmanager
def recorded(run: bool = True) -> Iterator[list[Launch]]:
    """Every launch made inside is noted in the list, in order; with `run=False` noted only."""
    saved = hooks.records, hooks.run
    hooks.records, hooks.run = [], run
    try:
        yield hooks.records
    finally:
        hooks.records, hooks.run = saved


def set_matmul_precision(name: str) -> None:
    """How float32 arrays are multiplied by `tl.dot`: "tf32" (tensor cores, 10 bits of mantissa) or "fp32" (full)."""
    if name not in ("tf32", "fp32"):
        raise ValueError(f"unknown matrix precision {name!r}; wanted tf32 or fp32")
    hooks.matmul = name


def input_precision() -> str:
    """What `tl.dot(..., input_precision=...)` should be given for float32 operands."""
    return "tf32" if hooks.matmul == "tf32" else "ieee"


def _is_array(argument: Any) -> bool:
    return hasattr(argument, "nbytes") and not isinstance(argument, np.generic)


def _check(kernel: Any, array: Array) -> None:
    if dtype_name(array.dtype) not in DTYPES:
        raise TypeError(
            f"{kernel.fn.__module__}: {array.dtype} array given to a GPU kernel, which computes in float32 and bfloat16; "
            "convert it, or use device cpu"
        )
    if not array.flags.c_contiguous:
        raise ValueError(f"{kernel.fn.__module__}: an array has gaps; pass it through launch.contiguous first")


def _describe(
    kernel: Any, grid: Grid, arguments: tuple, constexprs: dict, options: dict, traffic: int, flops: int
) -> Launch:
    """Types and alignment as Triton specialises on them: None and 1 are compiled in, multiples of 16 are known."""
    names = [name for name in kernel.arg_names if name not in constexprs]
    signature, compiled_in, divisible = {}, dict(constexprs), []
    shapes = {name: value.shape for name, value in zip(names, arguments, strict=True) if _is_array(value)}
    for name, value in zip(names, arguments, strict=True):
        if _is_array(value):
            signature[name], number = f"*{DTYPES[dtype_name(value.dtype)]}", address(value)
        elif isinstance(value, float):
            signature[name], number = "fp32", 1
        elif value is None or value == 1:
            signature[name], compiled_in[name], number = "constexpr", value, 1
        else:
            signature[name], number = "i32" if -(2**31) <= value < 2**31 else "i64", value
        if number % 16 == 0:
            divisible.append(name)
    signature = {name: signature.get(name, "constexpr") for name in kernel.arg_names}
    return Launch(kernel, grid, signature, compiled_in, tuple(divisible), options, traffic, flops, shapes)


# Triton on CuPy's stream.


@functools.cache
def use_cupy() -> None:
    """Make Triton launch on CuPy's current device and stream; torch may be present or not."""
    import cupy
    from triton.backends.nvidia import driver as nvidia
    from triton.runtime import driver

    class CupyDriver(nvidia.CudaDriver):
        """Triton asks torch for device and stream (3.6), or takes the default stream where torch is absent (3.9)."""

        def __init__(self) -> None:  # the parent's would import torch
            self.utils = nvidia.CudaUtils()
            self.launcher_cls = nvidia.CudaLauncher
            self.get_current_device = cupy.cuda.runtime.getDevice
            self.set_current_device = cupy.cuda.runtime.setDevice
            self.get_current_stream = lambda device: cupy.cuda.get_current_stream(device).ptr
            self.get_device_capability = lambda device: divmod(int(cupy.cuda.Device(device).compute_capability), 10)

    driver.set_active(CupyDriver())
