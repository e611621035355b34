"""What an op takes, said in one line and checked before it runs:

    takes = "x [N,H,W,C], w [R,S,C,K]|[G,R,S,C,K], b [K]|[G,K]?"

Each input has a name and its axes. A letter is one size in all inputs of a call, a number is that size, and [...] is one
shape in all. `|` stands before another possibility, `?` behind what may be None. An input without axes is any Tensor; `*`
means any number of them. Pictures and weights, whose axes have four letters or more, are of one precision.
"""

from __future__ import annotations

import functools
import numbers
from typing import Any, NamedTuple

from autograd.tensor import Tensor
from kernels.device import Device


class Input(NamedTuple):
    """One input of an op."""

    name: str
    axes: str  # as written, or ""
    ranks: dict[int, list[str]]  # the axes' letters by their number; empty for any number
    optional: bool


NONE: list[str] = []


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
    if not values:
        raise TypeError(f"{op}: nothing was given, wanted Tensors")
    inputs, known = parsed(takes, len(values))
    first, sizes = values[0], known.copy()
    for wanted, tensor in zip(inputs, values, strict=False):
        if not isinstance(tensor, Tensor):
            if tensor is None and wanted.optional:
                continue
            raise TypeError(
                f"{op}: {wanted.name} is {what(tensor)}, wanted a Tensor {wanted.axes}".rstrip()
                + instead(wanted, tensor)
            )
        if tensor.device is not first.device and tensor.device != first.device:
            raise ValueError(
                f"{op}: {inputs[0].name} lives on {first.device} and {wanted.name} on {tensor.device}; put both on one device, "
                f"as in Tensor(array, device={str(first.device)!r})"
            )
        if wanted.axes:
            shape = tensor.data.shape
            letters = wanted.ranks.get(len(shape), NONE)
            if letters is NONE and (wanted.ranks or shape != first.data.shape):
                raise ValueError(f"{op}: {other_axes(wanted, shape, inputs[0], first)}")
            for letter, size in zip(letters, shape, strict=False):
                if sizes.setdefault(letter, size) != size:
                    raise ValueError(f"{op}: {other_size(wanted, shape, letter, sizes[letter], inputs[0], first)}")
            if len(letters) > 3 and tensor.data.dtype != first.data.dtype:
                raise TypeError(
                    f"{op}: {inputs[0].name} is {first.dtype} but {wanted.name} is {tensor.dtype}; convert one of them, as in "
                    f"Tensor(array.astype({str(first.dtype)!r}))"
                )
    return first.device


def other_axes(wanted: Input, shape: tuple[int, ...], lead: Input, first: Tensor) -> str:
    """Says that a Tensor has more or fewer axes than wanted, or another shape than the first."""
    axes = wanted.axes if wanted.ranks else f"{first.shape} as {lead.name} has it"
    hint = f"; write {wanted.name}[None] for a batch of one" if len(shape) == 3 and 4 in wanted.ranks else ""
    return f"{wanted.name} has shape {shape}, wanted {axes}{hint}"


def other_size(wanted: Input, shape: tuple[int, ...], letter: str, size: int, lead: Input, first: Tensor) -> str:
    """Says that an axis has another size than wanted."""
    letters = wanted.ranks[len(shape)]
    where = "" if letter.isdigit() else f" with {letter} = {size}, as in {lead.name} {first.shape}"
    turned = len(shape) == 4 and letter == letters[3] and shape[1] == size
    hint = "; channels come last: Tensor(array.transpose(0, 2, 3, 1))" if turned else ""
    return f"{wanted.name} has shape {shape}, wanted [{','.join(letters)}]{where}{hint}"


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
    """What to write for what is no Tensor."""
    if isinstance(value, numbers.Number):
        return f"; write Tensor(np.full(shape, {value}, np.float32)), with the shape that is wanted"
    return f"; write Tensor({wanted.name})" if isinstance(value, list | tuple) or hasattr(value, "dtype") else ""
