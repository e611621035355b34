"""The tables and rows of the compile report: kernels as launched, as compiled, and the step that they add up to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks import table
from benchmarks.cubin import Cubin
from benchmarks.demand import demand_of
from benchmarks.gpus import Gpu, code_for, those_for
from benchmarks.prediction import TERMS, Prediction, predict
from benchmarks.recording import Operation, Step
from kernels.gpu.launch import Launch

# The same step by PyTorch in eager mode, measured beforehand and not by this program. Layout copies are left out: with them
# it takes 3818 kernels and 37.6 GB.
TORCH_EAGER = {"launches": 2306, "bytes": 25.5e9}
# What a bf16 step may take at most.
BUDGET = {"launches": 330, "bytes": 7e9, "milliseconds": 6.0}  # the last on an H100, predicted
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

    def predicted(self, gpu: Gpu, launch: Launch) -> Prediction:
        """How long one of its launches takes there; nothing where it does not compile."""
        target = code_for(gpu, self.compiled)
        code = self.compiled.get(target or 0)
        return predict(gpu, demand_of(launch, code, gpu.target)) if isinstance(code, Cubin) else Prediction()

    def milliseconds(self, gpu: Gpu) -> dict[str, float]:
        """What all its launches take there together, by the term that decides each moment of it."""
        all_of_them = [self.predicted(gpu, launch).bound for launch in self.launches]
        return {term: 1e3 * sum(bound[term] for bound in all_of_them) for term in TERMS}

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
        times = [kernel.predicted(gpu, launch) for gpu in gpus.values()]
        lines.append([*cells, *(f"{time.seconds * 1e6:.1f} {time.binds}" for time in times)])
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


def time_table(kernels: list[Kernel], gap: float) -> str:
    """Milliseconds that these kernels' launches of one step take together, and which term decides how much of it."""
    gpus = kernels[0].gpus if kernels else {}
    names = list(dict.fromkeys(kernel.shown.name for kernel in kernels))
    lines, whole = [], {name: dict.fromkeys(TERMS, 0.0) for name in gpus}
    for name in names:
        mine = [kernel for kernel in kernels if kernel.shown.name == name]
        cells = [name, str(sum(len(kernel.launches) for kernel in mine))]
        for gpu_name, gpu in gpus.items():
            parts = _added(kernel.milliseconds(gpu) for kernel in mine)
            whole[gpu_name] = _added([whole[gpu_name], parts])
            cells.append(f"{sum(parts.values()):.3f} {max(TERMS, key=parts.__getitem__)}")
        lines.append(cells)
    launches = sum(len(kernel.launches) for kernel in kernels)
    ends = {name: [*parts.values(), launches * gap * 1e3] for name, parts in whole.items()}
    lines.append(["**all, with gaps**", str(launches), *(f"**{sum(end):.3f}**" for end in ends.values())])
    by_term = [[name, *(f"{value:.3f}" for value in (*end, sum(end)))] for name, end in ends.items()]
    head = ["decided by, ms", *TERMS, f"gaps of {gap * 1e6:g} µs", "all"]
    return "\n\n".join([table.render(["predicted ms", "launches", *gpus], lines), table.render(head, by_term)])


def totals(step: Step, kernels: list[Kernel], precision: str, gap: float) -> str:
    """Launches by kind, bytes, and the predicted time on every GPU."""
    by_name = Counter(launch.name for launch in step.launches)
    lines = []
    for name, count in by_name.most_common():
        mine = [launch for launch in step.launches if launch.name == name]
        lines.append([name, str(count), _gb(sum(m.bytes for m in mine)), f"{sum(m.flops for m in mine) / 1e9:.0f}"])
    for name, count in Counter(operation.name for operation in step.operations).most_common():
        nbytes = sum(operation.bytes for operation in step.operations if operation.name == name)
        lines.append([f"array library: {name}", str(count), _gb(nbytes), "0"])
    row = total_row(step, kernels, precision, gap)
    lines.append(["**all**", str(row["launches"]), _gb(row["bytes"]), f"{row['flops'] / 1e9:.0f}"])
    lines.append(["PyTorch eager", str(TORCH_EAGER["launches"]), _gb(TORCH_EAGER["bytes"]), ""])
    by_kind = table.render(["one training step", "launches", "GB", "GFLOP"], lines)
    times = [[name, *(f"{value:.2f}" for value in time.values())] for name, time in row["milliseconds"].items()]
    head = ["predicted ms, the whole step", *TERMS, "array library", f"gaps of {gap * 1e6:g} µs", "all"]
    waits = f"The host waits for a number {step.waits} times."
    return "\n\n".join([by_kind, table.render(head, times), waits])


def total_row(step: Step, kernels: list[Kernel], precision: str, gap: float) -> dict[str, Any]:
    """One training step as a JSON row."""
    asked: list[Launch | Operation] = [*step.launches, *step.operations]
    milliseconds = {}
    for name, gpu in (kernels[0].gpus if kernels else {}).items():
        parts = _added(kernel.milliseconds(gpu) for kernel in kernels)
        parts["array_library"] = 1e3 * sum(o.bytes / gpu.dram + 2 * gpu.memory_latency for o in step.operations)
        parts["gaps"] = 1e3 * gap * len(asked)
        milliseconds[name] = {part: round(value, 3) for part, value in (*parts.items(), ("all", sum(parts.values())))}
    return {
        "bench": "compile_report", "precision": precision, "kernel": "whole step",
        "launches": len(asked), "kernels": len(step.launches), "array_operations": len(step.operations),
        "host_waits": step.waits, "bytes": sum(part.bytes for part in asked),
        "flops": sum(launch.flops for launch in step.launches), "milliseconds": milliseconds,
        "gap_microseconds": gap * 1e6, "torch_eager": TORCH_EAGER,
    }  # fmt: skip


def _added(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    """Term by term."""
    parts = list(parts)
    return {term: sum(part[term] for part in parts) for term in TERMS}


def over_budget(total: dict[str, Any]) -> list[str]:
    """Where one training step in bfloat16, a JSON row of `total_row`, takes more than BUDGET."""
    seen = {**total, "milliseconds": total["milliseconds"].get("H100", {}).get("all", 0.0)}
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
        "predicted_microseconds": {name: _microseconds(kernel.predicted(gpu, launch)) for name, gpu in kernel.gpus.items()},
        "waves": {str(gpu.multiprocessors): _waves(kernel, gpu) for gpu in _sizes(kernel.gpus)},
        "targets": {
            f"sm_{target}": {"error": c} if isinstance(c, str) else dataclasses.asdict(c)
            for target, c in kernel.compiled.items()
        },
        "problems": kernel.problems(),
    }  # fmt: skip


def _microseconds(prediction: Prediction) -> dict[str, Any]:
    """All of it, what decides most of it, and what each term would take by itself."""
    terms = {term: round(1e6 * seconds, 3) for term, seconds in prediction.terms.items()}
    return {"all": round(1e6 * prediction.seconds, 3), "binds": prediction.binds, **terms}


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
