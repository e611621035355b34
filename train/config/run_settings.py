"""The settings around a model: of the run, its pictures, what it writes and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass

from train.config import setting


@dataclass(frozen=True)
class RunSettings:
    """Where and how it computes."""

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
    seeds: int = setting(
        1,
        "train and score under so many seeds, from seed on, as runs NAME-s0 and so on; their scores' mean, deviation and interval "
        "are printed, and written to NAME_seeds.json",
        group="run",
        least=1,
        resume="free",
    )
    checkpointing: bool = setting(
        False,
        "compute the insides of the resnet generator's blocks again in the backward instead of keeping them: the same "
        "numbers in less memory and more time, for large crops",
        group="run",
        resume="free",
    )
    allreduce: str = setting(
        "auto",
        "how ranks sum their gradients. exact: sample by sample in an order of the samples, so that any number of ranks gives the "
        "same bits; fast: each rank its part of the batch, then as MPI or NCCL sums; auto: exact on several ranks, and one process "
        "computes its batch as a whole",
        group="run",
        choices=("auto", "exact", "fast"),
        resume="free",
    )
    rank_timeout: int = setting(
        60, "seconds after which a rank that gives no sign of life ends the run", group="run", least=3, resume="free"
    )
    max_steps: int = setting(
        0, "stop after this many steps in all (0: when the epochs are done)", group="run", least=0, resume="free"
    )


@dataclass(frozen=True)
class DataSettings:
    """Which pictures, and what becomes of them."""

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
    batch_size: int = setting(1, "images of each domain per step, those of all ranks together", group="data", least=1)
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
    sup_frac: float = setting(
        0.0,
        "share of the pairs of one name in A and B that are known to be pairs, up to 1 (0: none)",
        group="data",
        least=0,
    )
    white_level: int = setting(
        65535,
        "value that is white in files of 16 bits (PNG, TIFF, .npy), such as 4095 for 12 bits; what is brighter is white too",
        group="data",
        least=1,
    )
    input_nc: int = setting(
        3,
        "channels of domain A: 1 gray, 3 RGB, 4 with alpha, or as many as .npy files or TIFF bands",
        group="data",
        least=1,
    )
    output_nc: int = setting(
        3,
        "channels of domain B: 1 gray, 3 RGB, 4 with alpha, or as many as .npy files or TIFF bands",
        group="data",
        least=1,
    )


@dataclass(frozen=True)
class OutputSettings:
    """What it writes, and when."""

    print_freq: int = setting(100, "steps between log lines", group="output", least=1, resume="free")
    watch_freq: int = setting(
        20,
        "steps between looks at gradients, scores and pictures, which the report shows and the training doctor examines "
        "(0: none)",
        group="output",
        least=0,
        resume="free",
    )
    sample_freq: int = setting(
        1000,
        "steps between sample grids (PNG), besides 10, 30, 100, 300, 1000, …",
        group="output",
        least=1,
        resume="free",
    )
    save_latest_freq: int = setting(
        1000, "steps between saves of the latest state", group="output", least=1, resume="free"
    )
    save_epoch_freq: int = setting(
        5, "epochs between kept checkpoints (0: keep only the latest)", group="output", least=0, resume="free"
    )
    track: str = setting(
        "none",
        "write the numbers and samples for a tracker too; its package must be installed. tensorboard writes into the run's folder",
        group="output",
        choices=("none", "trackio", "wandb", "mlflow", "tensorboard"),
        resume="free",
    )
    tensorboard: bool = setting(
        False, "the same as track tensorboard (needs tensorboardX)", group="output", resume="free"
    )
    keep: int = setting(
        0, "how many epochs' checkpoints stay, the newest (0: all)", group="output", least=0, resume="free"
    )


@dataclass(frozen=True)
class EvaluationSettings:
    """How it is judged while it trains."""

    eval_freq: int = setting(
        0,
        "epochs between evaluations on the images of valA and valB, at most 100 of each, or else on training images (0: none before the end)",
        group="evaluation",
        least=0,
        resume="free",
    )
    unpaired_test: bool = setting(
        False,
        "test images of one name are no partners, such as those of two sets that are merely numbered: score them without pairs",
        group="evaluation",
        resume="free",
    )
    eval_metric: str = setting(
        "auto",
        "what best.npz and the plateau policy go by, mean of both directions; auto is ssim where valA and valB are known pairs, "
        "else distance, between domains by a small classifier of them",
        group="evaluation",
        choices=("auto", "distance", "ssim", "l1", "psnr", "retrieval"),
        resume="free",
    )
