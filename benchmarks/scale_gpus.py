"""What a step over GPUs that are not here is predicted to take, at the paper's size, with all that is assumed."""

from __future__ import annotations

import math

from benchmarks import table
from benchmarks.scale_model import GATHERS
from train.ranks.buckets import MOST

# A step's default on a GPU is Python's: 376 launches (compile_report) at 38 µs (host_cost, on an AMD EPYC) and 4 of CUDA's own.
PAPER = {"g": 22.76e6, "d": 5.53e6}  # weights of the two players' networks at the paper's size
NODE = 8  # GPUs that NVLink joins
HARDWARE = {  # assumptions of the prediction: bytes per second and GPU, seconds
    "within a host": (300e9, 15e-6),  # NVLink 4, two thirds of its 450 GB/s each way
    "between hosts": (40e9, 30e-6),  # one 400 Gbit/s adapter a GPU, four fifths of it
}
SMALL_CALL = 40e-6  # s of a small MPI gather among two processes
BACKWARD = {"g": 0.25, "d": 0.15}
"""Of a step, how long a player's gradients come one by one. The generators' turn is about three quarters of it, their backward two thirds
of that, and while the first half goes back through the second translation nothing is complete; the discriminators' backward is two
thirds of the last quarter."""
HEAD = [
    "GPUs", "hosts", "batch", "gradients ms", "exposed ms", "small calls ms", "step ms", "images/s", "of n GPUs alone", "sent after it",
]  # fmt: skip


def predictions(image: float) -> str:
    """Weak scaling over GPUs at the paper's size, one image a GPU and step: exact and fast move as many numbers then."""
    lines = []
    for n in (1, 8, 64, 512):
        gradients, exposed, calls = gpu_comm(n, image)
        step, after = image + exposed + calls, image + gradients + calls
        lines.append(
            [str(n), str(-(-n // NODE)), str(n), f"{1e3 * gradients:.2f}", f"{1e3 * exposed:.2f}", f"{1e3 * calls:.2f}",
             f"{1e3 * step:.1f}", f"{n / step:.0f}", f"{image / step:.0%}", f"{image / after:.0%}"]
        )  # fmt: skip
    about = "at the paper's size (256 pixels, 28.3 M weights in float32, one image a GPU and step), not measured:"
    assumed = "; ".join(
        f"{name} {rate / 1e9:.0f} GB/s a GPU and {1e6 * delay:.0f} µs a call"
        for name, (rate, delay) in HARDWARE.items()
    )
    small = f"a small gather {1e6 * SMALL_CALL:.0f} µs times log2 of the ranks, {GATHERS} a step"
    windows = ", ".join(f"{share:.0%} of a step those of {player!r}" for player, share in BACKWARD.items())
    return (
        f"Predicted for GPUs, {about}\n{table.render(HEAD, lines)}\n"
        f"Assumed: {1e3 * image:.1f} ms a step of one GPU alone (--gpu_ms); NCCL, {assumed}, {NODE} GPUs a host; {small}; gradients "
        f"travel beside the backward while they come ({windows}), at no cost to it, but for a player's last bucket; no rank is slower "
        "than another."
    )


def gpu_comm(n: int, image: float) -> tuple[float, float, float]:
    """Seconds of a step's gradients, of those that the backward does not hide, and of small calls, on n GPUs of one image each."""
    if n == 1:
        return 0.0, 0.0, 0.0
    rate, delay = HARDWARE["within a host" if n <= NODE else "between hosts"]
    gradients = exposed = 0.0
    for player, weights in PAPER.items():
        buckets = math.ceil(weights / MOST)
        bucket = 2 * 4 * weights / buckets * (n - 1) / n / rate + 2 * delay * math.log2(n)
        gradients += buckets * bucket
        exposed += max(bucket, buckets * bucket - BACKWARD[player] * image)
    return gradients, exposed, GATHERS * SMALL_CALL * math.log2(n)
