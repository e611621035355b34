"""The opened step as one page that needs nothing else. Its frame, style and script are the files beside this one."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from train.config.parser import typed
from train.evaluation.explained_step import Explained
from train.evaluation.opening_step import Subject
from train.files.atomic import write_bytes
from train.report.explain import atlas, costs, gradients, patches, story
from train.report.explain.figures import Figures
from train.report.offline import head


def title(opened: Subject) -> str:
    """What is opened, in words."""
    who = f"run {opened.run}" if opened.run else "a fresh model"
    return f"Step {opened.step + 1:,} of {who}"


def pictures(opened: Subject) -> str:
    """Their names."""
    first = f", the first of a batch of {opened.batch}" if opened.batch > 1 else ""
    return f"on {opened.names[0]} (A) and {opened.names[1]} (B){first}"


def write_page(folder: Path, opened: Subject, e: Explained) -> Path:
    """Write folder/step.html; its path. UserError if the disk refuses."""
    path = folder / "step.html"
    write_bytes(path, page(opened, e).encode())
    return path


def page(opened: Subject, e: Explained) -> str:
    """The document."""
    figures = Figures()
    story.embed(e, figures)
    maps = patches.data(e) if e.before.scores else []
    parts = {
        "title": escape(title(opened)),
        "names": escape(pictures(opened)),
        "command": typed("train.explain"),
        "facts": facts(opened, e),
        "flow": story.flow(e, figures),
        "roles": story.who_learns(e),
        "losses": story.losses(e),
        "gradients": gradients.section(e, figures),
        "pools": story.pools(e, figures),
        "maps": patches.script(maps),
        "scale": str([*story.scale(e)]),
        "times": costs.computed(e),
        "costs": costs.section(e),
        "atlas": atlas.section(e, figures),
        "changes": story.before_and_after(e, figures),
        "checked": "leave the same weights, bit for bit" if e.same_bits else "DO NOT LEAVE THE SAME WEIGHTS",
    }
    top = head(f"{parts['title']}, opened", read("style.css") + figures.style())
    return Template(read("page.html")).substitute(parts, head=top, script=read("script.js"))


def read(name: str) -> str:
    """A file beside this one."""
    return files(__package__).joinpath(name).read_text("utf-8")


def facts(opened: Subject, e: Explained) -> str:
    """What the model is, in a few numbers."""
    c, networks = e.model.config, e.model.networks()
    generators, discriminators = (
        sum(p.size for name, x in networks.items() if name.startswith(kind) for p in x.parameters())
        for kind in ("gen", "disc")
    )
    height, width = e.before.pictures["a"].shape[:2]
    ops = e.trace.ops
    said = {
        "Pictures": f"{width}×{height}",
        "Networks": f"{c.netG} {c.ngf}, {c.netD} {c.ndf}",
        "Weights": f"{generators:,} + {discriminators:,}",
        "Ops": f"{len(ops)}",
        "Multiply-adds": f"{sum(op.macs + op.backward_macs for op in ops) / 1e9:.2f} billion",
        "This step took": f"{e.seconds * 1e3:.0f} ms",
        "Learning rate": f"{e.model.optimizers['g'].lr:g}",
        "Adversarial loss": c.gan_mode if c.lambda_GAN else "none",
    }
    return "".join(f"<div><dt>{key}</dt><dd>{escape(value)}</dd></div>" for key, value in said.items())
