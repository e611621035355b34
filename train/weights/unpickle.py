"""The part of pickle that weight files are made of, read by a machine that can do nothing else.

A pickle is a program for a machine with a stack. Python's own does whatever the program says: it imports, calls, and sets
attributes of what it made (BUILD). This one builds plain containers, makes the few calls that it is given, and
sets nothing. Its opcodes are those that PyTorch has written since 2016, in all protocols.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MOST_STEPS = 200_000  # opcodes; a network of 100 layers takes 5,000
VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NOTHING = {"PROTO", "FRAME", "STOP"}


class Refused(Exception):
    """The name of something that a weight file has no need of."""


class Name(NamedTuple):
    """What stands for one of the known names."""

    text: str


class Machine:
    """Reads the pickles that stand one after the other at the start of `data`, all together in at most MOST_STEPS.

    calls     what REDUCE may call, by dotted name; all other names are refused when they are met
    names     dotted names that are only spoken of, and what stands for each
    resolve   what a persistent reference stands for
    """

    def __init__(self, data: bytes, calls: Mapping[str, Callable[..., Any]], names: Mapping[str, Any], resolve: Callable[[Any], Any]) -> None:  # fmt: skip
        self.program, self.calls, self.names, self.resolve = io.BytesIO(data), calls, names, resolve
        self.left = MOST_STEPS

    def load(self) -> Any:
        """What the next pickle builds. Refused names what it wants beyond that; a damaged one may raise anything."""
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        for opcode, argument, _ in pickletools.genops(self.program):
            self.spend(1)
            self.step(opcode.name, argument)
        (result,) = self.stack
        return result

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise ValueError(f"it takes more than {MOST_STEPS:,} steps to build; wanted a state_dict")

    def step(self, opcode: str, argument: Any) -> None:
        stack, memo = self.stack, self.memo
        match opcode:
            case _ if opcode in VALUES:
                stack.append(argument)
            case _ if opcode in CONSTANTS:
                stack.append(CONSTANTS[opcode])
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                self.marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self.popped()))
            case "LIST":
                stack.append(self.popped())
            case "DICT":
                stack.append(self.put({}, self.popped()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND":
                item = stack.pop()
                self.top(list).append(item)
            case "APPENDS":
                items = self.popped()
                self.top(list).extend(items)
            case "SETITEM":
                items = [stack.pop(-2), stack.pop()]
                self.put(self.top(dict), items)
            case "SETITEMS":
                items = self.popped()
                self.put(self.top(dict), items)
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(memo[argument])
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "POP":
                stack.pop()
            case "GLOBAL" | "INST":  # the argument is "module name"
                self.name(argument.replace(" ", ".", 1))
            case "STACK_GLOBAL":
                name = stack.pop()
                self.name(f"{stack.pop()}.{name}")
            case "REDUCE":
                arguments = stack.pop()
                stack.append(self.called(stack.pop(), arguments))
            case "BINPERSID":
                stack.append(self.resolve(stack.pop()))
            case "BUILD":  # attributes, such as the versions that a state_dict keeps: nothing is set
                stack.pop()
                self.top(dict)
            case _ if opcode not in NOTHING:
                raise ValueError(f"the opcode {opcode}, of which weights have no need")

    def popped(self) -> list[Any]:
        """What lies above the last mark, taken off."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"a {type(self.stack[-1]).__name__} where there should be a {kind.__name__}")
        return self.stack[-1]

    def put(self, target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
        """Keys and values in turn. Keys are words and numbers: of others many can be made that fall on one place of a dict."""
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str and not (type(key) in (int, bool) and abs(key) < 1 << 63):
                raise ValueError(f"a key of type {type(key).__name__}")
            target[key] = value
        return target

    def name(self, dotted: str) -> None:
        if dotted not in self.calls and dotted not in self.names:
            raise Refused(dotted)
        self.stack.append(self.names[dotted] if dotted in self.names else Name(dotted))

    def called(self, name: Any, arguments: Any) -> Any:
        if type(name) is not Name or type(arguments) is not tuple:
            raise ValueError(f"a call of {type(name).__name__}")
        if name.text != "collections.OrderedDict":
            return self.calls[name.text](*arguments)
        target: dict[Any, Any] = {}
        pairs = self.given_list(arguments)
        for key, value in pairs:
            self.put(target, [key, value])
        return target

    def given_list(self, arguments: tuple[Any, ...]) -> list[Any]:
        """The pairs that an ordered dict is made of (Python 2 wrote it so): a list, or nothing."""
        (pairs,) = arguments or ([],)
        if type(pairs) is not list:
            raise ValueError(f"an ordered dict of a {type(pairs).__name__}")
        self.spend(len(pairs))
        return pairs
