"""What networks are called here, by what they are called where they come from.

    here      the reference implementation   PyTorch-GAN and others
    gen_ab    G_A                            G_AB, A2B, AtoB
    gen_ba    G_B                            G_BA, B2A, BtoA
    disc_a    D_B                            D_A
    disc_b    D_A                            D_B

The reference implementation names a discriminator after its generator, others after the domain that it judges; the names of the
generators beside it tell which is meant. A network whose direction no name tells keeps its own name; where it is the only
one of its kind it is "generator" or "discriminator".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

FIELD_NAMES = {"gen_ab": "G_A", "gen_ba": "G_B", "disc_b": "D_A", "disc_a": "D_B"}
LONE_NAMES = {"gen": "G", "generator": "G", "disc": "D", "discriminator": "D"}  # pix2pix's, or a file's only one
OUR_NAMES = {theirs: ours for ours, theirs in FIELD_NAMES.items()}
BOTH = re.compile(r"(?i)(?<![a-z])(?:net_?)?(?:g|gen|generator)?_?(?:(ab|a_?(?:2|to)_?b)|ba|b_?(?:2|to)_?a)(?![a-z])")
ONE = re.compile(r"(?<![A-Za-z])(?:net_?)?(G_?[AB])(?![A-Za-z0-9])")
JUDGE = re.compile(r"(?i)(?<![a-z])(?:net_?)?(?:d|dis|disc|discriminator)(?![a-z])")
DISCRIMINATOR = re.compile(r"(?i)(?<![a-z])(?:net_?)?(?:d|dis|disc|discriminator)_?([ab])(?![a-z0-9])")


def ours(kinds: Mapping[str, str]) -> dict[str, str]:
    """For each label the name here. `kinds` has for each label "generator", "discriminator", or "" for what cannot be read."""
    judges = [label for label, kind in kinds.items() if kind == "discriminator" or (not kind and JUDGE.search(label))]
    roles = {label: _generator(label) for label in kinds if label not in judges}
    by_domain = any(BOTH.search(label) for label, role in roles.items() if role)
    by_generator = any(roles.values()) and not by_domain
    for label, kind in kinds.items():
        if kind != "generator" and (match := DISCRIMINATOR.search(label)):
            letter = match[1].lower()
            if by_domain:
                roles[label] = f"disc_{letter}"
            elif by_generator or "_net_D_" in label:  # the reference implementation's way to call a file
                roles[label] = OUR_NAMES[f"D_{letter.upper()}"]
    roles |= {label: label for label in kinds if label in FIELD_NAMES or label in LONE_NAMES}
    claims = Counter(role for role in roles.values() if role)
    names = {label: role for label, role in roles.items() if role and claims[role] == 1}
    for lone in ("generator", "discriminator"):
        left = [label for label, kind in kinds.items() if kind == lone and label not in names]
        family = "gen_" if lone == "generator" else "disc_"
        if len(left) == 1 and not any(name == lone or name.startswith(family) for name in names.values()):
            names[left[0]] = lone
    return {label: names.get(label, label) for label in kinds}


def tells(label: str) -> bool:
    """Whether a label says what a network does."""
    return bool(_generator(label) or DISCRIMINATOR.search(label))


def _generator(label: str) -> str:
    """The name of the generator that a label tells, "" where it tells none."""
    if match := BOTH.search(label):
        return "gen_ab" if match[1] else "gen_ba"
    if match := ONE.search(label):
        return OUR_NAMES[f"G_{match[1][-1]}"]
    return ""
