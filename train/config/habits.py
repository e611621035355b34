"""What users of the reference implementation type, today or years ago, and what that is here.

The reference implementation is junyanz/pytorch-CycleGAN-and-pix2pix, of 2017 to 2025. One table: every command answers from it (train/config/parser.py),
and docs/coming_from.md is written from it (`python -m train.config.habits`). What an option of the same name means otherwise
there stands in OTHERWISE.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

ALL = ".*"
TESTING = "translate evaluate probe convert explain"  # commands that take weights as they are
WEIGHTS_SAY = "the weights say it"
NOTHING_RANDOM = "nothing is shuffled or mirrored here"


class Habit(NamedTuple):
    """A row: who types `--flag` with such a value to such a command gets this answer. The first row that fits counts."""

    flag: str
    values: str  # a regular expression
    where: str  # names of commands, "train" for all that train; "" for every one
    here: str = ""  # what to type instead; "{value}" and the other fields of `fields` are filled in
    why: str = ""
    taken: bool = False  # it is what happens anyway: the option is dropped, and `why` noted
    program: str = ""  # another command to type it to
    beside: str = ""  # only where this option was typed too


def taken(flag: str, values: str, where: str, why: str, beside: str = "") -> Habit:
    """A row for what happens anyway."""
    return Habit(flag, values, where, why=why, taken=True, beside=beside)


def moved(flag: str, values: str, where: str, program: str, why: str) -> Habit:
    """A row for what another command does."""
    return Habit(flag, values, where, why=why, program=program)


RENAMED = {
    "fineSize": "crop_size", "loadSize": "load_size", "batchSize": "batch_size", "nThreads": "num_threads",
    "which_direction": "direction", "which_epoch": "epoch", "which_model_netG": "netG", "which_model_netD": "netD",
    "niter": "n_epochs", "niter_decay": "n_epochs_decay", "resize_or_crop": "preprocess", "identity": "lambda_identity",
    "how_many": "num_test", "ntest": "num_test", "display_single_pane_ncols": "display_ncols",
}  # fmt: skip
"""Names of 2017 and 2018, and what has become of them since, there and here."""

OPTIONS = (
    "dataroot name checkpoints_dir model input_nc output_nc ngf ndf netD netG n_layers_D norm init_type init_gain no_dropout "
    "dataset_mode direction serial_batches num_threads batch_size load_size crop_size max_dataset_size preprocess no_flip "
    "display_winsize epoch load_iter verbose suffix use_wandb wandb_project_name gpu_ids display_freq display_ncols display_id "
    "display_server display_env display_port update_html_freq print_freq no_html save_latest_freq save_epoch_freq save_by_iter "
    "continue_train epoch_count phase n_epochs n_epochs_decay beta1 lr gan_mode pool_size lr_policy lr_decay_iters lambda_A "
    "lambda_B lambda_identity lambda_L1 results_dir aspect_ratio eval num_test model_suffix no_lsgan isTrain"
)
"""All that its train.py and test.py have had, but for those that were renamed."""

SWITCHES = "no_dropout no_lsgan no_html no_flip serial_batches continue_train use_wandb verbose save_by_iter eval use_AB no_multiprocessing isTrain"
"""Those, and of its scripts, that take no value."""

HABITS = (
    # which command
    taken("model", "cycle_gan", "cyclegan ablate", "this command trains CycleGAN"),
    taken("model", "pix2pix", "pix2pix", "this command trains pix2pix"),
    moved("model", "cycle_gan", "train", "train.cyclegan", "which trains CycleGAN"),
    moved("model", "pix2pix", "train", "train.pix2pix", "which trains on pairs"),
    moved("model", "test", "train", "train.translate", "which makes pictures"),
    Habit("model", "colorization", "", why="there is no Lab model; train.pix2pix --input_nc 1 learns colour from a gray trainA and a colour trainB"),
    taken("model", ALL, TESTING, WEIGHTS_SAY),
    Habit("model", ALL, "", why="leave it out: the command says which model"),
    taken("phase", "train", "train", "this command trains"),
    moved("phase", ALL, "train", "train.translate", "which makes pictures; train.evaluate scores them"),
    taken("phase", "test", "evaluate", "testA and testB are what is scored"),
    Habit("phase", ALL, "evaluate", why="leave it out: testA and testB are scored; a folder with others in these names goes to --dataroot"),
    taken("phase", ALL, "translate", "it is in --input: DATA/testA, DATA/trainB"),
    # networks
    taken("norm", "instance", "", "every norm is instance norm"),
    taken("norm", ALL, TESTING, WEIGHTS_SAY),
    Habit("norm", "batch", "pix2pix", why="leave it out: networks have instance norm, which is what batch norm is in training with one image a step"),
    Habit("norm", ALL, "", why="leave it out: networks have instance norm, and nothing else"),
    Habit("no_dropout", ALL, "pix2pix", "--dropout 0"),
    taken("no_dropout", ALL, "train", "this model has no dropout"),
    taken("no_dropout", ALL, "", "nothing is dropped out when pictures are made"),
    taken("eval", ALL, "translate evaluate", "nothing is dropped out when pictures are made, and instance norm knows no other mode"),
    *(taken(name, ALL, TESTING, WEIGHTS_SAY) for name in ("netG", "netD", "ngf", "ndf", "n_layers_D", "input_nc", "output_nc", "init_type", "init_gain")),
    # data
    taken("dataset_mode", "single", "translate", "every picture under --input is translated"),
    taken("dataset_mode", "unaligned|aligned", TESTING, "what lies in the folders says it"),
    Habit("dataset_mode", "colorization", "", why="there is no Lab model; train.pix2pix --input_nc 1 learns colour from a gray trainA and a colour trainB"),
    Habit("dataset_mode", "single", "train", why="leave it out: training needs two domains, trainA and trainB"),
    taken("max_dataset_size", "inf", "train", "0, all, is the default"),
    Habit("max_dataset_size", ALL, "evaluate", "--num_test {value}"),
    *(taken(name, ALL, TESTING, NOTHING_RANDOM) for name in ("no_flip", "serial_batches")),
    *(taken(name, ALL, TESTING, "it changes no result") for name in ("batch_size", "num_threads")),
    taken("preprocess", "none", "translate", "every picture is translated at its own size"),
    *(Habit(name, ALL, "translate", why="leave it out: every picture is translated at its own size; --max_side PIXELS shrinks larger ones") for name in ("preprocess", "load_size", "crop_size")),
    # schedule and losses
    taken("lr_policy", "lambda", "train", "linear, its name of today, is the default"),
    taken("no_lsgan", ALL, "pix2pix", "vanilla is this model's loss"),
    Habit("no_lsgan", ALL, "train", "--gan_mode vanilla"),
    Habit("gan_mode", "wgangp", "pix2pix", why="its penalty is train.cyclegan's alone; here vanilla, which is the default, lsgan or hinge"),
    Habit("epoch_count", ALL, "train", why="leave it out: a run that goes on knows its epoch", beside="continue_train"),
    # states
    taken("epoch", "latest", "train probe explain convert", "the latest state is taken"),
    Habit("epoch", ALL, "train", why="leave it out: a run goes on from its latest state. From another one: python -m train.convert checkpoints/NAME/epoch_100.npz --run NEW"),
    Habit("epoch", ALL, "convert", why="name the state itself: checkpoints/NAME/epoch_100.npz"),
    taken("epoch", "latest", "translate", "the latest state of a run is taken"),
    Habit("epoch", ALL, "translate", why="it goes into --weights: {weights}", beside="name"),
    Habit("epoch", ALL, "translate", why="it goes into --weights: checkpoints/NAME/epoch_100.npz"),
    taken("load_iter", "0", "", "it is off"),
    Habit("load_iter", ALL, "", why="leave it out: states are kept by epoch (--save_epoch_freq), not by iteration"),
    Habit("save_by_iter", ALL, "", why="leave it out: states are kept by epoch (--save_epoch_freq, --keep)"),
    Habit("suffix", ALL, "", why="leave it out, and put it into --name"),
    # the reference implementation's test.py
    Habit("name", ALL, "translate", why="leave it out: --weights says which", beside="weights"),
    Habit("name", ALL, "translate", "--weights {weights}"),
    Habit("checkpoints_dir", ALL, "translate", why="leave it out: it is part of --weights", beside="name"),
    Habit("dataroot", ALL, "translate", why="leave it out: --input says which pictures", beside="input"),
    Habit("dataroot", ALL, "translate", "--input {input}", "one direction at a time", beside="output"),
    Habit("dataroot", ALL, "translate", "--input {input} --output {output}", "one direction at a time"),
    Habit("results_dir", ALL, "translate evaluate", why="leave it out: --output says where to", beside="output"),
    Habit("results_dir", ALL, "translate", why="leave it out: it is part of --output", beside="dataroot"),
    Habit("results_dir", ALL, "translate evaluate", "--output {value}"),
    taken("direction", "AtoB", "translate", "it is the default", beside="dataroot"),
    Habit("direction", "BtoA", "translate", why="leave it out: there it says which folder is A, in testing as in training. Here it picks the generator, and a run trained with --direction BtoA has its pictures of B translated by its generator AtoB", beside="dataroot"),
    Habit("model_suffix", "_A", "translate", "--direction AtoB"),
    Habit("model_suffix", "_B", "translate", "--direction BtoA"),
    taken("model_suffix", ALL, "evaluate", "every direction is scored"),
    Habit("num_test", ALL, "translate", why="leave it out: every picture under --input is translated; name fewer there"),
    Habit("num_test", ALL, "train", why="leave it out: all test images are scored when training is done"),
    taken("aspect_ratio", r"1|1\.0", "", "pictures keep their shape"),
    Habit("aspect_ratio", ALL, "", why="leave it out: pictures keep their shape"),
    Habit("dataroot", ALL, "probe", why="leave it out: the run knows its data"),
    Habit("name", ALL, "convert", why="name the run first: python -m train.convert NAME TARGET"),
    Habit("name", ALL, "doctor", why="name the run first: python -m train.doctor NAME"),
    Habit("name", ALL, "explain", "--weights {value}"),
    # machine
    Habit("gpu_ids", "-1", "", "--device cpu"),
    taken("gpu_ids", "0", "train translate evaluate", "--device auto takes the GPU if there is one"),
    Habit("gpu_ids", ALL, "train translate evaluate", why="leave it out: one GPU is used, CUDA_VISIBLE_DEVICES says which; choose with --device cpu or --device cuda"),
    # what is shown
    Habit("display_freq", ALL, "train", "--sample_freq {value}", "in steps, not images"),
    taken("display_id", "0|-1", "", "there is no server"),
    Habit("display_id", ALL, "", why="leave it out: the run writes report.html, no server needed"),
    *(Habit(name, ALL, "", why="leave it out: the run writes report.html, no server needed") for name in ("display_port", "display_server", "display_env", "display_ncols", "display_winsize")),
    Habit("update_html_freq", ALL, "", why="leave it out: report.html renews itself about every 20 seconds"),
    Habit("no_html", ALL, "", why="leave it out: report.html is one file, and the doctor writes into it"),
    Habit("use_wandb", ALL, "train", "--track wandb"),
    Habit("wandb_project_name", ALL, "", why="leave it out"),
    taken("verbose", ALL, "", "networks are always introduced, and --dry_run shows more"),
    taken("isTrain", ALL, "", "the command says so"),
    # its scripts for data sets
    Habit("fold_A", ALL, "prepare", "--from {value} {fold_B} --name {pair}", "A and B stay two folders: names that agree make pairs"),
    Habit("fold_B", ALL, "prepare", why="leave it out: it is the second folder of --from"),
    Habit("fold_AB", ALL, "prepare", why="leave it out: nothing is joined; --name or --out says where the set goes"),
    *(Habit(name, ALL, "prepare", why="leave it out: all pairs are taken, and nothing is joined") for name in ("num_imgs", "use_AB", "no_multiprocessing")),
    *(Habit(name, ALL, "prepare", why="leave it out: two folders, of label maps and of photos, go to --from") for name in ("gtFine_dir", "leftImg8bit_dir", "output_dir", "tmp_dir")),
    Habit("dataroot", ALL, "prepare", "--out {value}"),
    *(Habit(name, ALL, "evaluate", why="--palette scores label maps, --segmenter photos made from such, as its FCN does") for name in ("cityscapes_dir", "result_dir", "output_dir", "caffemodel_dir", "save_output_images", "split")),
)  # fmt: skip

KNOWN = frozenset(habit.flag for habit in HABITS) | RENAMED.keys() | set(OPTIONS.split())

OTHERWISE = (
    ("`--direction BtoA` when pictures are made", "says, as in training, which folder is A; has no effect with `--model test`", "picks the generator. A run trained with `--direction BtoA` has folder B as its A, so its `AtoB` translates pictures of B"),
    ("`--lr_policy cosine`", "reaches 0 after `n_epochs`, and rises again over `n_epochs_decay`", "falls once, over all epochs, and reaches 0 after the last"),
    ("`--lr_policy plateau`", "watches a number that is never set, so that the rate falls every few epochs", "watches the cycle loss, or with `--eval_freq` the evaluation's score"),
    ("`--save_latest_freq`, `--print_freq`, `--display_freq`", "images; with a `--batch_size` that does not divide it, only every so often", "steps (`--display_freq` is `--sample_freq`)"),
    ("`--gan_mode wgangp`", "CycleGAN's loss has no penalty, only the difference of means", "the gradient penalty is added, `--lambda_gp` ([double_backward.md](double_backward.md))"),
    ("the norm of pix2pix", "batch norm: over the batch, and in testing, unless `--eval`, over the one picture", "instance norm: each picture has its own mean and variance"),
    ("dropout of pix2pix in testing", "stays on, so that a picture comes out another each time, unless `--eval`", "off: one picture, one translation"),
    ("`--continue_train`", "loads weights alone: fresh Adam, empty pools, epoch 1 unless `--epoch_count`", "goes on to the bit; `--epoch_count` is not typed again"),
    ("`--load_size` in testing", "pictures are resized to a square of `--crop_size` first", "`train.translate` keeps every picture's size; `train.evaluate` prepares them as in training"),
    ("`--num_test`", "50 unless typed", "0, all, unless typed"),
)  # fmt: skip
"""What an option is about; what it means there; and here."""


def rows(
    flag: str, value: str, program: str, kind: str, known: Collection[str], typed: Mapping[str, str]
) -> Habit | None:
    """The row for `--flag value` typed to a `program` ("cyclegan") of a `kind` ("train", or its own name), if there is one.

    known: the program's own options. A row that names one which the program lacks is passed over, unless it is for that
    program alone. typed: all that was typed, by option.
    """
    for habit in HABITS:
        places = habit.where.split()
        fits = not places or program in places or kind in places
        option = habit.here.split(" ")[0].removeprefix("--")
        there = not option or option in known or program in places
        if habit.flag == flag and fits and there and re.fullmatch(habit.values, value) and habit.beside in ("", *typed):
            return habit
    return None


COMMANDS = (
    ("`bash datasets/download_cyclegan_dataset.sh maps`", "`python -m train.prepare maps`"),
    ("`python train.py --model cycle_gan …`", "`python -m train.cyclegan …`"),
    ("`python train.py --model pix2pix …`", "`python -m train.pix2pix …`"),
    ("`python test.py --name NAME --dataroot DATA …`", "`python -m train.translate --weights NAME --input DATA/testA --output DIR` makes the pictures; `python -m train.evaluate --name NAME` scores them"),
    ("`python test.py --model test …`", "`python -m train.translate --weights FILE_OR_FOLDER --input PICTURES --output DIR`"),
    ("`torchrun --nproc_per_node=4 train.py …`", "`python -m train.cyclegan …`: one process, on one GPU"),
    ("`bash scripts/download_cyclegan_model.sh …`", "fetch `latest_net_G.pth`; every command takes such files as they are"),
    ("`python datasets/combine_A_and_B.py …`", "not needed: trainA and trainB with the same names are pairs, and so are joined images in `train`"),
)  # fmt: skip


def page() -> str:
    """docs/coming_from.md."""
    lines = [
        "# Coming from the reference implementation",
        "",
        "Who has typed the command lines of junyanz/pytorch-CycleGAN-and-pix2pix types nearly the same here: its options have their names",
        "and defaults. Where they differ, a command says so before it does anything, of all options at once and with the whole line as it",
        "should be. What is done here anyway may stay in the line; a note says that it is taken. (This page is written by",
        "`python -m train.config.habits`, from the table that the commands answer from.)",
        "",
        "| there | here |",
        "|---|---|",
        *(f"| {there} | {here} |" for there, here in COMMANDS),
        "",
        "## The same name, another meaning",
        "",
        "| what | there | here |",
        "|---|---|---|",
        *(f"| {what} | {there} | {here} |" for what, there, here in OTHERWISE),
        "",
        "Weights and runs from there are taken in by `python -m train.convert FOLDER --run NAME`, with fresh optimisers.",
        "",
        "## Options",
        "",
        "| typed | to | answer |",
        "|---|---|---|",
    ]
    for old, new in RENAMED.items():
        lines.append(f"| `--{old}` | any | `--{new}`, its name of today; then as that |")
    for habit in HABITS:
        shown = "" if habit.flag in SWITCHES.split() or habit.values == ALL else f" {habit.values.replace('|', ' or ')}"
        beside = f" beside `--{habit.beside}`" if habit.beside else ""
        right = f"`{habit.here}`" if habit.here else f"`python -m {habit.program}`" if habit.program else ""
        answer = "; ".join(filter(None, ["taken as it is" if habit.taken else right, habit.why]))
        lines.append(f"| `--{habit.flag}{shown}`{beside} | {habit.where or 'any'} | {answer} |")
    return "\n".join(
        [
            *lines,
            "",
            "Every option of a run: [options.md](options.md). How to use them: [practice.md](practice.md).",
            "",
        ]
    )


if __name__ == "__main__":
    print(page(), end="")
