"""Faults of one line, each of which the named tests must find: `python -m tests.mutants [WORD ...]`.

The repository's files are copied, one fault is put in, the tests run, and the file is put back. A fault that no test finds is
printed as ALIVE; STALE is one whose line is no longer there (tests/test_quick.py asks that of all), RED one whose tests fail
without it: mend the table. WORDs choose faults by their file.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Mutant(NamedTuple):
    """`old` stands once in `file`; with `new` in its place one of `tests` (pytest's arguments, below tests/) must fail."""

    file: str
    old: str
    new: str
    tests: str


OPS = "test_ops.py -k "
MUTANTS = (
    Mutant("kernels/conv2d/reference.py", "[:, ::stride, ::stride]", "[:, ::stride, ::1]", OPS + "stride-2 -m quick"),
    Mutant("kernels/conv2d/reference.py", "        y += b", "        y = y + 2 * b", OPS + "conv2d-ragged -m quick"),
    Mutant("kernels/instance_norm/reference.py", "dx = dy - over_pixels(pixel_mean(dy))", "dx = dy.copy()", OPS + "instance_norm-ragged -m quick"),
    Mutant("kernels/instance_norm/reference.py", "+ norm.eps)", ")", OPS + "wide-eps -m quick"),
    Mutant("kernels/conv2d/direct.py", "2 * size - 2 - i)", "2 * size - 1 - i)", "test_cpu_kernels.py -k conv2d"),
    Mutant("kernels/conv2d/direct.py", "wide, r + k > 0,", "wide, k > 0,", "test_cpu_kernels.py -k conv2d"),
    Mutant("kernels/conv2d/direct.py", "K, block > begin,", "K, False,", "test_cpu_kernels.py -k conv2d"),
    Mutant("kernels/conv2d/direct.py", "sums[q, (p + R - 1) * K + k] + b[k]", "sums[q, (p + R - 1) * K + k]", "test_cpu_kernels.py -k conv2d"),
    Mutant("kernels/reflection_pad/cpu.py", "1 <= i <= pad", "0 <= i <= pad", "test_cpu_kernels.py -k reflection"),
    Mutant("kernels/instance_norm/cpu.py", "(end - start) * (means[i, c] - total[c]) ** 2", "0.0", "test_cpu_kernels.py -k norm"),
    Mutant("kernels/cpu/threads.py", "divmod(count, pieces)", "divmod(count - 1, pieces)", "test_cpu_kernels.py -k bit"),
    Mutant("kernels/conv2d/fprop.py", "w += n // images * (R * S * C * K)", "w += n % images * (R * S * C * K)", OPS + "conv2d-stack"),
    Mutant("kernels/conv2d/fprop.py", "at % Q * STRIDE - SIDE  # [BM]", "at % Q * STRIDE - SIDE + 1  # [BM]", OPS + "conv2d-ragged-interpret"),
    Mutant("kernels/conv2d/few_out.py", "(lane < BM - S + 1)", "(lane < BM - S + 2)", OPS + "conv2d-head-stack-interpret"),
    Mutant("kernels/conv2d/row_of_taps.py", "PAD - s if GRADIENT", "PAD + 1 - s if GRADIENT", OPS + "conv2d-head-zeros-interpret"),
    Mutant("kernels/conv2d/wgrad.py", "counts = j < Q if ROW", "counts = j <= Q if ROW", "test_gpu_conv.py -k walks"),
    Mutant("kernels/conv2d/gemm_epilogue.py", "delta = tl.where(inside, delta, 0.0)", "pass", OPS + "conv_norm_relu-ragged-interpret"),
    Mutant("kernels/conv_norm_relu/one_launch.py", "    wait(counters, before)\n", "", "test_one_launch.py -k bits"),
    Mutant("kernels/conv_norm_relu/one_launch.py", "tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)", "0", "test_one_launch.py -k bits"),
    Mutant("kernels/conv2d/dgrad.py", "s = tap // taps_w, tap % taps_w", "s = tap // taps_h, tap % taps_w", OPS + "oblong-kernel-interpret"),
    Mutant("kernels/instance_norm/gradient.py", "factor = rstd * scale", "factor = rstd", OPS + "conditional_instance_norm-ragged-interpret"),
    Mutant("kernels/gpu/reduce.py", "m2 + count * delta * delta, 0)", "m2, 0)", OPS + "instance_norm-real-interpret"),
    Mutant("kernels/instance_norm/partials.py", "return pivot + mean, m2", "return pivot, m2", OPS + "instance_norm-real-interpret"),
    Mutant("kernels/instance_norm/partials.py", "tl.minimum((t + 1) * SHARE, tiles)", "(t + 1) * SHARE", "test_gpu_kernels.py -k shortened"),
    Mutant("kernels/instance_norm/partials.py", "return fewer, SHARE * tile", "return fewer, tile", "test_gpu_kernels.py -k shortened"),
    Mutant("kernels/gpu/cuda_graph.py", "ALIGNED = 16", "ALIGNED = 8", "test_device_steps.py -k compiled"),
    Mutant("kernels/device.py", "captured[-1].fed(make) if captured else ", "", "test_graph.py -k reach"),
    Mutant("kernels/cpu/noted.py", 'notes.refuse(f"it looks at a value ({function.__name__})")', "pass", "test_recording.py -k cannot_be_noted"),
    Mutant("kernels/cpu/noted.py", 'here.notes.refuse(f"it looks at a value ({name})")', "pass", "test_recording.py -k cannot_be_noted"),
    Mutant("kernels/cpu/noted.py", "self.step.known[key] = Memory(array, lambda _: self.step.known.pop(key, None))", "self.step.known[key] = Memory(array)", "test_recording.py"),
    Mutant("kernels/cpu/recording.py", "self.why_not = notes.step.why_not or made_outside(notes)", "self.why_not = notes.step.why_not", "test_recording.py -k cannot_be_noted"),
    Mutant("kernels/cpu/recording.py", "(last >= span.first) | lanes", "(last >= span.first)", "test_recording.py -k share_a_byte"),
    Mutant("kernels/cpu/recording.py", "span.first, span.fork, span.lane = first, 0, 0", "pass", "test_recording.py -k beside"),
    Mutant("kernels/cpu/recording.py", "            span.last = self.count\n            if", "            if", "test_recording.py -k beside"),
    Mutant("kernels/cpu/recording.py", "kept.extend(owner for owner in owners.values() if owner is not None)", "pass", "test_recording.py -k lets_go"),
    Mutant("kernels/cpu/threads.py", "    if here.notes is not None:  # the next time another thread may do this\n        return empty(*shape)\n", "", "test_recording.py -k scratch"),
    Mutant("kernels/cpu/multi_tensor.py", "here.notes.keep(table, *itertools.chain(*rows))", "pass", "test_recording.py -k step_to_the_bit"),
    Mutant("train/models/graphed_step.py", "is_observed() or ", "", "test_recording.py -k looks_at_layers"),
    Mutant("train/models/graphed_step.py", "sys.gettrace() is not None or ", "", "test_recording.py -k debugger"),
    Mutant("train/models/model.py", '"replays" in vars(type(self))', "type(self).replays", "test_recording.py -k promise"),
    Mutant("train/models/model.py", "    repeated(check)", "    check()", "test_recording.py -k no_number"),
    Mutant("nn/layers.py", "from_host(network.device, keys)", "network.device.asarray(keys())", "test_graph.py -k coins"),
    Mutant("train/models/device_pool.py", "return self.size == 0 or self.buffer is not None", "return True", "test_graph.py -k swaps"),
    Mutant("autograd/engine.py", "(-node.serial, node)", "(node.serial, node)", "test_engine.py test_arithmetic.py -m quick"),
    Mutant("autograd/tensor.py", "self.arrived = (*self.arrived, *arrays)", "self.arrived = tuple(arrays)", "test_engine.py -m quick"),
    Mutant("nn/stacked.py", "all(p.has_low() for p in self.parts)", "any(p.has_low() for p in self.parts)", "test_stacked.py -k changed"),
    Mutant("kernels/adam/gpu.py", "gradient += tl.load(other, mask=inside & has_other, other=0.0)", "pass", "test_gpu_kernels.py -k on_its_way"),
    Mutant("autograd/fusion.py", "maker.uses == len(come) + 1", "maker.uses >= len(come) + 1", "test_epilogue.py test_engine_fusion.py"),
    Mutant("autograd/fusion.py", "DEFERRED\", False) and read_at_the_end(self.inputs[1])", "DEFERRED\", False)", "test_deferred.py -k same_bits"),
    Mutant("autograd/fusion.py", "maker.uses == 1 and ", "", "test_deferred.py -k same_bits"),
    Mutant("autograd/engine.py", "deferred.finish()\n    return", "return", "test_deferred.py -k same_bits"),
    Mutant("autograd/engine.py", "deferred.finish()\n                receiver", "receiver", "test_deferred.py -k watches"),
    Mutant("autograd/fusion.py", "if kind != self.kind:", "if self.kind is None:", "test_deferred.py -k told_apart"),
    Mutant("autograd/fusion.py", "self.kind, self.waiting, self.together = None, [], None", "self.kind = None", "test_deferred.py -k one_launch"),
    Mutant("kernels/conv2d/wgrad.py", "layers + 3 * (g // stack), g % stack", "layers + 3 * (g % stack), g % stack", "test_deferred.py -k one_launch"),
    Mutant("autograd/double_backward.py", "1 - tanh(x) ** 2", "1 - tanh(x)", "test_double_backward.py -m quick"),
    Mutant("autograd/double_backward.py", "-dy * x / (z * z)", "-dy * x / z", "test_double_backward.py -m quick"),
    Mutant("autograd/lanes.py", "extend(arrays)", "extend(arrays[:1])", "test_training_step.py -m quick"),
    Mutant("nn/losses.py", "1.0 if real else -1.0", "1.0 if real else 0.0", "test_training_step.py -k hinge"),
    Mutant("nn/losses.py", "(length - 1.0) ** 2", "(length - 0.9) ** 2", "test_training_step.py -k wgangp"),
    Mutant("nn/optim.py", "u *= self.momentum", "pass", "test_optim.py -m quick"),
    Mutant("nn/init.py", "math.sqrt(2 / fan_in)", "math.sqrt(2 / fan_out)", "test_network_state.py -m quick"),
    Mutant("nn/stacked.py", "return ones, others", "return others, ones", "test_stacked.py -k either"),
    Mutant("nn/patch_discriminator.py", "min(2**i, 8)", "min(2**i, 16)", "test_network_state.py test_networks.py -m quick"),
    Mutant("nn/unet_generator.py", "h = x if self.outermost else F.leaky_relu(x, 0.2)", "h = F.leaky_relu(x, 0.2)", "test_networks.py -m quick"),
    Mutant("train/models/ema.py", "(self.steps + 9)", "(self.steps + 10)", "test_gradient_accumulation_and_ema.py -m quick"),
    Mutant("train/models/cyclegan.py", "d.lambda_target * c.lambda_identity", "d.lambda_real * c.lambda_identity", "test_training_step.py -k unequal"),
    Mutant("train/models/cyclegan.py", "discriminator_loss(on_fake, False, mode, 0.5)", "discriminator_loss(on_fake, False, mode, 0.6)", "test_training_step.py -m quick"),
    Mutant("train/models/cyclegan.py", "d.pool.query(d.fake)", "d.fake", "test_training_step.py -m quick"),
    Mutant("train/models/directions.py", "(stop - start) / images", "1.0", "test_gradient_accumulation_and_ema.py -m quick"),
    Mutant("train/models/image_pool.py", "self.rng.random() > 0.5", "self.rng.random() > 0.6", "test_image_pool.py test_training_step.py -m quick"),
    Mutant("train/data/plain.py", "i * len(source) // count", "i", "test_pairing.py test_evaluation.py"),
    Mutant("train/data/listing.py", "name.startswith(\".\") or name in OF_SYSTEMS", "name.startswith(\".\")", "test_listing.py -k hidden"),
    Mutant("train/data/listing.py", "PurePath(file.name.lstrip(\".\")) if named else file", "file", "test_crafted_pictures.py -k patterns"),
    Mutant("train/data/pairing.py", "unicodedata.normalize(\"NFC\", key(name))", "key(name)", "test_pairing.py -k partners"),
    Mutant("train/data/pairing.py", "sorted(names[0]) == sorted(names[1])", "False", "test_pairing.py -k partners"),
    Mutant("train/data/bands.py", "found.samples, 4) > 4 * limit", "1, 4) > 4 * limit", "test_images.py -k bands"),
    Mutant("train/data/bands.py", "more == 1 and (extra[:1]", "more >= 1 and (extra[:1]", "test_images.py -k bands"),
    Mutant("train/data/images.py", "x if white >= np.iinfo(values.dtype).max else np.minimum(x, np.float32(1))", "x", "test_images.py -k twelve"),
    Mutant("train/data/saving.py", "picture.white if picture.bits == bits == 16 else 0", "0", "test_images.py -k twelve"),
    Mutant("train/data/saving.py", "picture.icc[16:20] == SPACES.get(channels)", "channels != 2", "test_images.py -k profile"),
    Mutant("train/evaluation/evaluation.py", "paired_scores(fakes, inputs, truths, mean)", "paired_scores(fakes, inputs, truths, np.mean(np.stack(truths), axis=0))", "test_evaluation.py -k mean_image"),
    Mutant("train/evaluation/metrics.py", "one_size and len(truths) > 1", "one_size", "test_metrics.py -k retrieved"),
    Mutant("train/inference/translator.py", "not 0.98 < width / 2", "not 0.48 < width / 2", "test_translate.py -k halves"),
    Mutant("train/data/dataset.py", "_stream(seed, epoch, _AUGMENT_B, position)", "_stream(seed, epoch, _AUGMENT_A, position)", "test_dataset.py -m quick"),
    Mutant("train/data/preprocess.py", "rng.random() < 0.5", "rng.random() < 1.5", "test_preprocess.py test_images.py -m quick"),
    Mutant("train/data/loader.py", "-(-len(self.dataset) // self.batch_size)", "len(self.dataset) // self.batch_size", "test_loader.py -m quick"),
    Mutant("train/files/checkpoint.py", "members.remove(name)", "pass", "test_crafted_npz.py -k bombs"),
    Mutant("train/files/history.py", "[\"step\"] <= after_step", "[\"step\"] < after_step", "test_history.py -m quick"),
    Mutant("train/run/schedule.py", "self.bad > self.PATIENCE", "self.bad >= self.PATIENCE", "test_schedule.py -m quick"),
    Mutant("train/run/schedule.py", "(c.n_epochs_decay + 1)", "c.n_epochs_decay", "test_schedule.py -m quick"),
    Mutant("train/run/trainer.py", "self.cycle_sum / self.position", "self.cycle_sum", "test_systems.py -k another_system"),
    Mutant("train/report/doctor.py", "values.max() < limit", "values.min() < limit", "test_doctor.py"),
    Mutant("train/evaluation/metrics.py", "0.03**2", "0.3**2", "test_metrics.py -m quick"),
    Mutant("train/evaluation/metrics.py", "-10 * np.log10", "-20 * np.log10", "test_metrics.py -m quick"),
    Mutant("train/weights/torch_files.py", "last >= base.size or size > base.size", "last > base.size or size > base.size", "test_torch_files.py -m quick"),
    Mutant("train/inference/strips.py", "gap**2 * (count * n / (count + n))", "0", "test_strips.py"),
    Mutant("train/inference/strips.py", "first // 2 - 1, 0", "first // 2, 0", "test_strips.py"),
    Mutant("benchmarks/step.py", "/ ALLOWED_LOSS[precision]", "/ 1e9", "test_benchmarks.py -k layouts"),
    Mutant("benchmarks/first_checks.py", "torch.as_tensor(y > 0", "torch.as_tensor(y < 0", "test_first_run.py -k kink"),
    Mutant("benchmarks/harness.py", "if after else _off(differ(timed, expected[keys]))", "if after else \"\"", "test_benchmarks.py -k timed"),
    Mutant("benchmarks/race.py", "(dy - abs(dx))", "9", "test_race.py -k rounding"),
    Mutant("kernels/conv_norm_relu/gpu.py", "[one, TWO]", "[one]", "test_tuning.py -k whichever"),
    Mutant("benchmarks/race.py", "int(index == rules.pairs - 1)", "0", "test_race.py -k five_liars"),
    Mutant("benchmarks/race.py", "if least >= floor", "if True", "test_race.py -k floor"),
    Mutant("benchmarks/worker.py", "            if cold:\n", "            if False:\n", "test_race.py -k cold_means"),
    Mutant("benchmarks/harness.py", "if not difference <= 1:", "if difference > 1:", "test_benchmarks.py -k contest"),
)  # fmt: skip


def status(tests: str, copy: Path) -> int:
    """pytest's: 0 if all passed, 1 if one failed, 5 if there were none."""
    words = [f"tests/{word}" if word.endswith(".py") else word for word in tests.split()]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=copy, capture_output=True, check=False).returncode


def stale(mutant: Mutant, root: Path) -> bool:
    """Whether the fault cannot be put in any more: its line is gone, or stands twice, or a file of its tests is gone."""
    file = root / mutant.file
    files = [root / "tests" / word for word in mutant.tests.split() if word.endswith(".py")]
    return not all(map(Path.is_file, (file, *files))) or file.read_text(encoding="utf-8").count(mutant.old) != 1


def outcome(mutant: Mutant, copy: Path, sound: dict[str, int]) -> str:
    """What becomes of a fault: killed, ALIVE, STALE, or RED where the tests do not even pass without it."""
    if stale(mutant, copy):
        return "STALE"
    if mutant.tests not in sound:
        sound[mutant.tests] = status(mutant.tests, copy)
    if sound[mutant.tests]:
        return "RED"
    file = copy / mutant.file
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return "killed" if status(mutant.tests, copy) == 1 else "ALIVE"
    finally:
        file.write_text(text, encoding="utf-8")


def main(words: list[str]) -> int:
    """How many were not killed."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    left, sound = 0, dict[str, int]()
    with tempfile.TemporaryDirectory() as folder:
        for name in filter(None, files):
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, Path(folder) / name)
        for mutant in MUTANTS:
            if not words or any(word in mutant.file for word in words):
                result = outcome(mutant, Path(folder), sound)
                left += result != "killed"
                print(f"{result:6} {mutant.file}: {mutant.old.strip()} -> {mutant.new.strip()}", flush=True)
    return left


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
