"""Every setting of a run in one frozen dataclass; the command line is generated from it (train/config/options.py).

Those around the model stand in run_settings.py; what a setting is, in __init__.py. Names follow the flags that users of the
best-known CycleGAN code already type. A field's metadata carries its help text, its group in `--help`, and whether it may
change when a run is continued (`"free"`) or belongs to what the run *is* (`"fixed"`): a checkpoint made under other fixed
settings is refused rather than half-used.

Another system than CycleGAN has a subclass: it adds fields of its own, changes defaults with `another_default`, and takes
an option away by giving the field a plain value (`lambda_identity: float = 0.0`), which no one can then change.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from kernels.device import get_device
from train.config import GROUPS, setting
from train.config.run_settings import DataSettings, EvaluationSettings, OutputSettings, RunSettings
from train.errors import UserError

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": dict(load_size=64, crop_size=64, ngf=16, ndf=16, n_blocks=3, lr=0.001, n_epochs=4, n_epochs_decay=4, print_freq=50, watch_freq=10, sample_freq=100, save_latest_freq=200, save_epoch_freq=0),
    "small": dict(load_size=143, crop_size=128, ngf=32, ndf=32, n_blocks=6, n_epochs=50, n_epochs_decay=50),
    "paper": {},
}  # fmt: skip
"""Departures from CycleGAN's defaults, which are the paper's, by name."""
ABOUT_PRESETS = {
    "tiny": "a few minutes on a laptop's CPU, for the built-in pictures",
    "small": "your own pictures on a CPU over night, at 128 pixels",
    "paper": "the defaults below; work for a GPU",
}


@dataclass(frozen=True)
class Config(EvaluationSettings, OutputSettings, DataSettings, RunSettings):
    """The settings of one run. Defaults are the paper's; `presets` holds the named departures from them."""

    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    # networks
    netG: str = setting(
        "resnet",
        "generator; resnet_6blocks and resnet_9blocks also set n_blocks; a U-Net is named after the least side it takes",
        group="networks",
        choices=("resnet", "unet_64", "unet_128", "unet_256"),
    )
    netD: str = setting(
        "basic",
        "discriminator: basic is the 70x70 PatchGAN, n_layers takes n_layers_D, pixel is 1x1",
        group="networks",
        choices=("basic", "n_layers", "pixel"),
    )
    ngf: int = setting(64, "channels of the generators' first layer", group="networks", least=1)
    ndf: int = setting(64, "channels of the discriminators' first layer", group="networks", least=1)
    n_blocks: int = setting(
        9, "residual blocks of the resnet generator (9 for 256 px and up, 6 for 128 px)", group="networks", least=0
    )
    n_layers_D: int = setting(3, "strided layers of the n_layers discriminator", group="networks", least=1)
    upsample: str = setting(
        "deconv",
        "how the resnet generator grows its picture: transposed conv, or resize then conv",
        group="networks",
        choices=("deconv", "nearest", "bilinear"),
    )
    init_type: str = setting(
        "normal", "how weights start", group="networks", choices=("normal", "xavier", "kaiming", "orthogonal")
    )
    init_gain: float = setting(0.02, "scale of the initial weights (standard deviation for normal)", group="networks")

    # losses
    gan_mode: str = setting(
        "lsgan",
        "adversarial loss: least squares, log loss, hinge, or Wasserstein with gradient penalty",
        group="losses",
        choices=("lsgan", "vanilla", "hinge", "wgangp"),
    )
    lambda_gp: float = setting(
        10.0, "weight of the gradient penalty that gan_mode wgangp adds", group="losses", least=0
    )
    lambda_GAN: float = setting(
        1.0,
        "weight of the generators' adversarial losses (0: no discriminators, the cycle alone)",
        group="losses",
        least=0,
    )
    lambda_A: float = setting(10.0, "weight of the cycle loss A -> B -> A", group="losses", least=0)
    lambda_B: float = setting(10.0, "weight of the cycle loss B -> A -> B", group="losses", least=0)
    lambda_identity: float = setting(
        0.5, "weight of the identity losses, relative to lambda_A and lambda_B (0: none)", group="losses", least=0
    )
    pool_size: int = setting(
        50, "generated images remembered to train each discriminator (0: only the newest)", group="losses", least=0
    )

    diffaugment: str = setting(
        "",
        "augment what the discriminators see, real and fake, as Zhao et al. 2020 do for few images: of color, translation "
        "and cutout those named here, such as color,translation (default: nothing)",
        group="losses",
    )
    lambda_sup: float = setting(
        10.0,
        "weight of a known pair's L1 distance from the truth, where sup_frac has some known",
        group="losses",
        least=0,
    )

    # schedule
    lr: float = setting(0.0002, "Adam's learning rate at the start", group="schedule", least=0, resume="free")
    lr_D: float = setting(
        0.0,
        "the discriminators' learning rate at the start; it falls as the generators' does (0: the same)",
        group="schedule",
        least=0,
        resume="free",
    )
    n_critic: int = setting(
        1,
        "updates of the discriminators for each of the generators: a step then sees so many batches, the generators the first",
        group="schedule",
        least=1,
    )
    beta1: float = setting(0.5, "Adam's first momentum", group="schedule")
    ema: float = setting(
        0.0,
        "decay of the generators' moving average, such as 0.999: where it is on, samples, scores, translation and export "
        "use the average (0: off)",
        group="schedule",
        least=0,
    )
    n_epochs: int = setting(100, "epochs at the full learning rate", group="schedule", least=0, resume="free")
    n_epochs_decay: int = setting(
        100, "further epochs over which the rate falls (linear policy)", group="schedule", least=0, resume="free"
    )
    epoch_count: int = setting(1, "number of the first epoch, for the schedule", group="schedule", least=1)
    lr_policy: str = setting(
        "linear", "how the learning rate falls", group="schedule", choices=("linear", "step", "plateau", "cosine")
    )
    lr_decay_iters: int = setting(50, "epochs between drops of the step policy", group="schedule", least=1)

    @property
    def epochs(self) -> int:
        """Epochs of the whole run, counted from `epoch_count`."""
        return self.n_epochs + self.n_epochs_decay - self.epoch_count + 1

    @property
    def images_per_step(self) -> int:
        """Images of each domain that a step sees."""
        return self.batch_size * self.accumulate * self.n_critic

    def replace(self, **changes: Any) -> Config:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def options(cls) -> dict[str, dataclasses.Field[Any]]:
        """The fields that this system's users can set, by name, group by group."""
        fields = [field for field in dataclasses.fields(cls) if field.metadata]
        fields.sort(key=lambda field: [*GROUPS, field.metadata["group"]].index(field.metadata["group"]))
        return {field.name: field for field in fields}

    @classmethod
    def of_networks(cls) -> set[str]:
        """The options that decide which weights there are, and their shapes: no other weights can be loaded."""
        made = {name for name, field in cls.options().items() if field.metadata["group"] == "networks"}
        return (made - {"init_type", "init_gain", "dropout"} | {"input_nc", "output_nc"}) & cls.options().keys()

    def as_dict(self) -> dict[str, Any]:
        """The options and their values."""
        return {name: getattr(self, name) for name in self.options()}

    def check(self) -> None:
        """UserError for values that no run can use."""
        from train.config.checks import check

        check(self)

    @property
    def generator_sides(self) -> tuple[int, int]:
        """Generators take pictures whose sides are multiples of the first and at least the second, pixels."""
        step = 4 if self.netG == "resnet" else int(self.netG.removeprefix("unet_"))  # they halve and double
        return step, max(step, 8)

    def misfit(self, width: int, height: int) -> str:
        """Why the networks cannot take pictures of this size, in words; "" if they can."""
        step, _ = self.generator_sides
        if width % step or height % step:
            return f"--netG {self.netG} wants sides that are multiples of {step}"
        layers = {"basic": 3, "n_layers": self.n_layers_D, "pixel": 0}[self.netD]
        least = max(8, 3 * 2**layers if layers else 0)  # 3x3 scores before the two unstrided 4x4 convolutions
        if min(width, height) < least:
            return f"--netG {self.netG} with --netD {self.netD} wants sides of at least {least}"
        return ""

    def networks(self) -> str:
        """The networks in a few words."""
        return f"{self.netG} ngf {self.ngf}, {self.netD} ndf {self.ndf}"


def another_default(name: str, value: Any, of: type[Config] = Config, **about: Any) -> Any:
    """The field `name` as `of` has it, with another default, and with other things said `about` it, such as its help."""
    return setting(value, **{**of.options()[name].metadata, **about})


def resolve(config: Config) -> Config:
    """The config with its device named: auto becomes what there is."""
    try:
        return config.replace(device=get_device(config.device).name)
    except RuntimeError as error:
        raise UserError(str(error)) from error
