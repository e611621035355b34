"""Augmented CycleGAN and its stochastic baseline: several steps beside plain torch, in the interpreter, and as commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autograd import Tensor
from autograd.ops import conditional_instance_norm
from tests.steps import step_alike
from tests.torch_augmented import TorchAugmented
from tests.torch_reference import load_numpy_state, to_torch
from train.augmented_cyclegan import AugmentedConfig, AugmentedCycleGAN
from train.augmented_cyclegan import main as augmented
from train.data.phases import sup_frac
from train.errors import UserError
from train.files import checkpoint
from train.run.schedule import Schedule
from train.stochastic_cyclegan import StochasticConfig, StochasticCycleGAN
from train.stochastic_cyclegan import main as stochastic
from train.weights import formats as weights

torch.set_num_threads(1)

# Largest |ours - torch| / max(1, |torch|) of a loss, and |ours - torch| of a weight, over the cases below in float64 after 8
# steps, measured: 4.6e-11 and 1.2e-10. (Norms over one pixel or three pictures divide by small deviations, and so do the
# first steps of Adam.) Bounds are ten times that.
STEPS, LOSS64, WEIGHT64 = 8, 5e-10, 1e-9

TINY = dict(
    ngf=2, ndf=3, ndf_A=2, nef=2, n_blocks=1, n_down=2, nlatent=3, load_size=16, crop_size=16, batch_size=3, input_nc=1,
    device="cpu", seed=3, init_gain=0.3, n_epochs=4, n_epochs_decay=4, lambda_z=0.4,
)  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "as the authors": {},
    "two-sided": dict(two_sided=True, input_nc=3, lambda_A=2.0),
    "a stochastic encoder": dict(stoch_enc=True),
    "two-sided, stochastic": dict(stoch_enc=True, two_sided=True, slower_D=2.0),
    "clipped": dict(max_gnorm=0.05, beta1=0.8),
    "some pairs": dict(sup_frac=0.1),
    "some pairs, two-sided, stochastic": dict(sup_frac=0.1, stoch_enc=True, two_sided=True, lambda_sup_B=0.7),
    "larger pictures": dict(crop_size=24, load_size=24),  # more than one score of disc_a, more than one place to read
}


def made(case: dict[str, Any], dtype: str = "float64") -> tuple[StochasticCycleGAN, TorchAugmented]:
    """Our model and torch's with the same weights and the same stream of codes."""
    c = AugmentedConfig(**TINY | case)
    model = AugmentedCycleGAN(c).astype(dtype)
    return model, torchs(model, c, augmented=True)


def torchs(model: StochasticCycleGAN, config: Any, augmented: bool) -> TorchAugmented:
    truth = TorchAugmented(config, np.random.default_rng([config.seed, 6]), augmented)
    assert truth.nets.keys() == model.networks().keys()
    for name, network in model.networks().items():
        load_state(truth.nets[name], network.state_dict())
    truth.make_optimizers()
    return truth


def load_state(net: torch.nn.Module, state: dict[str, np.ndarray]) -> None:
    """Torch also counts the batches of a batch norm, which nobody reads."""
    counts = {key: value.numpy() for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    load_numpy_state(net, state | counts)


def batches(config: Any, count: int) -> list[tuple[np.ndarray, ...]]:
    """Pictures of A and of B, and of pairs where there are such."""
    rng = np.random.default_rng(0)
    shape = (config.batch_size, config.crop_size, config.crop_size)
    channels = (config.input_nc, config.output_nc) * (2 if sup_frac(config) else 1)
    return [tuple(np.tanh(rng.normal(0.3, 1.0, (*shape, c))) for c in channels) for _ in range(count)]


def train_both(model: StochasticCycleGAN, truth: TorchAugmented, steps: int) -> float:
    """The largest difference of a loss while both train, an epoch to each step so that the learning rate falls."""
    worst, schedule = 0.0, Schedule(model.config)
    for pictures in batches(model.config, steps):
        model.set_lr(schedule.lr)
        truth.set_lr(schedule.lr)
        losses, wanted = model.step(*pictures), truth.step(*map(to_torch, pictures))
        assert losses.keys() == wanted.keys()
        worst = max(worst, *(abs(losses[name] - wanted[name]) / max(1.0, abs(wanted[name])) for name in wanted))
        schedule.end_epoch(0.0)
    return worst


def worst_weight(model: StochasticCycleGAN, truth: TorchAugmented, before: dict[str, Any]) -> float:
    """The largest difference of a weight or a running statistic; every one must have moved."""
    worst = 0.0
    for name, network in model.networks().items():
        theirs = truth.nets[name].state_dict()
        for key, mine in network.state_dict().items():
            assert np.abs(mine - before[name][key]).max() > 1e-5, f"{name}.{key} was hardly trained"
            worst = max(worst, float(np.abs(mine - theirs[key].numpy()).max()))
    return worst


@pytest.mark.parametrize("case", CASES)
def test_steps_beside_torch_in_float64(case: str) -> None:
    model, truth = made(CASES[case])
    before = {name: network.state_dict() for name, network in model.networks().items()}
    assert train_both(model, truth, STEPS) <= LOSS64
    assert worst_weight(model, truth, before) <= WEIGHT64


def test_the_stochastic_baseline_beside_torch_in_float64() -> None:
    config = StochasticConfig(**{k: v for k, v in TINY.items() if k not in ("nef", "lambda_z")})
    model = StochasticCycleGAN(config).astype("float64")
    truth = torchs(model, config, augmented=False)
    before = {name: network.state_dict() for name, network in model.networks().items()}
    assert train_both(model, truth, STEPS) <= LOSS64
    assert worst_weight(model, truth, before) <= WEIGHT64


def test_the_comparison_sees_what_is_wrong() -> None:
    changes = (
        {"lambda_z": 0.4001},
        {"slower_D": 5.001},
        {"max_gnorm": 0.01},
        {"lambda_B": 1.001},
        {"lambda_sup_A": 0.1001},
    )
    for change in changes:
        model, _ = made({"sup_frac": 0.1})
        truth = torchs(model, AugmentedConfig(**TINY | change), augmented=True)
        assert train_both(model, truth, 3) > 1000 * LOSS64, change


@pytest.mark.parametrize("system", ["augmented", "stochastic"])
def test_the_interpreter_and_the_cpu_train_alike(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Triton kernel that a step has, a conditional norm's among them: the losses, and all gradients."""
    from kernels.instance_norm import normalise

    # a picture in one piece: the interpreter's time is a program's, however large
    monkeypatch.setattr(normalise, "BYTES", 1024)
    small = TINY | dict(ngf=1, ndf=1, batch_size=2, precision="fp32")
    settings = (
        small | dict(nef=1, sup_frac=0.1)
        if system == "augmented"
        else {k: small[k] for k in small if k not in ("nef", "lambda_z")}
    )
    make: Any = (
        (AugmentedCycleGAN, AugmentedConfig) if system == "augmented" else (StochasticCycleGAN, StochasticConfig)
    )
    there, here = (make[0](make[1](**settings | dict(device=device))) for device in ("interpret", "cpu"))
    step_alike(there, here, *(x.astype("float32") for x in batches(there.config, 1)[0]), least=1e-3)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


LINE = (
    "--device cpu --num_threads 0 --ngf 2 --ndf 2 --ndf_A 2 --load_size 16 --crop_size 16 --n_down 2 --n_blocks 1 "
    "--nlatent 2 --batch_size 2 --max_dataset_size 5 --n_epochs 1 --n_epochs_decay 1 --sample_freq 4"
)  # 2 epochs of 3 steps, the last of each on a single picture


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("main", [augmented, stochastic])
def test_a_run_stopped_and_continued_is_one_that_never_stopped(
    main: Any, pairs: bool, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    if pairs and main is stochastic:
        assert main(f"{LINE} --sup_frac 0.5".split()) == 2 and "no option --sup_frac" in capsys.readouterr().err
        return
    line = LINE + (" --nef 2" if main is augmented else "") + (" --sup_frac 0.6" if pairs else "")
    assert main(f"{line} --name whole".split()) == 0
    assert ("5 of B, 3 pairs" in capsys.readouterr().out) == pairs
    assert main(f"{line} --name parts --max_steps 2".split()) == 0
    assert main(["--continue_train", "--name", "parts", "--max_steps", "0"]) == 0
    whole, parts = (checkpoint.load(f"checkpoints/{name}/latest.npz")["model"] for name in ("whole", "parts"))
    assert whole["rng"] == parts["rng"]
    for name, network in whole["networks"].items():
        for key, array in network.items():
            assert np.isfinite(array).all() and np.array_equal(array, parts["networks"][name][key]), f"{name}.{key}"
    assert whole["optimizers"]["d"]["lr"] == pytest.approx(whole["optimizers"]["g"]["lr"] / 5)
    page = Path("checkpoints/whole/report.html").read_text()
    assert "z 1, z 2" in page and ("Cycle of codes" in page) == (main is augmented)
    assert ("Known pairs" in page) == pairs
    with pytest.raises(UserError, match=r"whose generators take codes.* train.evaluate --name whole"):
        weights.load("checkpoints/whole")
    capsys.readouterr()
    assert main(f"{line} --name rehearsed --dry_run".split()) == 0 and not Path("checkpoints/rehearsed").exists()
    tables = capsys.readouterr().out
    assert "gen_ab: CodedGenerator on a 16x16 picture and a code\n" in tables
    assert "gen_ba: CodedGenerator on a 16x16 picture\n" in tables
    assert ("disc_zb: LatentDiscriminator on a code\n" in tables) == (main is augmented)


def test_another_code_another_picture() -> None:
    model, _ = made({}, "float32")
    a = batches(model.config, 1)[0][0][:1].astype("float32")
    same, again, other = (model.translate(a, "AtoB", model.codes(1, seed)) for seed in (0, 0, 1))
    assert np.array_equal(same, again) and np.abs(same - other).max() > 1e-4
    assert np.array_equal(model.translate(a), model.translate(a))  # and looking does not disturb training's codes


def test_pictures_that_do_not_fit_are_told(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert augmented(f"{LINE} --n_down 3".split()) == 2
    assert "--n_down 3 wants sides of at least 32" in capsys.readouterr().err
    assert augmented(f"{LINE} --crop_size 17 --load_size 17".split()) == 2
    assert "even sides" in capsys.readouterr().err
    assert augmented(f"{LINE} --sup_frac 10".split()) == 2
    assert "--sup_frac is 10.0; wanted a share from 0 to 1" in capsys.readouterr().err
    assert stochastic(f"{LINE} --nef 2".split()) == 2 and "no option --nef" in capsys.readouterr().err


def test_the_authors_conditional_norm_divides_by_the_unbiased_variance() -> None:
    """Theirs is ours with a scale of sqrt((n-1)/n) times as much (docs/weights.md), and nothing else."""
    rng = np.random.default_rng(0)
    x, n = rng.normal(0.3, 2.0, (2, 5, 6, 3)), 30
    scale, shift = rng.uniform(0.5, 2, (2, 3)), rng.uniform(-1, 1, (2, 3))
    variance, mean = torch.var_mean(torch.tensor(x), (1, 2), keepdim=True, correction=1)
    theirs = ((torch.tensor(x) - mean) * torch.rsqrt(variance + 1e-5)).numpy() * scale[:, None, None] + shift[
        :, None, None
    ]
    less = (n - 1) / n
    ours = conditional_instance_norm(Tensor(x), Tensor(scale * less**0.5), Tensor(shift), eps=1e-5 * less).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert np.abs(conditional_instance_norm(Tensor(x), Tensor(scale), Tensor(shift)).numpy() - theirs).max() > 1e-3
