"""The folder of a run, followed where somebody moves it under a run that goes on.

A run whose folder was deleted makes it again, saves at once and trains on: nothing of what is to come depends on what lay there,
steps are what cost, and whoever wanted it to end can still stop it. Where it was moved it goes on in the new place, so that all of
it stays together and the old name is free.
"""

from __future__ import annotations

from pathlib import Path

from train.errors import shown
from train.files.json_file import write_json
from train.run.run_state import RunState


def keep_up(run: RunState) -> bool:
    """Have the run write where its folder is now; whether that is another place, which is then told."""
    claim = run.claim
    if claim is None or (place := claim.place()) == claim.folder:
        return False
    before = shown(run.folder)
    if place is not None:
        claim.follow(place)
        move(run, place)
        run.tell(f"warning: {before} was moved: the run goes on in {shown(run.folder)}")
        return True
    move(run, claim.take_free(run.folder.parent, run.config.name))
    run.save()
    run.tell(
        f"warning: {before} was deleted, and with it the records and copies up to here: step {run.step} is saved in a new "
        f"{shown(run.folder)}, and the run goes on there"
    )
    return True


def move(run: RunState, folder: Path) -> None:
    """From here on everything is written there."""
    if not Path(run.config.checkpoints_dir).is_absolute() and folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    run.stand_in(folder)
    write_json(run.folder / "config.json", run.config.as_dict())
