"""Networks from elsewhere as a run of train.cyclegan, which `--continue_train` trains on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.config import options
from train.config.parser import typed
from train.config.settings import Config
from train.errors import UserError
from train.files import checkpoint
from train.files.claim import Claim
from train.files.folder_names import names_a_folder
from train.models.cyclegan import CycleGAN
from train.models.registry import elsewhere
from train.weights.carried import agreed, inferred, take_over
from train.weights.formats import Weights
from train.weights.names import FIELD_NAMES

UNLIKE = (
    "of the reference implementation's options, some mean something else here: --save_latest_freq and --print_freq count steps, "
    "--lr_policy cosine falls once over all epochs, --gan_mode wgangp adds its penalty; optimisers begin anew (docs/coming_from.md)"
)
"""Said to whom brings its weights to be trained on."""


def make_run(found: dict[str, Weights], name: str, arguments: Sequence[str], source: Path) -> Path:
    """A run folder that `--continue_train` trains on from step 0, with fresh optimisers; returns its checkpoint.

    Its settings are those that were typed; else those of the run that `source` is, if it is one; else the paper's.
    """
    if not names_a_folder(name):
        raise UserError(f"--run {name!r} must name one folder, without slashes; --checkpoints_dir says where it lies")
    unused = [key for key in found if key not in FIELD_NAMES]
    found = {key: w for key, w in found.items() if key in FIELD_NAMES}
    architectures = {key: w.architecture() for key, w in found.items()}
    kept = settings_of(source)
    given, _, asked = options.parse(
        [*([] if kept else ["--preset", "paper"]), *arguments, f"--name={name}"],
        "train.convert",
        None,
        elsewhere=elsewhere,
        under=kept,
    )
    config = Config(**agreed(given, inferred(architectures, unused), asked, "--run"))
    config.check()
    with Claim() as claim:
        path = claim.take(Path(config.checkpoints_dir) / name, mend="choose another --run") / "latest.npz"
        if path.exists():
            raise UserError(f"{path.parent} already holds a run; choose another --run")
        model = CycleGAN(config.replace(device="cpu"))
        fresh = take_over(model, {key: w.network().state_dict() for key, w in found.items()})
        checkpoint.save(
            path, {"program": CycleGAN.program, "config": config.as_dict(), "run": {}, "model": model.state_dict()}
        )
    if unused:
        print(f"left out, because no name tells what they do in a run: {', '.join(unused)}")
    print(f"{path}  {', '.join(found)}" + (f"; fresh, because not given: {', '.join(fresh)}" if fresh else ""))
    if kept:
        now = config.as_dict()
        same = [
            f"--{key} {now[key]}" for key, value in kept.items() if value == now[key] != Config.options()[key].default
        ]
        print(f"as in {source}: {' '.join(same) or 'all settings'} (type others to change them)")
    else:
        print(UNLIKE)
    data = "" if config.dataroot or kept else " --dataroot DIR"
    print(f"train on with: {typed('train.cyclegan')} --continue_train --name {shlex.quote(name)}{data}")
    return path


def settings_of(source: Path) -> dict[str, Any]:
    """The settings of the run of train.cyclegan whose folder or checkpoint `source` is; none where it is something else."""
    file = source / "latest.npz" if source.is_dir() else source
    if file.suffix != ".npz" or not file.exists():
        return {}
    state = checkpoint.load(file)
    if state.get("program", CycleGAN.program) != CycleGAN.program:
        return {}
    lasting = Config.options().keys() - {"name", "checkpoints_dir"}
    return {name: value for name, value in state.get("config", {}).items() if name in lasting}
