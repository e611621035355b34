"""Every setting of a run in one frozen dataclass; the command line is generated from it (train/options.py).

Names follow the flags that users of the best-known CycleGAN code already type. A field's metadata carries its help
text, its group in `--help`, and whether it may change when a run is continued (`"free"`) or belongs to what the run
*is* (`"fixed"`): a checkpoint made under other fixed settings is refused rather than half-used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


def setting(default: Any, help: str, *, group: str, choices: Sequence[str] = (), resume: str = "fixed") -> Any:
    """A dataclass field with its help text, `--help` group, allowed values and behaviour on `--continue_train`."""
    return dataclasses.field(
        default=default, metadata={"help": help, "group": group, "choices": tuple(choices), "resume": resume}
    )


@dataclass(frozen=True)
class Config:
    """The settings of one run. Defaults are the paper's; `PRESETS` holds the named departures from them."""

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
    seed: int = setting(0, "seed of everything random: weights, data order, crops, pools", group="run")
    max_steps: int = setting(
        0, "stop after this many steps in all (0: when the epochs are done)", group="run", resume="free"
    )

    # data
    dataroot: str = setting(
        "",
        "folder with trainA, trainB and, if you have them, testA, testB (default: built-in scenes)",
        group="data",
        resume="free",
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
    load_size: int = setting(286, "side (or width) to which images are resized, pixels", group="data")
    crop_size: int = setting(256, "side of the random square crop, pixels", group="data")
    no_flip: bool = setting(False, "do not mirror images at random", group="data")
    serial_batches: bool = setting(False, "pair A and B by index, in order, instead of at random", group="data")
    batch_size: int = setting(1, "images of each domain per step", group="data")
    max_dataset_size: int = setting(0, "use at most this many images per domain (0: all)", group="data")
    num_threads: int = setting(2, "threads that read and prepare images ahead (0: none)", group="data", resume="free")
    input_nc: int = setting(3, "channels of domain A: 1 gray, 3 RGB", group="data")
    output_nc: int = setting(3, "channels of domain B: 1 gray, 3 RGB", group="data")

    # networks
    netG: str = setting(
        "resnet",
        "generator; resnet_6blocks and resnet_9blocks also set n_blocks",
        group="networks",
        choices=("resnet", "unet_128", "unet_256"),
    )
    netD: str = setting(
        "basic",
        "discriminator: basic is the 70x70 PatchGAN, n_layers takes n_layers_D, pixel is 1x1",
        group="networks",
        choices=("basic", "n_layers", "pixel"),
    )
    ngf: int = setting(64, "channels of the generators' first layer", group="networks")
    ndf: int = setting(64, "channels of the discriminators' first layer", group="networks")
    n_blocks: int = setting(
        9, "residual blocks of the resnet generator (9 for 256 px and up, 6 for 128 px)", group="networks"
    )
    n_layers_D: int = setting(3, "strided layers of the n_layers discriminator", group="networks")
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
        "adversarial loss: least squares, log loss or hinge",
        group="losses",
        choices=("lsgan", "vanilla", "hinge"),
    )
    lambda_A: float = setting(10.0, "weight of the cycle loss A -> B -> A", group="losses")
    lambda_B: float = setting(10.0, "weight of the cycle loss B -> A -> B", group="losses")
    lambda_identity: float = setting(
        0.5, "weight of the identity losses, relative to lambda_A and lambda_B (0: none)", group="losses"
    )
    pool_size: int = setting(
        50, "generated images remembered to train each discriminator (0: only the newest)", group="losses"
    )

    # schedule
    lr: float = setting(0.0002, "Adam's learning rate at the start", group="schedule")
    beta1: float = setting(0.5, "Adam's first momentum", group="schedule")
    n_epochs: int = setting(100, "epochs at the full learning rate", group="schedule", resume="free")
    n_epochs_decay: int = setting(
        100, "further epochs over which the rate falls (linear policy)", group="schedule", resume="free"
    )
    epoch_count: int = setting(1, "number of the first epoch, for the schedule", group="schedule")
    lr_policy: str = setting(
        "linear", "how the learning rate falls", group="schedule", choices=("linear", "step", "plateau", "cosine")
    )
    lr_decay_iters: int = setting(50, "epochs between drops of the step policy", group="schedule")

    # output
    print_freq: int = setting(100, "steps between log lines", group="output", resume="free")
    sample_freq: int = setting(1000, "steps between sample grids (PNG)", group="output", resume="free")
    save_latest_freq: int = setting(1000, "steps between saves of the latest state", group="output", resume="free")
    save_epoch_freq: int = setting(
        5, "epochs between kept checkpoints (0: keep only the latest)", group="output", resume="free"
    )

    @property
    def epochs(self) -> int:
        """Epochs of the whole run, counted from `epoch_count`."""
        return self.n_epochs + self.n_epochs_decay - self.epoch_count + 1

    def replace(self, **changes: Any) -> Config:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": dict(load_size=64, crop_size=64, ngf=16, ndf=16, n_blocks=3, lr=0.001, n_epochs=4, n_epochs_decay=4, print_freq=50, sample_freq=100, save_latest_freq=200, save_epoch_freq=0),
    "paper": {},
}  # fmt: skip
