"""Reading and writing PyTorch's files without PyTorch: both formats, every view, and files that mean harm."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from train.errors import UserError
from train.weights import torch_files

ZIP, OLD = {}, {"_use_new_zipfile_serialization": False}


def saved(tmp_path: Path, value: object, how: dict[str, bool]) -> Path:
    torch.save(value, tmp_path / "x.pth", **how)
    return tmp_path / "x.pth"


@pytest.mark.parametrize("how", [ZIP, OLD], ids=["zip", "old"])
def test_every_kind_of_tensor_is_read(tmp_path, how):
    base = torch.randn(4, 5, dtype=torch.float64)
    values = {
        "f8": base, "view": base[1:, 2:4], "transposed": base.T, "f4": base.float(), "half": base.half(),
        "bf16": base.bfloat16(), "long": torch.arange(5), "byte": torch.arange(5, dtype=torch.uint8), "bool": base > 0,
        "scalar": torch.tensor(3), "empty": torch.zeros(0, 3), "parameter": torch.nn.Parameter(base.float()),
    }  # fmt: skip
    tree, about = torch_files.read(saved(tmp_path, {"epoch": 7, "nets": [values], "name": "x", "none": None}, how))
    assert about == {} and (tree["epoch"], tree["name"], tree["none"]) == (7, "x", None)
    for key, value in values.items():
        wanted = value.float() if key == "bf16" else value
        np.testing.assert_array_equal(tree["nets"][0][key], wanted.detach().numpy(), strict=True)


def test_what_is_written_torch_reads_in_its_safe_mode(tmp_path):
    state = {f"model.{i}.weight": np.random.default_rng(i).standard_normal((3, 2, i)).astype("f4") for i in (7, 1, 300)}
    state["größe.bias"] = np.zeros((), np.float32)
    torch_files.write(tmp_path / "x.pth", state, {"gen_ab": {"ngf": 4}})
    back = torch.load(tmp_path / "x.pth", weights_only=True)
    assert list(back) == list(state) and all(np.array_equal(back[key].numpy(), state[key]) for key in state)
    again, about = torch_files.read(tmp_path / "x.pth")
    assert about == {"gen_ab": {"ngf": 4}} and all(np.array_equal(again[key], state[key]) for key in state)


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("how", [ZIP, OLD], ids=["zip", "old"])
@pytest.mark.parametrize("harm", [Harmful(), argparse.Namespace(a=1), torch.nn.Linear(1, 1), np.ones(2)])
def test_what_is_not_weights_is_named_and_not_run(tmp_path, monkeypatch, how, harm):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"x\.pth: holds a .*(system|Namespace|Linear|_reconstruct|numpy).* refused"):
        torch_files.read(saved(tmp_path, {"w": torch.zeros(3), "harm": harm}, how))
    assert not (tmp_path / "harmed").exists()


def rewritten(path: Path, change: dict[bytes, bytes], **settings: int) -> Path:
    """The zip with some bytes of its pickle exchanged."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **settings) as archive:
        for name, data in members.items():
            for old, new in change.items():
                if name.endswith("data.pkl"):
                    assert old in data
                    data = data.replace(old, new)
            archive.writestr(name, data)
    return path


def test_a_view_beyond_its_numbers_is_refused(tmp_path):
    def mend(n: int) -> bytes:
        return b"(J" + n.to_bytes(4, "little", signed=True)

    for shape in (4, 1 << 30, -3):  # 3 numbers are stored
        torch_files.write(tmp_path / "x.pth", {"w": np.arange(3, dtype="f4")}, {})
        with pytest.raises(UserError, match=r"beyond its 3 stored|storage, sizes"):
            torch_files.read(rewritten(tmp_path / "x.pth", {mend(3): mend(shape)}))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_damaged_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "x.pth"
    sound = saved(tmp_path, {"w": torch.zeros(500)}, ZIP).read_bytes()
    old = saved(tmp_path, {"w": torch.zeros(500)}, OLD).read_bytes()
    flipped = bytearray(sound)
    flipped[len(flipped) // 2] ^= 255
    text, web = b"hello", b"<!DOCTYPE html>"
    for data in (sound[:-100], old[:-100], old[:40], bytes(flipped), b"", text, web, b"PK", b"\x80", pickle.dumps([1])):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"x\.pth: (damaged|not a PyTorch file|holds a|a zip)"):
            torch_files.read(path)
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        torch_files.read(path)
    torch_files.write(path, {"w": np.zeros(9, "f4")}, {})
    with pytest.raises(UserError, match="compressed"):
        torch_files.read(rewritten(path, {}, compression=zipfile.ZIP_DEFLATED))
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=r"x\.pth: TorchScript.*torch\.jit\.load\(.*x\.pth'\)\.state_dict"):
        torch_files.read(path)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(0, (7,), (1,)), (5, (2,), (1,)), (0, (3, 3), (3, 1)), (0, (7,), (0,)), (0, (2,), (-1,))]
)  # fmt: skip
def test_a_view_is_no_larger_than_its_storage(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """Also where it would repeat numbers: what a few bytes hold must not fill the memory."""
    storage = torch_files.Storage("<f4", 6)
    storage.fill(np.arange(6, dtype="<f4").tobytes())
    assert torch_files.View(storage, 0, (2, 3), (3, 1)).array().tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match=r"reaches beyond its 6 stored numbers|not made of a storage"):
        torch_files.View(storage, offset, shape, strides).array()
