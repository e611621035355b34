"""The tables and rows of the compile report: kernels as launched, as compiled, and the step that they add up to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

from benchmarks import table
from benchmarks.cubin import Cubin
from benchmarks.recording import Operation, Step
from benchmarks.roofline import Gpu, code_for, seconds, those_for, unevenness
from kernels.gpu.launch import Launch

# The same step by PyTorch in eager mode, measured beforehand and not by this program. Layout copies are left out: with them
# it takes 3818 kernels and 37.6 GB.
TORCH_EAGER = {"launches": 2306, "bytes": 25.5e9}
# What a bf16 step may take at most.
BUDGET = {"launches": 420, "bytes": 8e9, "milliseconds": 4.6}  # the last on an H100, predicted
TILE = ("BM", "BN", "BK", "BP", "BC", "BT", "BW", "BLOCK")


@dataclass
class Kernel:
    """Launches that share one compiled kernel, and what the compiler made of it: for each target a Cubin or its refusal."""

    launches: list[Launch]
    compiled: dict[int, Cubin | str]
    role: str = "step"  # or "op": of an op that the step does not use; "candidate": tiles that measuring would try

    @property
    def shown(self) -> Launch:
        """The launch that moves most."""
        return max(self.launches, key=lambda launch: (launch.flops, launch.bytes))

    @property
    def gpus(self) -> dict[str, Gpu]:
        """The GPUs of the targets that it was compiled for."""
        return those_for(self.compiled)

    @property
    def products(self) -> str:
        return next((c.products for c in self.compiled.values() if isinstance(c, Cubin)), "")

    @property
    def even(self) -> bool:
        """Whether it is a convolution whose blocks divide the channels that they are cut from."""
        c = self.shown.constexprs
        if not {"C", "K", "BM", "BN", "BK"} <= c.keys():
            return False
        along = c["BM"] if "slices" in c or self.shown.name.endswith("_wgrad") else c["BK"]
        return c["C"] % along == 0 and c["K"] % c["BN"] == c["K"] % c["BK"] == 0

    def problems(self) -> list[str]:
        """One line for each target and offence."""
        lines = []
        for target, result in self.compiled.items():
            found = [result] if isinstance(result, str) else result.problems(target, self.even)
            lines += [f"{self.shown.name} ({tile(self.shown)}) on sm_{target}: {problem}" for problem in found]
        return lines


def kernel_table(kernels: list[Kernel]) -> str:
    """What each kernel is asked to do. Programs, waves, bytes and times are those of its largest launch.

    In the place of launches: "op" for kernels of ops that the step does not use, "candidate" for tiles not chosen.
    """
    gpus = kernels[0].gpus if kernels else {}
    head = [
        "kernel",
        "no.",
        "tile",
        "launches",
        "programs",
        *(f"waves {g.multiprocessors}" for g in _sizes(gpus)),
        "MB",
    ]
    head += ["GFLOP", "FLOP/B", *(f"µs {name}" for name in gpus)]
    lines = []
    for number, kernel in enumerate(kernels, 1):
        launch = kernel.shown
        count = str(len(kernel.launches)) if kernel.role == "step" else kernel.role
        cells = [launch.name, str(number), tile(launch), count, f"{programs(launch)}"]
        cells += [_waves(kernel, gpu) for gpu in _sizes(gpus)]
        cells += [
            f"{launch.bytes / 1e6:.1f}",
            f"{launch.flops / 1e9:.2f}",
            f"{launch.flops / max(launch.bytes, 1):.0f}",
        ]
        times = [seconds(gpu, kernel.products, launch.flops, launch.bytes) for gpu in gpus.values()]
        lines.append([*cells, *(f"{time * 1e6:.1f}" for time in times)])
    return table.render(head, lines)


def code_table(kernels: list[Kernel]) -> str:
    """What the compiler made of each. Loads and stores: bytes for each thread x instructions; resident: programs per
    multiprocessor; loop: instructions of the innermost loop around the product."""
    head = [
        "kernel",
        "no.",
        "target",
        "registers",
        "spills",
        "stack",
        "shared KB",
        "resident",
        "tensor cores",
        "loop",
        "loads",
    ]
    lines = []
    for number, kernel in enumerate(kernels, 1):
        for target, c in kernel.compiled.items():
            cells = [kernel.shown.name, str(number), f"sm_{target}"]
            if isinstance(c, str):
                lines.append([*cells, c, *[""] * 9])
                continue
            cells += [str(c.registers), str(c.spills), str(c.stack), f"{c.shared / 1024:.0f}", str(c.resident(target))]
            cells += [
                " ".join(f"{n} {name}" for name, n in c.tensor.items()) or "-",
                str(c.loop.instructions or "-"),
                _counts(c.loads),
                _counts(c.stores),
            ]
            lines.append([*cells, str(c.float_atomics)])
    return table.render([*head, "stores", "float atomics"], lines)


def totals(step: Step, kernels: list[Kernel], precision: str, overhead: float) -> str:
    """Launches by kind, bytes, and the predicted time on every GPU."""
    by_name = Counter(launch.name for launch in step.launches)
    lines = []
    for name, count in by_name.most_common():
        mine = [launch for launch in step.launches if launch.name == name]
        lines.append([name, str(count), _gb(sum(m.bytes for m in mine)), f"{sum(m.flops for m in mine) / 1e9:.0f}"])
    for name, count in Counter(operation.name for operation in step.operations).most_common():
        nbytes = sum(operation.bytes for operation in step.operations if operation.name == name)
        lines.append([f"array library: {name}", str(count), _gb(nbytes), "0"])
    row = total_row(step, kernels, precision, overhead)
    lines.append(["**all**", str(row["launches"]), _gb(row["bytes"]), f"{row['flops'] / 1e9:.0f}"])
    lines.append(["PyTorch eager", str(TORCH_EAGER["launches"]), _gb(TORCH_EAGER["bytes"]), ""])
    by_kind = table.render(["one training step", "launches", "GB", "GFLOP"], lines)
    times = [
        [name, *(f"{milliseconds:.2f}" for milliseconds in time.values())] for name, time in row["milliseconds"].items()
    ]
    head = ["predicted ms", "roofline", "+ uneven waves", f"+ {overhead * 1e6:g} µs a launch"]
    waits = f"The host waits for a number {step.waits} times."
    return "\n\n".join([by_kind, table.render(head, times), waits])


def total_row(step: Step, kernels: list[Kernel], precision: str, overhead: float) -> dict[str, Any]:
    """One training step as a JSON row."""
    work = [(kernel.products, launch) for kernel in kernels for launch in kernel.launches]
    asked: list[Launch | Operation] = [*step.launches, *step.operations]
    milliseconds = {}
    for name, gpu in (kernels[0].gpus if kernels else {}).items():
        arrays = sum(seconds(gpu, "", 0, operation.bytes) for operation in step.operations)
        times = [(seconds(gpu, p, k.flops, k.bytes), unevenness(gpu, programs(k))) for p, k in work]
        roofline, uneven = arrays + sum(t for t, _ in times), arrays + sum(t * factor for t, factor in times)
        parts = {"roofline": roofline, "uneven_waves": uneven, "launches": uneven + overhead * len(asked)}
        milliseconds[name] = {part: round(1e3 * value, 3) for part, value in parts.items()}
    return {
        "bench": "compile_report", "precision": precision, "kernel": "whole step",
        "launches": len(asked), "kernels": len(step.launches), "array_operations": len(step.operations),
        "host_waits": step.waits, "bytes": sum(part.bytes for part in asked),
        "flops": sum(launch.flops for launch in step.launches), "milliseconds": milliseconds,
        "overhead_microseconds": overhead * 1e6, "torch_eager": TORCH_EAGER,
    }  # fmt: skip


def over_budget(total: dict[str, Any]) -> list[str]:
    """Where one training step in bfloat16, a JSON row of `total_row`, takes more than BUDGET."""
    seen = {**total, "milliseconds": total["milliseconds"].get("H100", {}).get("launches", 0.0)}
    if total["precision"] != "bf16":
        return []
    return [f"a step takes {seen[k]:g} {k}, at most {most:g} wanted" for k, most in BUDGET.items() if seen[k] > most]


def row(precision: str, number: int, kernel: Kernel) -> dict[str, Any]:
    """One kernel as a JSON row."""
    launch = kernel.shown
    grids = Counter(launch.grid for launch in kernel.launches)
    return {
        "bench": "compile_report", "precision": precision, "kernel": launch.name, "number": number,
        "signature": launch.signature, "constexprs": launch.constexprs, "options": launch.options,
        "grids": [{"grid": grid, "launches": count} for grid, count in grids.items()],
        "bytes": launch.bytes, "flops": launch.flops, "products": kernel.products,
        "roofline_microseconds": {
            name: round(1e6 * seconds(gpu, kernel.products, launch.flops, launch.bytes), 3) for name, gpu in kernel.gpus.items()
        },
        "waves": {str(gpu.multiprocessors): _waves(kernel, gpu) for gpu in _sizes(kernel.gpus)},
        "targets": {
            f"sm_{target}": {"error": c} if isinstance(c, str) else dataclasses.asdict(c)
            for target, c in kernel.compiled.items()
        },
        "problems": kernel.problems(),
    }  # fmt: skip


def tile(launch: Launch) -> str:
    """Sizes of the tile, and warps where they differ from Triton's 4: "64x128x64 w8"."""
    sizes = [str(value) for name, value in launch.constexprs.items() if name in TILE]
    warps = launch.options["num_warps"]
    return "x".join(sizes) + (f" w{warps}" if warps != 4 else "")


def programs(launch: Launch) -> int:
    """How many programs the grid has."""
    x, y, z = launch.grid
    return x * y * z


def _sizes(gpus: dict[str, Gpu]) -> list[Gpu]:
    """One GPU for each number of multiprocessors."""
    return list({gpu.multiprocessors: gpu for gpu in gpus.values()}.values())


def _waves(kernel: Kernel, gpu: Gpu) -> str:
    code = kernel.compiled.get(code_for(gpu, kernel.compiled) or 0)
    if not isinstance(code, Cubin) or not (held := code.resident(gpu.target)):
        return "-"
    return f"{programs(kernel.shown) / (gpu.multiprocessors * held):.2f}"


def _counts(widths: dict[int, int]) -> str:
    return " ".join(f"{width}x{count}" for width, count in widths.items()) or "-"


def _gb(nbytes: float) -> str:
    return f"{nbytes / 1e9:.2f}"
