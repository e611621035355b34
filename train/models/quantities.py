"""What a system's losses mean, in words for the report: CycleGAN's, and the form in which all say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from train.config.settings import Config

Quantity = tuple[str, tuple[str, ...], str, float | None]
"""A chart: title, keys of the records, a text for learners, and the value at which a discriminator cannot tell."""

KNOWN_PAIRS: Quantity = (
    "Known pairs",
    ("sup_A", "sup_B"),
    (
        "sup_A: how far the A → B translation of a known pair's A is from its B; sup_B: the other way. Few pairs are soon learnt "
        "by heart: a low value says nothing of other pictures."
    ),
    None,
)


def quantities(config: Mapping[str, Any]) -> list[Quantity]:
    """The charts of CycleGAN's losses."""
    settings = dataclasses.asdict(Config()) | dict(config)
    even, fooled = {
        "lsgan": (0.25, "0.25: the discriminator is undecided. 1: all are caught"),
        "vanilla": (0.693, "0.69: the discriminator is undecided. More: caught"),
        "hinge": (1.0, "Below 0 they pass for real, above 0 they are caught"),
        "wgangp": (0.0, "The discriminator's mean score of the fakes, negated: only its changes mean something"),
    }[settings["gan_mode"]]
    undecided = {"hinge": 0.0, "wgangp": None}.get(settings["gan_mode"], even)
    la, lb, li = (float(settings[key]) for key in ("lambda_A", "lambda_B", "lambda_identity"))
    return [
        (
            "Discriminators",
            ("D_A", "D_B"),
            (
                "D_A tells real pictures of B from those of the A → B generator, D_B does so for A. "
                + (
                    "Minus half the distance that a discriminator sees between real and fake, plus half its gradient penalty: "
                    "it starts high, falls below 0 (dashed), and comes back towards 0 as the fakes come near."
                    if settings["gan_mode"] == "wgangp"
                    else f"0: never mistaken. {even:.2g} (dashed): cannot tell real from fake. Between is healthy; a "
                    "discriminator that stays at 0 has won, and the generator learns little from it."
                )
            ),
            even,
        ),
        (
            "Generators against the discriminators",
            ("G_A", "G_B"),
            (
                f"G_A: how far the A → B generator is from fooling D_A; G_B is the other way. {fooled}. "
                "It often rises while the pictures improve, because the discriminator improves too."
            ),
            undecided,
        ),
        (
            "Cycle",
            ("cycle_A", "cycle_B"),
            (
                "There and back again. cycle_A: how far A → B → A ends from its start; cycle_B: B → A → B. "
                f"Should fall. Weights {la:g} and {lb:g}; cycle_A = {la / 10:g} is an error of 5 % of black to white."
            ),
            None,
        ),
        (
            "Identity",
            ("idt_A", "idt_B"),
            (
                "idt_A: how much the A → B generator changes a picture that is in B already and should stay; idt_B: "
                f"the other way. Keeps colours honest. Should fall. Weights {lb * li:g} and {la * li:g}."
            ),
            None,
        ),
        *([KNOWN_PAIRS] if settings["sup_frac"] else []),
    ]
