"""`.pth` files made to read foreign memory, to fill it, or never to end: each is refused in one line, at once."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.attack import pickles as p
from tests.attack.measure import CLEAR, Result, measured
from train.errors import UserError
from train.weights import formats, torch_files
from train.weights.generators import generators

pytestmark = pytest.mark.skipif(not CLEAR.exists(), reason="memory is read from /proc")
SECONDS, BYTES = 1.0, 200 << 20  # and twice the file
FLOATS = np.arange(1000, dtype="<f4").tobytes()


def tensor(shape: tuple[int, ...] = (1000,), strides: tuple[int, ...] = (1,), offset: int = 0) -> bytes:
    return p.tensor(p.storage(1000), shape, strides, offset)


def of(value: bytes) -> bytes:
    """In a dict, as weights are, beside a tensor that is sound."""
    return p.dictionary({"w": value, "sound": tensor()})


def memoised(value: bytes, key: int) -> bytes:
    return value + pickle.BINPUT + bytes([key])


def again(key: int) -> bytes:
    return pickle.BINGET + bytes([key])


def shared_lists(depth: int) -> bytes:
    """[[x, x], [x, x]] and so on: 2**depth leaves in 9 bytes for each level."""
    program = memoised(pickle.EMPTY_LIST, 0)
    for level in range(1, depth):
        two = pickle.EMPTY_LIST + pickle.MARK + again(level - 1) * 2 + pickle.APPENDS
        program += pickle.POP + memoised(two, level)
    return program


FOREIGN: dict[str, bytes] = {  # memory beyond the stored numbers, by every door
    "shape set": p.built(tensor(), {"shape": p.numbers(1 << 20)}),
    "strides set": p.built(tensor((10,)), {"strides": p.numbers(-100_000)}),
    "offset set": p.built(tensor((10,)), {"offset": p.number(-200_000)}),
    "slots set": p.built_slots(tensor((10,)), {"offset": p.number(1 << 40)}),
    "count set": p.tensor(p.built(p.storage(1000), {"count": p.number(1 << 40)}), (1 << 30,), (1,)),
    "array set": p.tensor(p.built(p.storage(1000), {"array": p.word("x")}), (10,), (1,)),
    "negative stride": tensor((10,), (-100,), 5),
    "negative offset": tensor((10,), (1,), -5),
    "offset beyond": tensor((1,), (1,), 1000),
    "product wraps": tensor((1 << 32, 1 << 32), (0, 0)),
    "stride wraps": tensor((2,), (1 << 62,)),
    "offset wraps": tensor((2,), (1,), (1 << 64) - 1),
    "stride 0": tensor((1 << 20,), (0,)),
    "fewer strides": tensor((10, 10), (1,)),
    "not numbers": p.tensor(p.storage(1000), (), (), 0).replace(p.number(0), p.word("0"), 1),
    "shape is a word": p.called("torch._utils._rebuild_tensor_v2", p.storage(1000), p.number(0), p.word("12"), p.word("12")),
    "storage is a word": p.tensor(p.word("0"), (1,), (1,)),
    "function's defaults": p.built_slots(pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n", {"__defaults__": p.numbers(1)}),
}  # fmt: skip
BOMBS: dict[str, bytes] = {
    "shared lists": shared_lists(60),
    "a list in itself": memoised(pickle.EMPTY_LIST, 0) + again(0) + pickle.APPEND,
    "views": memoised(tensor(), 0) + pickle.POP + p.several(*[again(0)] * 3000),
    "deep": pickle.EMPTY_LIST * 5000 + pickle.APPEND * 4999,
    "wide": pickle.MARK + pickle.EMPTY_LIST * 3_000_000 + pickle.LIST,
    "ordered dicts of shared pairs": (
        pickle.EMPTY_LIST + pickle.MARK + p.several(p.word("k"), p.number(1)) * 9000 + pickle.APPENDS + pickle.BINPUT + b"\0"
        + pickle.POP + p.several(*[p.called("collections.OrderedDict", again(0))] * 9000)
    ),
    "keys on one place": pickle.EMPTY_DICT + pickle.MARK + b"".join(p.number(i * ((1 << 61) - 1)) + pickle.NONE for i in range(9000)) + pickle.SETITEMS,
    "a long key": of(pickle.BINUNICODE8 + (1 << 60).to_bytes(8, "little")),
}  # fmt: skip


def check(result: Result, file: Path) -> None:
    assert result.outcome == "refused", result.said
    assert file.name in result.said and "\n" not in result.said and len(result.said) < 600, result.said
    assert "holds no weights" not in result.said  # for then it was read
    assert result.seconds < SECONDS, f"{result.seconds:.1f} s: {result.said}"
    assert result.peak < 2 * file.stat().st_size + BYTES, f"{result.peak / 1e6:.0f} MB: {result.said}"


@pytest.mark.parametrize("make", [p.zipped, p.old], ids=["zip", "old"])
def test_crafted_files_are_refused_at_once(tmp_path: Path, make: Callable[..., Path]) -> None:
    programs = {name: of(value) for name, value in {**FOREIGN, **BOMBS}.items()}
    files = [make(tmp_path / f"{name}.pth", program, {"0": FLOATS}) for name, program in programs.items()]
    for file, result in zip(files, measured("weights", files), strict=True):
        check(result, file)


def test_a_storage_that_claims_to_be_large_is_refused_at_once(tmp_path: Path) -> None:
    program = of(p.tensor(p.storage(1 << 40), (1,), (1,)))
    files = [
        p.zipped(tmp_path / "zip.pth", program, {"0": FLOATS}),
        p.old(tmp_path / "old.pth", program, {"0": FLOATS}),
    ]
    claim = (1000).to_bytes(8, "little"), (1 << 40).to_bytes(8, "little")
    files[1].write_bytes(files[1].read_bytes().replace(*claim))
    for file, result in zip(files, measured("weights", files), strict=True):
        check(result, file)


def small_networks(tmp_path: Path) -> list[Path]:
    """Files that ask for a larger network than they hold: by channels, by blocks."""
    files = []
    for name, ngf, blocks in (("channels", 1500, 9), ("blocks", 8, 400)):
        state = {"model.1.weight": np.zeros((ngf, 1, 7, 7), "f4")}
        up = 10 + blocks
        keys = [f"model.{i}.weight" for i in (4, 7)]
        keys += [f"model.{10 + i}.conv_block.{j}.weight" for i in range(blocks) for j in (1, 5)]
        keys += [f"model.{i}.weight" for i in (up, up + 3, up + 7)]
        state |= {key: np.zeros((1, 1, 1, 1), "f4") for key in keys}
        state |= {key.replace("weight", "bias"): np.zeros(1, "f4") for key in state}
        torch_files.write(tmp_path / f"{name}.pth", state, {})
        files.append(tmp_path / f"{name}.pth")
    state = {f"a{'.model' * 3}.{i}.weight": np.zeros((700, 1, 4, 4), "f4") for i in range(3)}
    state |= {f"a{'.model' * 3}.{i}.weight": np.zeros((1, 1, 4, 4), "f4") for i in range(3, 300)}
    torch_files.write(tmp_path / "levels.pth", state, {})
    return [*files, tmp_path / "levels.pth"]


def test_a_network_larger_than_its_file_is_not_built(tmp_path: Path) -> None:
    files = small_networks(tmp_path)
    said = ("does not fit the", "806 convolutions", "a U-Net of 150 levels")
    for file, result, why in zip(files, measured("weights", files), said, strict=True):
        check(result, file)
        assert re.search(why, result.said), result.said


def test_many_networks_are_read_and_told_in_a_line(tmp_path: Path) -> None:
    """500 small ones under prefixes of their own; and keys that are one long row of places."""
    state = {f"n{i}.model.{j}.weight": np.zeros((1, 1, 1, 1), "f4") for i in range(500) for j in (0, 2, 5)}
    torch_files.write(tmp_path / "many.pth", state, {})
    torch_files.write(tmp_path / "long.pth", {"model." * 300_000 + "x.weight": np.zeros((1, 1, 1, 1), "f4")}, {})
    for file, result in zip(
        files := [tmp_path / "many.pth", tmp_path / "long.pth"], measured("weights", files), strict=True
    ):
        check(result, file)
    with pytest.raises(UserError) as told:
        generators(formats.load(files[0]), files[0])
    assert len(str(told.value)) < 600


def test_words_that_are_no_words_of_ours(tmp_path: Path) -> None:
    for about in ([], {"gen_ab": 3}, "x", {"gen_ab": {"upsample": []}}):
        file = tmp_path / "x.pth"
        torch_files.write(file, {"w": np.zeros((1, 1, 1, 1), "f4")}, about)  # type: ignore[arg-type]
        (result,) = measured("weights", [file])
        assert result.outcome == "refused" and "\n" not in result.said, result.said


def test_what_pytorch_shares_and_sets_is_still_read(tmp_path: Path) -> None:
    """Tied weights, a view and its storage, versions of modules (BUILD), containers that two places share."""
    layer = torch.nn.Conv2d(2, 3, 3)
    state, betas = layer.state_dict(), (0.5, 0.999)
    assert state._metadata  # type: ignore[attr-defined]
    whole = {"a": state, "b": state, "groups": [{"betas": betas}, {"betas": betas}]}
    for how in ({}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}):
        torch.save(whole, tmp_path / "x.pth", **how)
        tree, _ = torch_files.read(tmp_path / "x.pth")
        np.testing.assert_array_equal(tree["b"]["weight"], state["weight"].numpy())
        assert tree["groups"] == [{"betas": list(betas)}] * 2


def test_three_networks_of_one_storage_are_one_too_many(tmp_path: Path) -> None:
    torch.save([torch.zeros(1000).view(10, 100)] * 3, tmp_path / "x.pth")
    with pytest.raises(UserError, match="together more than 2 times"):
        torch_files.read(tmp_path / "x.pth")


def test_a_networks_name_leads_nowhere(tmp_path: Path) -> None:
    """Of several networks in a file, each goes into a file of its name in the folder that was asked for, and no other."""
    patch = {f"model.{i}.weight": torch.zeros(1, 1, 4, 4) for i in (0, 2, 5)}
    for name in ("../../../evil", "a/b", "/tmp/evil", "a\x1b[2J", "a\nb", ".."):
        torch.save({name: patch, "netD": patch}, tmp_path / "x.pth")
        with pytest.raises(UserError, match=r"x\.pth: a network called") as told:
            formats.load(tmp_path / "x.pth")
        assert str(told.value).isprintable()
