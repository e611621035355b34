"""What an evaluation found: tables to read, JSON for programs, and a contact sheet to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from train.data.phases import unused
from train.evaluation.evaluation import Evaluation, Pictures, title, translate_all
from train.evaluation.inception import library
from train.evaluation.metrics import format_scores, present, ssim
from train.evaluation.scoring import Asked, Scored
from train.evaluation.subject import Subject
from train.files.json_file import write_json
from train.models.model import Rows
from train.report.samples import sample_grid, save_png

WEAK = 0.75  # a classifier that is right on fewer held-out images has little to say


def introduction(name: str, evaluation: Evaluation) -> str:
    """What is about to be scored, on what."""
    kind = f"test images, {evaluation.partners}"
    if evaluation.truth:
        kind = f"test images with their true partners: {evaluation.partners}"
    elif not evaluation.held_out:
        spare = unused(evaluation.config)
        seen = f" (not used: {', '.join(spare)})" if spare else ""
        kind = f"training images, as there are no testA and testB: these flatter{seen}"
    data = evaluation.config.dataroot or f"built-in {evaluation.config.builtin}"
    count = " and ".join(f"{len(x)} of {domain}" for domain, x in evaluation.pictures.items())
    remarks = "".join(f"\n         {line}" for line in evaluation.remarks)
    return f"model    {name}\ndata     {data}: {count}, {kind}{remarks}"


def results(
    subject: Subject, evaluation: Evaluation, asked: Asked, scored: Scored, shown: Mapping[str, list[str]]
) -> dict[str, Any]:
    """All that was found, for programs; `shown`: the names on the contact sheet, by direction."""
    found = {
        "model": subject.name, **subject.about, "dataroot": subject.config.dataroot,
        "images": {domain: len(x) for domain, x in evaluation.pictures.items()},
        "paired": evaluation.truth, "partners": evaluation.partners, "held_out": evaluation.held_out,
        "scores": {title(direction): table for direction, table in scored.tables.items()},
        "classes": scored.classes, "contact_sheet": shown,
    }  # fmt: skip
    if asked.distance and evaluation.held_out:
        found["classifier_accuracy"] = evaluation.distance.accuracy(*evaluation.pictures.values())
    if asked.fid:
        found["fid_library"] = library()[0]
    return found


def write_evaluation(output: Path, found: Mapping[str, Any], sheet: Image.Image) -> str:
    """Write evaluation.json and contact_sheet.png into the folder `output`; tells where, in words."""
    write_json(output / "evaluation.json", found)
    save_png(output / "contact_sheet.png", sheet)
    return f"scores   {output / 'evaluation.json'}\npictures {output / 'contact_sheet.png'}"


def contact_sheet(
    evaluation: Evaluation, model: Any, fakes: Mapping[str, Pictures], rows: int, name: str
) -> tuple[Any, dict[str, list[str]]]:
    """A sheet of `rows` test images of each direction and the names of these.

    With pairs they are spread from the best SSIM to the worst, so that nobody's choice flatters; else over the names.
    """
    grid: Rows = []
    shown: dict[str, list[str]] = {}
    for direction, made in fakes.items():
        start, end = direction[0], direction[-1]
        order = list(range(len(made)))
        if evaluation.truth and min(made[0].shape[:2]) >= 11:
            order.sort(key=lambda i: -ssim(made[i], evaluation.pictures[end][i]))
        count = min(rows, len(order))
        chosen = [order[i * (len(order) - 1) // max(1, count - 1)] for i in range(count)]
        back = f"{end}to{start}"
        returned = translate_all(model, [made[i] for i in chosen], back) if back in model.directions else None
        for place, i in enumerate(chosen):
            row = {f"real {start}": evaluation.pictures[start][i], f"fake {end}": made[i]}
            if evaluation.truth:
                row[f"true {end}"] = evaluation.pictures[end][i]
            if returned:
                row[f"reconstructed {start}"] = returned[place]
            grid.append(row)
        shown[title(direction)] = [evaluation.names[start][i] for i in chosen]
    note = "from the best SSIM to the worst" if evaluation.truth else "test images spread over the folder"
    return sample_grid(grid, f"{name}: {note}"), shown


def words(found: Mapping[str, Any]) -> str:
    """The tables, and what their words mean."""
    lines = []
    for heading, table in found["scores"].items():
        lines += [f"\n{format_scores(table, heading)}"]
    if "model" in found["classes"]:
        lines += [f"\n{'class':24}{'share':>8}{'accuracy':>10}{'IoU':>8}"]
        for name, row in found["classes"]["model"].items():
            cells = ("-" if row[key] is None else f"{row[key]:.0%}" for key in ("share", "accuracy", "iou"))
            lines += ["{:24}{:>8}{:>10}{:>8}".format(name, *cells)]
    metrics = {metric for table in found["scores"].values() for metric in present(table)}
    lines += ["\nuntouched input: the picture as it is. mean image: the same average picture for everything."]
    if "distance" in metrics:
        accuracy = found.get("classifier_accuracy")
        right = f", which puts {accuracy:.0%} of the test images in their domain" if accuracy is not None else ""
        seen = f"as a small classifier sees them{right}; this is not FID."
        lines += [f"domain: distance from the target's training images {seen}"]
        if accuracy is not None and accuracy < WEAK:
            lines += ["        It tells the two domains apart so poorly that this distance says little."]
    if "fid" in metrics:
        by = f"FID, KID: by {found['fid_library']}"
        lines += [f"{by}, from the target's training images; few pictures make them large."]
    return "\n".join(lines)
