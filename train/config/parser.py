"""A command line that is answered once: everything that is wrong with it at the same time, each with what is right."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

from train.config.habits import KNOWN, RENAMED, SWITCHES, Habit, rows
from train.config.settings import Config
from train.errors import UserError

SOLVED = ("leave it out", "it goes into")  # answers after which nothing is left to decide


def typed(program: str) -> str:
    """What a user types to run a program: `python -m train.cyclegan`, or `palindrome-gan cyclegan` where that is installed."""
    installed = __name__ != "train.config.parser" and program.startswith("train.")
    return f"palindrome-gan {program.removeprefix('train.')}" if installed else f"python -m {program}"


class Elsewhere(Protocol):
    """What a command knows of the systems that train."""

    def __call__(self, word: str) -> str:
        """Which of them have an option of that name, in words; "" if none has."""

    def settings(self, program: str) -> type[Config] | None:
        """The settings of one; None if it is none."""


class Item(NamedTuple):
    """Words of a command line that belong together: an option with its value, or one other word (flag "")."""

    words: list[str]
    flag: str = ""
    value: str = ""


class Answer(NamedTuple):
    """What is wrong, what is right, and the words that do it: None where that is for the user to decide."""

    wrong: str
    right: str
    words: list[str] | None = None


class Parser(argparse.ArgumentParser):
    """argparse that raises UserError, knows the habits of the reference implementation's users and the nearest name of a mistyped option.

    program    as a module: "train.translate"
    config     the settings of a program that trains; those that it has as plain values cannot be changed, but typed as they are
    elsewhere  says of a word that is no option who has it
    """

    def __init__(
        self, program: str, *, config: type[Config] | None = None, elsewhere: Elsewhere | None = None, **kwargs: Any
    ) -> None:
        super().__init__(prog=typed(program), **{"allow_abbrev": False, **kwargs})
        self.program, self.config, self.elsewhere = program, config, elsewhere

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """The options. UserError that answers all that is wrong; a line on stderr for each option that is taken as it is."""
        items = self._items(list(sys.argv[1:] if args is None else args))
        program, answers, notes, kept = self._answers(items)
        try:
            given, extra = super().parse_known_args([word for item in kept for word in item.words], namespace)
            answers += self._strangers(extra)
        except UserError as error:
            if not answers:
                raise
            if "are required" not in str(error):  # what is missing may be what the answers say
                answers.append(Answer("", str(error)))
        if answers:
            raise UserError(self._told(program, answers, [w for item in kept for w in item.words]))
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        return given

    def error(self, message: str) -> NoReturn:
        if match := re.match(r"argument (--\w+).*: expected ", message):
            message += f"; where a value begins with a dash, type {match[1]}=VALUE"
        raise UserError(message)

    def _options(self, program: str) -> tuple[dict[str, argparse.Action | None], dict[str, Any]]:
        """The options of a program by name, and the settings that it has but nobody can change."""
        own: dict[str, argparse.Action | None] = {
            name.removeprefix("--"): action for action in self._actions for name in action.option_strings
        }
        config = self.config
        if program != self.program:
            config = self.elsewhere.settings(program) if self.elsewhere else None
            own = dict.fromkeys(config.options() if config else ("weights", "input", "output", "direction", "device"))
        fixed = {f.name: f.default for f in dataclasses.fields(config) if not f.metadata} if config else {}
        return own, {name: value for name, value in fixed.items() if name in Config.options()}

    def _items(self, words: list[str]) -> list[Item]:
        """The words of a command line, each option with its value."""
        own, fixed = self._options(self.program)
        items: list[Item] = []
        while words:
            word = words.pop(0)
            flag, equals, value = word.removeprefix("--").partition("=") if word.startswith("--") else ("", "", "")
            action = own.get(flag)
            takes = flag in fixed or (action.nargs != 0 if action else flag in KNOWN and flag not in SWITCHES.split())
            if takes and not equals and words and not words[0].startswith("--"):
                items.append(Item([word, words[0]], flag, words.pop(0)))
            else:
                items.append(Item([word], flag, value))
        return items

    def _answers(self, items: list[Item], program: str = "") -> tuple[str, list[Answer], list[str], list[Item]]:
        """The program that is wanted, what is wrong, what is taken as it is, and what is left for argparse."""
        program = program or self.program
        kind = "train" if self.config and program != "train.translate" else program.removeprefix("train.")
        own, fixed = self._options(program)
        said = {item.flag: item.value for item in items if item.flag}
        answers: list[Answer] = []
        notes, kept = [], []
        for item in items:
            flag = RENAMED.get(item.flag, item.flag) if item.flag not in own else item.flag
            habit = rows(flag, item.value, program.removeprefix("train."), kind, own, said)
            text = " ".join(item.words)
            if not flag or (
                flag in own and flag == item.flag and not (habit and self._refused(own[flag], item.value, habit))
            ):
                kept.append(item)
            elif flag in own and flag != item.flag and not (habit and self._refused(own[flag], item.value, habit)):
                answers.append(Answer(text, f"type --{flag} {item.value}", [f"--{flag}", item.value]))
            elif flag in fixed and habit is None:
                if same(fixed[flag], item.value):
                    notes.append(f"{text}: it is so here anyway")
                else:
                    has = f"; {self.elsewhere(f'--{flag}')}" if self.elsewhere and self.elsewhere(f"--{flag}") else ""
                    answers.append(Answer(text, f"leave it out: it is always {fixed[flag]!r} here{has}", []))
            elif habit is None and flag in KNOWN:
                has = self.elsewhere(f"--{flag}") if self.elsewhere else ""
                answers.append(Answer(text, f"leave it out{f': {has}' if has else ''}", []))
            elif habit is None:
                kept.append(item)
            elif habit.program and program == self.program:
                switched = self._answers([other for other in items if other is not item], habit.program)
                first = Answer(text, f"type {typed(habit.program)}, {habit.why}", [])
                return habit.program, [first, *switched[1]], switched[2], switched[3]
            elif habit.taken:
                notes.append(f"{text}: {habit.why}")
            else:
                answers.append(answered(habit, item, said))
        return program, answers, notes, kept

    def _refused(self, action: argparse.Action | None, value: str, habit: Habit) -> bool:
        """Whether an option of the program's own is not to be taken as typed: argparse would refuse the value, or the row is
        about what was typed beside it."""
        if habit.beside:
            return True
        if action is None or not value:
            return False
        try:
            converted = action.type(value) if callable(action.type) else value
        except (ValueError, argparse.ArgumentTypeError):
            return True
        return action.choices is not None and converted not in action.choices

    def _strangers(self, extra: list[str]) -> list[Answer]:
        """What nobody knows: an answer for each option, and for words that belong to none."""
        known = {name for action in self._actions for name in action.option_strings}
        found, before = [], ""
        for word in extra:
            if word.startswith("-"):
                flag = word.split("=")[0]
                found.append(Answer(flag, (self.elsewhere(flag) if self.elsewhere else "") or nearest(flag, known)))
            elif not before.startswith("-") or "=" in before:
                found.append(Answer(word, f"did you mean --dataroot {word}?" if "--dataroot" in known else ""))
            before = word
        return found

    def _told(self, program: str, answers: list[Answer], kept: list[str]) -> str:
        """All answers, and where they leave nothing to decide the whole line as it should be."""
        if len(answers) == 1:
            wrong, right, _ = answers[0]
            option = wrong.split(" ")[0].split("=")[0]
            own = option.removeprefix("--") in self._options(self.program)[0]
            what = wrong if own else f"there is no option {option}"
            return f"{what}{'; ' if right else ''}{right} (--help lists all)"
        lines = [f"{f'{a.wrong}: ' if a.wrong else ''}{a.right or 'there is no such option'}" for a in answers]
        if all(answer.words is not None for answer in answers):
            words = [*kept, *(word for answer in answers for word in answer.words or ())]
            lines.append(f"so type: {typed(program)} {shlex.join(words)}")
        about = "--help lists all options; docs/coming_from.md, what is typed otherwise in the reference implementation"
        return "\n  ".join([f"{len(answers)} things are typed otherwise here:", *lines, f"({about})"])


def same(setting: Any, value: str) -> bool:
    """Whether a value as it was typed is that of a setting; a switch has none."""
    try:
        return float(value) == setting if isinstance(setting, int | float) and value else value == str(setting)
    except ValueError:
        return False


def answered(habit: Habit, item: Item, said: Mapping[str, str]) -> Answer:
    """What a row says to what was typed."""
    known = fields(said) | {"value": shlex.quote(item.value)}
    here, why = habit.here.format_map(known), habit.why.format_map(known)
    right = f"type {here}{f' ({why})' if why else ''}" if here else why
    words = shlex.split(here) if here else [] if why.startswith(SOLVED) else None
    return Answer(" ".join(item.words), right, words)


def fields(said: Mapping[str, str]) -> dict[str, str]:
    """What the reference implementation's test.py makes of its options, for ours: which weights, which pictures, where to."""
    name, root, phase = said.get("name", "NAME"), said.get("dataroot", "DATA"), said.get("phase", "test")
    weights = os.path.join(said.get("checkpoints_dir", "checkpoints"), name)
    epoch = said.get("epoch", said.get("which_epoch", "latest"))
    if epoch != "latest":
        weights = os.path.join(weights, f"epoch_{int(epoch):03}.npz" if epoch.isdecimal() else f"{epoch}.npz")
    pictures = root
    if said.get("model") != "test" and said.get("dataset_mode") != "single":
        both = os.path.join(root, phase)  # a folder of pairs, or one for each domain
        side = "B" if said.get("direction", said.get("which_direction")) == "BtoA" else "A"
        pictures = both if Path(both).is_dir() else both + side
    pair = os.path.basename(os.path.normpath(said.get("fold_AB", "NAME")))
    found = {
        "weights": weights, "input": pictures, "output": os.path.join(said.get("results_dir", "results"), name),
        "fold_B": said.get("fold_B", "DIR_B"), "pair": pair,
    }  # fmt: skip
    return {key: shlex.quote(value) for key, value in found.items()}


def nearest(word: str, known: set[str]) -> str:
    """What may have been meant, as a question; "" where nothing is near."""
    names = {name.lstrip("-"): name for name in known}  # dashes, which all have, would make all alike
    near = difflib.get_close_matches(word.lstrip("-"), names, 1)
    return f"did you mean {names[near[0]]}?" if near else ""
