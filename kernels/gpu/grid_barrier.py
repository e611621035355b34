"""A launch in which programs wait for one another: where that may be, and the barrier that they wait at.

    if resident(programs, like, shared):
        launch(kernel, grid, ..., counters_of(like), cooperative=True)

    in the kernel:  what the others need is stored;  before = arrive(counter, members, is_first)
                    what they do not need is done;   wait(counter, before);   what the others stored is loaded

Usually a program must not wait for another: a GPU starts programs as multiprocessors become free, and those that wait could
keep out those they wait for. A cooperative launch starts only if all its programs run at once, else the driver refuses it
(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE); so every wait ends. A multiprocessor holds at least one program of any kernel that
fits the GPU at all, so a grid of at most so many programs is resident, whatever registers they take. Captured in a graph, the
launch stays cooperative (`CU_LAUNCH_ATTRIBUTE_COOPERATIVE`: "valid for graph nodes, launches", CUDA driver API, 11.1 and later).

The barrier is that of CUDA's cooperative groups (`sync_grids`): one 32-bit integer for each group of programs. Every member adds
1, but the first 2^31 - (members - 1), so that a full round adds 2^31: the lower bits are 0 again, the highest has changed, and
who sees that may go on. So nothing is ever set back: a captured graph needs no memset, there is no overflow, and launches
of any sizes may use a counter after one another. Only integers: sums stay in their order.

    from kernels.gpu.launch import hooks
    hooks.cooperative = False         # no such launch from here on: each op takes the launches that it needs without
"""

from __future__ import annotations

import functools

import numpy as np
import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu import launch
from kernels.gpu.launch import hooks, upload

# Where there is no GPU, launches are described and interpreted as on an H100: multiprocessors, bytes for a program.
MULTIPROCESSORS, SHARED = 132, 227 * 1024
COUNTERS = 1024  # a group has at least one program, and no GPU so many multiprocessors


@triton.jit
def arrive(counter, members, is_first):
    """Say that what this program has stored may be read; returns what `wait` wants. One of the `members` is the first."""
    tl.debug_barrier()  # all threads have stored, before the one that says so
    # In 32 bits -2^31 is 2^31. Release: who sees the counter changed sees what was stored before, too.
    return tl.atomic_add(counter, tl.where(is_first, -2147483647 - members, 1), sem="release")


@triton.jit
def wait(counter, before):
    """Return when all members have arrived; `before` is from this program's arrival."""
    now = before
    while (before ^ now) >= 0:  # the highest bit is the sign
        now = tl.atomic_add(counter, 0, sem="acquire")
    tl.debug_barrier()  # the thread that has looked, before all that load


def resident(programs: int, like: Array, shared: int) -> bool:
    """Whether so many programs, with `shared` bytes of shared memory each, run at once on the device of `like`."""
    if not hooks.cooperative:
        return False
    multiprocessors, most = (MULTIPROCESSORS, SHARED) if isinstance(like, np.ndarray) else _of_device(*_place()[:1])
    return programs <= multiprocessors and shared <= most


def counters_of(like: Array) -> Array:
    """Counters, one for each group of programs, for launches that follow one another: those of the device and its stream."""
    return _counters(None if isinstance(like, np.ndarray) else _place())


def _place() -> tuple[int, int]:
    """Device and stream that launches go to."""
    launch.use_cupy()
    from triton.runtime import driver

    device = driver.active.get_current_device()
    return device, driver.active.get_current_stream(device)


@functools.cache
def _counters(place: tuple[int, int] | None) -> Array:
    """Two streams may run at once, so each has its own. None is the interpreter."""
    zeros = np.zeros(COUNTERS, np.int32)
    if place is None:
        return zeros
    import cupy

    return upload(cupy, zeros)


@functools.cache
def _of_device(device: int) -> tuple[int, int]:
    """Multiprocessors, and bytes of shared memory that a program may have."""
    from triton.runtime import driver

    properties = driver.active.utils.get_device_properties(device)
    return properties["multiprocessor_count"], properties["max_shared_mem"]
