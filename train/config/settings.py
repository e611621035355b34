"""Every setting of a run in one frozen dataclass; the command line is generated from it (train/config/options.py).

Names follow the flags that users of the best-known CycleGAN code already type. A field's metadata carries its help
text, its group in `--help`, and whether it may change when a run is continued (`"free"`) or belongs to what the run
*is* (`"fixed"`): a checkpoint made under other fixed settings is refused rather than half-used.

Another system than CycleGAN has a subclass: it adds fields of its own, changes defaults with `another_default`, and takes
an option away by giving the field a plain value (`lambda_identity: float = 0.0`), which no one can then change.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kernels.device import get_device
from train.errors import UserError

Size = int | str
"""Sides of a picture in pixels: 256 for a square, "320x192" for width x height."""


KINDS: dict[str, Any] = {"int": int, "float": int | float, "bool": bool, "str": str, "Size": Size}


def sides(size: Size) -> tuple[int, int]:
    """(width, height) of a size, pixels. Raises ValueError for what is none, such as "320" x "0" or "wide"."""
    width, cross, height = str(size).partition("x")
    pair = int(width), int(height if cross else width)
    if min(pair) < 1:
        raise ValueError("sides are at least 1 pixel")
    return pair


def setting(
    default: Any,
    help: str,
    *,
    group: str,
    choices: Sequence[str] = (),
    resume: str = "fixed",
    least: int | None = None,
) -> Any:
    """A dataclass field with its help text, `--help` group, allowed values and behaviour on `--continue_train`."""
    about = {"help": help, "group": group, "choices": tuple(choices), "resume": resume, "least": least}
    return dataclasses.field(default=default, metadata=about)


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
class Config:
    """The settings of one run. Defaults are the paper's; `presets` holds the named departures from them."""

    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    # run
    name: str = setting(
        "", "name of the run, a folder under checkpoints_dir (default: after the data)", group="run", resume="free"
    )
    checkpoints_dir: str = setting("checkpoints", "folder that holds all runs", group="run", resume="free")
    device: str = setting(
        "auto",
        "where to compute: auto takes CUDA if there is one, else the CPU",
        group="run",
        choices=("auto", "cpu", "cuda", "interpret"),
        resume="free",
    )
    precision: str = setting(
        "tf32",
        "on a GPU: full float32 products, TF32 products, or bfloat16 activations (weights stay float32; the CPU is always full float32)",
        group="run",
        choices=("fp32", "tf32", "bf16"),
        resume="free",
    )
    tune: str = setting(
        "",
        "on a GPU: measure the sizes of the products' tiles and keep the fastest in this file; auto is "
        "~/.cache/palindrome/tiles.json (default: sizes from a table)",
        group="run",
        resume="free",
    )
    seed: int = setting(0, "seed of everything random: weights, data order, crops, pools", group="run", least=0)
    checkpointing: bool = setting(
        False,
        "compute the insides of the resnet generator's blocks again in the backward instead of keeping them: the same "
        "numbers in less memory and more time, for large crops",
        group="run",
        resume="free",
    )
    max_steps: int = setting(
        0, "stop after this many steps in all (0: when the epochs are done)", group="run", least=0, resume="free"
    )

    # data
    dataroot: str = setting(
        "",
        "folder with trainA, trainB and, if you have them, testA, testB (default: built-in pictures)",
        group="data",
        resume="free",
    )
    builtin: str = setting(
        "scenes",
        "built-in pictures, where there is no dataroot",
        group="data",
        choices=("scenes", "streets", "colours"),
    )
    dataset_mode: str = setting(
        "unaligned",
        "unaligned: any A meets any B. aligned: A and B are pairs of one name, or halves of the images of a folder train",
        group="data",
        choices=("unaligned", "aligned"),
    )
    direction: str = setting(
        "AtoB", "which folder is domain A; BtoA swaps them", group="data", choices=("AtoB", "BtoA")
    )
    preprocess: str = setting(
        "resize_and_crop",
        "how an image becomes a training image",
        group="data",
        choices=("resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"),
    )
    load_size: int | str = setting(
        286,
        "size to which images are resized, pixels: a side, or WIDTHxHEIGHT (scale_width takes a width)",
        group="data",
    )
    crop_size: int | str = setting(
        256, "size of the random crop, pixels: the side of a square, or WIDTHxHEIGHT such as 320x192", group="data"
    )
    no_flip: bool = setting(False, "do not mirror images at random", group="data")
    serial_batches: bool = setting(False, "pair A and B by index, in order, instead of at random", group="data")
    batch_size: int = setting(1, "images of each domain per step", group="data", least=1)
    accumulate: int = setting(
        1,
        "batches worked through for each step, their gradients added up: as one batch of batch_size x accumulate images, "
        "in the memory of batch_size (the learning rate stays as given)",
        group="data",
        least=1,
    )
    max_dataset_size: int = setting(0, "use at most this many images per domain (0: all)", group="data", least=0)
    num_threads: int = setting(
        2, "threads that read and prepare images ahead (0: none)", group="data", least=0, resume="free"
    )
    cache_mb: int = setting(
        0,
        "memory for decoded images, megabytes, so that each is read once (0: none); changes the speed, not the numbers",
        group="data",
        least=0,
        resume="free",
    )
    input_nc: int = setting(
        3, "channels of domain A: 1 gray, 3 RGB, 4 with alpha, or those of .npy files", group="data", least=1
    )
    output_nc: int = setting(
        3, "channels of domain B: 1 gray, 3 RGB, 4 with alpha, or those of .npy files", group="data", least=1
    )

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

    # schedule
    lr: float = setting(0.0002, "Adam's learning rate at the start", group="schedule", least=0, resume="free")
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

    # output
    print_freq: int = setting(100, "steps between log lines", group="output", least=1, resume="free")
    watch_freq: int = setting(
        20,
        "steps between looks at gradients, scores and pictures, which the report shows and the training doctor examines "
        "(0: none)",
        group="output",
        least=0,
        resume="free",
    )
    sample_freq: int = setting(1000, "steps between sample grids (PNG)", group="output", least=1, resume="free")
    save_latest_freq: int = setting(
        1000, "steps between saves of the latest state", group="output", least=1, resume="free"
    )
    save_epoch_freq: int = setting(
        5, "epochs between kept checkpoints (0: keep only the latest)", group="output", least=0, resume="free"
    )

    # evaluation
    eval_freq: int = setting(
        0,
        "epochs between evaluations on the test images, at most 100 of each domain (0: none before the end)",
        group="evaluation",
        least=0,
        resume="free",
    )
    eval_metric: str = setting(
        "auto",
        "what best.npz and the plateau policy go by, mean of both directions; auto is ssim where test pairs are known, "
        "else distance, between domains by a small classifier of them",
        group="evaluation",
        choices=("auto", "distance", "ssim", "l1", "psnr", "retrieval"),
        resume="free",
    )
    tensorboard: bool = setting(
        False, "also write for TensorBoard, into the run's folder (needs tensorboardX)", group="output", resume="free"
    )
    keep: int = setting(
        0, "how many epochs' checkpoints stay, the newest (0: all)", group="output", least=0, resume="free"
    )

    @property
    def epochs(self) -> int:
        """Epochs of the whole run, counted from `epoch_count`."""
        return self.n_epochs + self.n_epochs_decay - self.epoch_count + 1

    @property
    def images_per_step(self) -> int:
        """Images of each domain that a step sees."""
        return self.batch_size * self.accumulate

    def replace(self, **changes: Any) -> Config:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def options(cls) -> dict[str, dataclasses.Field[Any]]:
        """The fields that this system's users can set, by name."""
        return {field.name: field for field in dataclasses.fields(cls) if field.metadata}

    def as_dict(self) -> dict[str, Any]:
        """The options and their values."""
        return {name: getattr(self, name) for name in self.options()}

    def check(self) -> None:
        """UserError for values that no run can use."""
        for name, field in self.options().items():
            least, value = field.metadata["least"], getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"--{name} is {value}; wanted a finite number")
            if not isinstance(value, KINDS.get(str(field.type), object)):
                raise UserError(f"--{name} is {value!r}; wanted such as {field.default!r}")
            if field.metadata["choices"] and value not in field.metadata["choices"]:
                raise UserError(f"--{name} is {value!r}; wanted one of {', '.join(field.metadata['choices'])}")
            if least is not None and not value >= least:
                raise UserError(f"--{name} is {value}; wanted at least {least}")
        if not 0 <= self.beta1 < 1:
            raise UserError(f"--beta1 is {self.beta1}; wanted a number from 0 up to, not including, 1")
        if self.ema >= 1:
            raise UserError(f"--ema is {self.ema}; wanted a number from 0 up to, not including, 1, such as 0.999")
        if self.checkpointing and self.netG != "resnet":
            raise UserError(f"--checkpointing is for the blocks of --netG resnet; --netG {self.netG} has none")
        if self.epochs < 1:
            raise UserError(
                f"--epoch_count {self.epoch_count} lies beyond the last epoch, {self.n_epochs + self.n_epochs_decay}; "
                "raise --n_epochs or lower --epoch_count"
            )
        self.check_sizes()
        if self.lambda_identity > 0 and self.input_nc != self.output_nc:
            raise UserError(
                f"the identity loss shows each generator its own target domain, but domain A has {self.input_nc} "
                f"channels and domain B {self.output_nc}; add --lambda_identity 0"
            )

    def check_sizes(self) -> None:
        """UserError if the crop does not fit into what images are resized to."""
        (wide, high), crop = sides(self.load_size), sides(self.crop_size)
        if self.preprocess.startswith("scale_width") and "x" in str(self.load_size):
            raise UserError(
                f"--load_size {self.load_size} names two sides, but --preprocess {self.preprocess} keeps the shape of "
                f"images and takes a width: --load_size {wide}"
            )
        if self.preprocess == "scale_width_and_crop":
            high = max(high, crop[1])  # images are made as high as that
        if self.preprocess in ("resize_and_crop", "scale_width_and_crop") and (crop[0] > wide or crop[1] > high):
            raise UserError(
                f"--crop_size {self.crop_size} is larger than --load_size {self.load_size}; make it at most as large"
            )

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
