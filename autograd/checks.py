"""What an op takes, said in one line and checked before it runs:

    takes = "x [N,H,W,C], w [R,S,C,K]|[G,R,S,C,K], b [K]|[G,K]?"

Each input has a name and its axes. A letter is one size in all inputs of a call, a number is that size, and [...] is one
shape in all. `|` stands before another possibility, `?` behind what may be None. An input without axes is any Tensor; `*`
means any number of them. Pictures and weights, whose axes have four letters or more, are of one precision.
"""

from __future__ import annotations

import functools
import numbers
from typing import Any, NamedTuple, NoReturn

from autograd.tensor import Tensor
from kernels.device import Device


class Input(NamedTuple):
    """One input of an op."""

    name: str
    axes: str  # as written, or ""
    ranks: dict[int, list[str]]  # the axes' letters by their number; empty for any number
    optional: bool


@functools.cache
def parsed(takes: str, count: int) -> tuple[list[Input], dict[str, Any]]:
    """The inputs that a line describes, `count` of them where it says `*`; and the sizes that it gives as numbers."""
    if takes == "*":
        return [Input(f"x{i + 1}" if count > 1 else "x", "", {}, False) for i in range(count)], {}
    inputs = []
    for part in takes.split(", "):
        name, _, axes = part.removesuffix("?").partition(" ")
        ways = [way.strip("[]").split(",") for way in axes.split("|")] if axes not in ("", "[...]") else []
        inputs.append(Input(name, axes.replace("|", " or "), {len(way): way for way in ways}, part.endswith("?")))
    letters = {letter for wanted in inputs for way in wanted.ranks.values() for letter in way}
    return inputs, {letter: int(letter) for letter in letters if letter.isdigit()}


def check(op: str, takes: str, values: tuple[Any, ...]) -> Device:
    """The device of the inputs. TypeError for what is no Tensor or of another precision, ValueError for what lives on another
    device or has other axes; they name the op and the input, what was seen and wanted, and what to write."""
    inputs, sizes = parsed(takes, len(values))
    given: list[tuple[Input, Tensor]] = []
    for wanted, value in zip(inputs, values, strict=False):
        if isinstance(value, Tensor):
            given.append((wanted, value))
        elif value is not None or not wanted.optional:
            raise TypeError(
                f"{op}: {wanted.name} is {what(value)}, wanted a Tensor {wanted.axes}".rstrip() + instead(wanted, value)
            )
    if not given:
        raise TypeError(f"{op}: nothing was given, wanted Tensors")
    first, device = given[0][0].name, given[0][1].device
    for wanted, tensor in given:
        if tensor.device is not device and tensor.device != device:
            raise ValueError(
                f"{op}: {first} lives on {device} and {wanted.name} on {tensor.device}; put both on one device, as in "
                f"Tensor(array, device={str(device)!r})"
            )
    if given[0][0].axes:
        check_axes(op, given, sizes.copy())
        check_precision(op, given)
    return device


def check_axes(op: str, given: list[tuple[Input, Tensor]], sizes: dict[str, int]) -> None:
    """ValueError unless every input has its axes, and those of one letter are of one size."""
    first, same = given[0][0].name, given[0][1].data.shape

    def refuse(name: str, shape: tuple[int, ...], wanted: str) -> NoReturn:
        raise ValueError(f"{op}: {name} has shape {shape}, wanted {wanted}")

    for (name, axes, ranks, _), tensor in given:
        shape = tensor.data.shape
        if not ranks:
            if shape != same:
                refuse(name, shape, f"{same} as {first} has it")
            continue
        letters = ranks.get(len(shape))
        if letters is None:
            hint = f"; write {name}[None] for a batch of one" if len(shape) == 3 and 4 in ranks else ""
            refuse(name, shape, axes + hint)
        for letter, size in zip(letters, shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                where = "" if letter.isdigit() else f" with {letter} = {sizes[letter]}, as in {first} {same}"
                turned = len(shape) == 4 and letter == letters[3] and shape[1] == sizes[letter]
                hint = "; channels come last: Tensor(array.transpose(0, 2, 3, 1))" if turned else ""
                refuse(name, shape, f"[{','.join(letters)}]{where}{hint}")


def check_precision(op: str, given: list[tuple[Input, Tensor]]) -> None:
    """TypeError unless pictures and weights are of one precision; vectors may keep their own."""
    first, dtype = given[0][0].name, given[0][1].data.dtype
    for wanted, tensor in given:
        if tensor.data.dtype != dtype and wanted.ranks and tensor.data.ndim > 3:
            raise TypeError(
                f"{op}: {first} is {dtype} but {wanted.name} is {tensor.dtype}; convert one of them, as in "
                f"Tensor(array.astype({str(dtype)!r}))"
            )


def check_numbers(op: str, settings: dict[str, Any]) -> None:
    """TypeError for a setting that is no number: a label or a weight is one for the whole call."""
    for name, value in settings.items():
        if not isinstance(value, numbers.Number):
            raise TypeError(f"{op}: {name} is {what(value)}, wanted a number")


LIBRARIES = {"numpy": "NumPy", "cupy": "CuPy", "torch": "PyTorch"}


def what(value: Any) -> str:
    """A value in a few words."""
    if value is None:
        return "None"
    if isinstance(value, numbers.Number):
        return f"the number {value}"
    if isinstance(value, Tensor):
        return f"a Tensor of shape {value.shape}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        library = type(value).__module__.partition(".")[0]
        return f"a {LIBRARIES.get(library, library)} array of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def instead(wanted: Input, value: Any) -> str:
    """What to write for it, where that can be known."""
    if isinstance(value, numbers.Number):
        return f"; write Tensor(np.full(shape, {value}, np.float32)), with the shape that is wanted"
    return f"; write Tensor({wanted.name})" if isinstance(value, list | tuple) or hasattr(value, "dtype") else ""
