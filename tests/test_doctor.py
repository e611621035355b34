"""Each rule of the doctor speaks in a run that was broken on purpose, and none in a sound one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from autograd.ops import mul
from train.augmented_cyclegan import AugmentedConfig
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.doctor import main
from train.files import checkpoint
from train.pix2pix import Pix2PixConfig
from train.report.doctor import NAN, RULES, WINDOW, Doctor, examine, fitting, table
from train.report.page import write_report
from train.run import display, trainer
from train.run.command import run_command
from train.run.watch import RECENT, Watch
from train.stochastic_cyclegan import StochasticConfig

SMALL = (
    "--preset tiny --device cpu --load_size 32 --crop_size 32 --ngf 4 --ndf 4 --n_blocks 1 --watch_freq 1 "
    "--print_freq 1000 --sample_freq 1000 --save_latest_freq 1000 --name run"
)
NAMES = [rule.name for rule in RULES]


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have tests of their own."""
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)


def train(folder: Path, options: str, system: type[CycleGAN] = CycleGAN) -> int:
    return run_command(system, [*SMALL.split(), "--checkpoints_dir", str(folder), *options.split()])


def found(folder: Path) -> set[str]:
    """The rules that speak at the end of a run."""
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return {finding.rule for finding in examine([json.loads(line) for line in lines])}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound run of 40 steps, during which nothing was said."""
    folder = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(display, "write_report", lambda *args, **kwargs: None)
        said: list[str] = []
        patch.setattr(trainer.Progress, "line", lambda self, text: said.append(text))
        assert train(folder, "--max_steps 40") == 0
    assert [line for line in said if "doctor, step" in line] == []
    (folder / "run" / "scores.json").unlink()  # after 40 steps they *are* worse than the untouched input
    return folder


def test_silent_on_a_sound_run(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(sound) == set()
    assert main([str(sound / "run")]) == 0
    assert f"nothing to report after step 40: {len(RULES)} rules looked" in capsys.readouterr().out
    looks = [json.loads(line) for line in (sound / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(look["grad_G"] > 0 and look["grad_D"] > 0 and look["luma_A"] > -1 for look in looks)
    assert ["variety_B" in look for look in looks] == [False] * (RECENT - 1) + [True] * (41 - RECENT)


class Paled(CycleGAN):
    """Its generators hand on what they were given, with a breath of a translation."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        for gen in (self.gen_ab, self.gen_ba):
            gen.forward = lambda x, forward=gen.forward: mul(x, 0.97) + mul(forward(x), 0.03)  # type: ignore[method-assign]


class Deaf(CycleGAN):
    """Its generators paint whatever fools the discriminator, and never look at their input."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        same = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
        for gen in (self.gen_ab, self.gen_ba):
            gen.forward = lambda x, forward=gen.forward: forward(mul(x, 0.0) + same)  # type: ignore[method-assign]


class Outclassed(CycleGAN):
    """Its generators stay as they are; its discriminators learn."""

    def set_lr(self, lr: float) -> None:
        self.optimizers["d"].lr, self.optimizers["g"].lr = lr, 0.0


@pytest.mark.parametrize(
    ("rule", "model", "options"),
    [
        ("generator does nothing", Paled, "--max_steps 12"),
        ("mode collapse", Deaf, "--max_steps 20 --lr 0.0002"),
        ("discriminator has won", Outclassed, "--max_steps 90 --ndf 8"),
        ("discriminator has collapsed", CycleGAN, "--max_steps 12 --lr 0 --init_gain 0.0001"),
    ],
)
def test_a_broken_model(
    tmp_path: Path, rule: str, model: type[CycleGAN], options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, options, model) == 0
    assert rule in found(tmp_path) and found(tmp_path) <= {rule, "generator does nothing", "mode collapse"}
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("doctor, step")]
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    advice = fitting(next(r.advice for r in RULES if r.name == rule), settings)
    for direction in ("A → B", "B → A"):
        assert any(f"{rule} ({direction}): " in line and line.endswith(f"Try: {advice}") for line in told), told
    assert main([str(tmp_path / "run")]) == 1


def test_inverted_colours(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sound run, gone on with after both generators' last layers changed sign."""
    state = checkpoint.load(sound / "run" / "latest.npz")
    for name in ("gen_ab", "gen_ba"):
        weights = state["model"]["networks"][name]
        for key in list(weights)[-2:]:
            weights[key] = -weights[key]
    state["config"]["lr"] = 1e-5
    checkpoint.save(tmp_path / "run" / "latest.npz", state)
    (tmp_path / "run" / "metrics.jsonl").write_text((sound / "run" / "metrics.jsonl").read_text())
    assert train(tmp_path, "--continue_train --max_steps 52 --lr 1e-5") == 0
    assert "colours inverted" in found(tmp_path)
    assert "colours inverted (A → B): light becomes dark (correlation -" in capsys.readouterr().err


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def test_flat_images_and_waiting_for_large_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for name in ("trainA/0.png", "trainA/1.png", "trainB/0.png"):
        write(tmp_path / "data" / name, rng.integers(0, 256, (14, 14, 3), np.uint8).repeat(100, 0).repeat(100, 1))
    write(tmp_path / "data" / "trainA" / "sky.png", np.full((40, 40, 3), 200, np.uint8))
    assert train(tmp_path, f"--dataroot {tmp_path / 'data'} --num_threads 0 --max_steps 12") == 0
    assert {"nearly flat images", "waiting for images"} <= found(tmp_path)
    err = capsys.readouterr().err
    assert err.count("nearly flat images: nearly one colour: sky.png (A). Try: remove these images") == 1  # said once
    assert "of the time goes into waiting for images. Try: a larger --num_threads" in err
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["step"] == 1  # and what is on record stays plain JSON


def test_not_a_number_is_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "write_report", write_report)
    assert train(tmp_path, "--lr 1e30 --max_steps 9") == 2
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert f"<b>{NAN.name}</b><br>step 2: loss" in page and "First seen in" in page and "interrupted" in page


# -- the doctor's own ways


def test_advice_names_only_options_that_the_run_has() -> None:
    """And none that is set so already."""
    advice = {rule.name: rule.advice for rule in RULES}
    for config in (Config(), Pix2PixConfig(), AugmentedConfig(), StochasticConfig()):
        told = {name: fitting(text, config.as_dict()) for name, text in advice.items()}
        named = set(re.findall(r"--(\w+)", " ".join(told.values())))
        assert all(told.values()) and named <= config.options().keys()
        assert "lsgan" not in told["discriminator has collapsed"] or config.gan_mode != "lsgan"
    assert (
        fitting(advice["discriminator has won"], AugmentedConfig().as_dict()) == "a smaller --ndf; a larger --slower_D"
    )
    assert "--gan_mode lsgan" in fitting(advice["discriminator has collapsed"], Config(gan_mode="hinge").as_dict())
    fewer = "fewer layers: --netD n_layers --n_layers_D 2"
    for layers, fits in ((2, False), (3, True)):
        settings = Config(netD="n_layers", n_layers_D=layers).as_dict()
        assert (fewer in fitting(advice["discriminator has won"], settings)) == fits
    assert all(fitting(text, {}) == text for text in advice.values())


UNTOUCHED = {"l1": 0.2, "retrieval": 0.25}


@pytest.mark.parametrize(
    ("model", "untouched", "said"),
    [
        ({"retrieval": 0.24}, UNTOUCHED, ["found for 24% of translations, and for 25% of the untouched inputs"]),
        ({"retrieval": 0.25}, UNTOUCHED, []),
        ({"l1": 9.0}, UNTOUCHED, []),  # too few pairs for retrieval
        ({"retrieval": 0.0}, {}, []),  # its shape is not the truth's
    ],
)
def test_scores_below_those_of_the_untouched_input(
    tmp_path: Path,
    model: dict[str, float],
    untouched: dict[str, float],
    said: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = {"A → B": {"model": model, "untouched": untouched, "mean": {"retrieval": 1.0}}}
    doctor = Doctor()
    found = doctor.judge(scores)
    assert [(f.rule, f.where) for f in found] == [("worse than the untouched input", "A → B")] * len(said)
    assert all(words in f.seen for f, words in zip(found, said, strict=True)) and doctor.judge(scores) == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 7}\n')
    for step, exit_status in ((7, bool(said)), (6, False)):  # of an earlier end: the run has gone on
        (tmp_path / "scores.json").write_text(json.dumps({"step": step, **scores}))
        assert main([str(tmp_path)]) == exit_status
        assert ("Try: larger --lambda_A" in capsys.readouterr().out) == exit_status


def record(step: int, **changes: float | str) -> dict[str, Any]:
    return {"step": step, "grad_G": 1.0, "seconds": 1.0, "wait": 0.0, "luma_A": -0.9, **changes}


def test_a_rule_waits_for_a_whole_window_and_speaks_once() -> None:
    doctor = Doctor()
    told = [[finding.rule for finding in doctor.hear(record(step))] for step in range(1, 2 * WINDOW)]
    assert told == [[]] * (WINDOW - 1) + [["colours inverted"]] + [[]] * (WINDOW - 1)
    assert doctor.hear(record(30, luma_A=0.9)) == []  # one good look does not lift it, nor does it speak again
    for step in range(31, 31 + WINDOW):
        assert doctor.hear(record(step, luma_A=0.9)) == []
    told = [[finding.rule for finding in doctor.hear(record(step))] for step in range(50, 50 + WINDOW)]
    assert [*told].count(["colours inverted"]) == 1  # again, after it had gone


def test_records_of_other_systems_are_no_trouble() -> None:
    assert examine([]) == []
    assert examine([{"step": i, "grad_G": 1.0, "loss": None} for i in range(30)]) == []
    assert examine([record(i, luma_A=None) for i in range(30)]) == []  # type: ignore[arg-type]


def test_looks_are_taken_when_due_and_remembered(tmp_path: Path) -> None:
    model = CycleGAN(Config(ngf=2, ndf=2, n_blocks=1, crop_size=24, device="cpu", input_nc=1, lambda_identity=0.0))
    rng = np.random.default_rng(0)

    def look(watch: Watch, step: int) -> dict[str, float]:
        model.step(*(rng.uniform(-1, 1, (2, 24, 24, c)).astype(np.float32) for c in (1, 3)))
        return watch.look(model, step)

    watch, other = Watch(3), Watch(3)
    looks = {step: look(watch, step) for step in range(1, 3 * RECENT)}
    assert [step for step in looks if looks[step]] == [step for step in looks if step % 3 == 0]
    assert look(Watch(0), 3) == {}
    other.load_state_dict(watch.state_dict())
    last = look(watch, 3 * RECENT)
    assert last == other.look(model, 3 * RECENT) and last["variety_A"] > 0 and "variety_A" not in looks[9]
    assert set(last) == {
        "grad_G", "grad_D", *(f"{k}_{d}" for k in ("luma", "change", "variety") for d in "AB"),
        *(f"D_{d}_{k}" for k in ("real", "fake", "spread") for d in "AB"),
    }  # fmt: skip
    gradients = [p.grad for p in model.optimizers["d"].parameters]
    assert last["grad_D"] == pytest.approx(np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients)), rel=1e-5)


def test_numbers_of_known_pictures() -> None:
    """A negative has correlation -1 and differs by twice the contrast; a copy 1 and nothing."""

    class Seen:
        def __init__(self, fake: np.ndarray) -> None:
            scores = {f"D_A_{kind}": np.array([value, value + 2.0]) for kind, value in (("real", 1.0), ("fake", -1.0))}
            self.seen = {"real_a": real, "fake_b": fake, "real_b": real, **scores}

        optimizers: ClassVar[dict[str, Any]] = {}

    real = np.random.default_rng(0).uniform(-1, 1, (1, 16, 24, 3)).astype(np.float32)
    real -= real.mean()
    numbers = Watch(1).look(Seen(-real), 1)  # type: ignore[arg-type]
    assert numbers["luma_A"] == pytest.approx(-1) and numbers["change_A"] == pytest.approx(2, rel=1e-4)
    assert (numbers["D_A_real"], numbers["D_A_fake"], numbers["D_A_spread"]) == pytest.approx((2, 0, np.sqrt(2)))
    numbers = Watch(1).look(Seen(real.copy()), 1)  # type: ignore[arg-type]
    assert numbers["luma_A"] == pytest.approx(1) and numbers["change_A"] == 0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2 and "holds no metrics.jsonl" in capsys.readouterr().err
    (tmp_path / "metrics.jsonl").write_text("no json\n")
    assert main([str(tmp_path)]) == 2 and "metrics.jsonl, line 1" in capsys.readouterr().err
    assert main(["--rules"]) == 0 and capsys.readouterr().out.strip() == table()
    assert all(f"| {name} |" in table() for name in (*NAMES, NAN.name))
    assert table() in (Path(__file__).parent.parent / "docs" / "practice.md").read_text("utf-8")


def test_one_look_above_the_limit_is_enough_to_keep_silent() -> None:
    def found(spreads: list[float]) -> list[str]:
        records = [{"step": i, "grad_G": 1.0, "D_A_spread": spread} for i, spread in enumerate(spreads, 1)]
        return [finding.rule for finding in examine(records)]

    assert found([0.001] * 10) == ["discriminator has collapsed"]
    assert found([0.001] * 9 + [0.5]) == []


def test_a_slow_rank_is_named_and_ranks_that_keep_pace_are_not() -> None:
    def findings(times: list[list[float]]) -> list[str]:
        return [
            str(f) for f in examine([{"step": i, "grad_G": 1.0, "seconds": 1.0, "ranks": times} for i in range(WINDOW)])
        ]

    assert findings([[0.2, 0.0, 0.1, 2], [0.22, 0.01, 0.07, 2], [0.2, 0.0, 0.1, 2]]) == []
    (seen,) = findings([[0.2, 0.0, 0.2, 2], [0.2, 0.15, 0.05, 2], [0.2, 0.0, 0.2, 2]])
    assert (
        "(rank 1): it takes 0.175 s for each of its images, 0.075 s of which waiting for it; the others take 0.1 s"
        in seen
    )
    assert findings([[0.4, 0.0, 0.0, 4], [0.2, 0.0, 0.2, 2], [0.2, 0.0, 0.2, 2]]) == []  # it has more to do
    assert "(rank 1)" in findings([[0.4, 0.0, 0.2, 4], [0.6, 0.0, 0.0, 2], [0.2, 0.0, 0.4, 2]])[0]
    assert findings([[0.4, 0.0, 0.0, 4], [0.3, 0.0, 0.1, 2], [0.2, 0.0, 0.2, 2]]) == []  # nobody waits for it
    assert "(rank 1)" in findings([[0.2, 0.0, 0.2], [0.35, 0.0, 0.05], [0.2, 0.0, 0.2]])[0]  # as older versions told it
