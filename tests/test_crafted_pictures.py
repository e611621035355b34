"""Pictures from strangers: only of the kinds that we name, never waited for, and whatever is wrong with one is one line."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nn import ResnetGenerator
from tests.attack.measure import CLEAR, measured
from train.data import saving
from train.data.images import decode, inspect, load_image
from train.data.opening import KINDS, opened
from train.data.sources import ImageFolder
from train.errors import UserError
from train.files.walk import files_below
from train.inference.pictures import translate_images
from train.inference.places import find
from train.prepare.folders import LeftOut, look_at
from train.prepare.paper import unreadable
from train.weights import formats

ROOT = Path(__file__).parents[1]
POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n8 8 scale 8 8 8 [8 0 0 8 0 0] {} image\n%%EOF\n"
)


def test_pictures_are_opened_in_one_place_which_names_their_kinds() -> None:
    calls = {
        path.relative_to(ROOT).as_posix(): re.findall(
            r"Image\.open\(.*|np\.load\(.*|imread\(.*", path.read_text("utf-8")
        )
        for path in [*ROOT.glob("train/**/*.py"), *ROOT.glob("nn/**/*.py")]
    }
    assert {name: found for name, found in calls.items() if found} == {
        "train/data/opening.py": ["Image.open(file, formats=_kinds(head)))"]
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("read", [inspect, load_image, decode])
def test_what_is_named_png_may_be_nothing_else_in_pillows_list(tmp_path, read, monkeypatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("another program was started"))
    Image.init()
    tried = 0
    for kind in sorted({*Image.SAVE, "EPS"}):
        path = tmp_path / "x.png"
        try:
            path.write_bytes(POSTSCRIPT if kind == "EPS" else saved(kind))
        except (OSError, ValueError, KeyError, AttributeError, RuntimeError):
            continue  # a kind that Pillow does not write here
        if kind in (*KINDS, "MPO"):
            read(path)
            continue
        tried += 1
        with pytest.raises(
            UserError, match=r"x\.png: cannot be read as an image \(not an image of a known kind, JPEG, PNG"
        ):
            read(path)
    assert tried > 10


def saved(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("1" if kind in ("MSP", "XBM") else "RGB", (32, 32)).save(file, kind)
    return file.getvalue()


def test_every_way_to_a_picture_tells_of_postscript(tmp_path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "bad.png").write_bytes(POSTSCRIPT)
    saving.save_image(folder / "good.png", np.zeros((8, 8, 3), np.float32))
    assert "bad.png" in ImageFolder(folder).problems[0]
    assert "not an image of a known kind" in unreadable(folder / "bad.png") and not unreadable(folder / "good.png")
    log: list[LeftOut] = []
    assert len(look_at(folder, log)) == 1 and "bad.png" in log[0].why
    formats.save(tmp_path / "g.npz", {"gen_ab": ResnetGenerator(ngf=1, n_blocks=1)})
    outcome = translate_images(tmp_path / "g.npz", folder, tmp_path / "out", device="cpu")
    assert len(outcome.written) == 1 and "not an image of a known kind" in outcome.failed[folder / "bad.png"]


@pytest.mark.parametrize(
    "error", [RuntimeError, RecursionError, struct.error, SyntaxError, KeyError, AssertionError, OverflowError]
)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_whatever_pillow_raises_becomes_one_line(tmp_path, monkeypatch, name, error) -> None:
    saving.save_image(tmp_path / name, np.zeros((8, 8, 3), np.float32))

    def fail(*a: object, **k: object) -> None:
        raise error("odd\nthing")

    for method in ("load", "getexif", "convert"):
        with monkeypatch.context() as patched:
            patched.setattr(Image.Image if method == "convert" else type(Image.open(tmp_path / name)), method, fail)
            for read in (inspect, lambda path: load_image(path, 1)):
                try:
                    read(tmp_path / name)
                except UserError as told:
                    assert re.fullmatch(rf".*{name}: cannot be .*odd.*", str(told)), told
    with pytest.raises(MemoryError), opened(tmp_path / name):
        raise MemoryError


def test_pipes_and_devices_are_told_and_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.jpg").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "c.npy")
    problems = ImageFolder(tmp_path).problems
    assert len(problems) == 3 and all("a pipe, a socket or a device" in problem for problem in problems)
    with pytest.raises(UserError, match=r"a\.png: is neither a file nor a folder"):
        find([tmp_path / "a.png"], tmp_path / "out")


def test_links_that_lead_round_are_followed_once_and_told(tmp_path, capsys) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        saving.save_image(tmp_path / name / f"{name}.png", np.zeros((8, 8, 3), np.float32))
    for name in ("a", "b", "c"):
        for other in ("a", "b", "c"):
            (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    (tmp_path / "up").symlink_to(tmp_path)
    found = files_below(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in found.files) == ["a/a.png", "b/b.png", "c/c.png"]
    assert len(found.again) == 10
    folder = ImageFolder(tmp_path)
    assert len(folder) == 3 and "a link to a folder that is read already" in folder.conversions()[0]
    for inputs in ([tmp_path], [tmp_path / "**" / "*.png"]):
        assert len(find(inputs, tmp_path / "out")) == 3
        assert "read already" in capsys.readouterr().err


def test_a_folder_that_only_a_link_leads_to_is_read(tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    saving.save_image(tmp_path / "photos" / "a.png", np.zeros((8, 8, 3), np.float32))
    (tmp_path / "trainA").mkdir()
    (tmp_path / "trainA" / "link").symlink_to(tmp_path / "photos")
    assert ImageFolder(tmp_path / "trainA").files == ["link/a.png"]


@pytest.mark.parametrize(("pattern", "fit"), [
    ("**/*.png", "1.png a/2.png a/b/3.png"), ("a/**/*.png", "a/2.png a/b/3.png"), ("**/b/*.png", "a/b/3.png"),
    ("**", "1.png a/2.png a/b/3.png"), ("a/**/b/**/3.png", "a/b/3.png"), ("**/.h/*.png", ".h/4.png"), ("*/*.png", "a/2.png"),
])  # fmt: skip
def test_patterns_fit_what_the_shell_has_them_fit(tmp_path, pattern, fit) -> None:
    for name in ("1.png", "a/2.png", "a/b/3.png", ".h/4.png", "a/.5.png"):
        saving.save_image(tmp_path / name, np.zeros((8, 8, 3), np.float32))
    found = find([tmp_path / pattern], tmp_path / "out")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in found) == fit.split()


def test_names_cannot_write_on_the_terminal(tmp_path) -> None:
    name = "a\x1b]0;title\x07\nerror: all is lost\u202egpj.png"
    (tmp_path / name).write_bytes(b"x")
    (problem,) = ImageFolder(tmp_path).problems
    assert r"a\x1b]0;title\x07\nerror: all is lost\u202egpj.png" in problem
    for text in (problem, str(UserError(f"{tmp_path / name}: bad"))):
        assert all(c.isprintable() or c == "\n" for c in text)
    with pytest.raises(UserError, match="no such file") as told:
        load_image(tmp_path / "no\x1b[2J\nsuch.png")
    assert str(told.value).isprintable()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def many_scans() -> bytes:
    """A progressive JPEG whose last scan, of 5 kB for 9 million pixels, stands there 400 times."""
    file = io.BytesIO()
    Image.new("L", (3000, 3000)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * 400 + data[end:]


def many_frames() -> bytes:
    """A TIFF of 20,000 frames, which all show the same pixels."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "TIFF")
    data = file.getvalue()
    start = int.from_bytes(data[4:8], "little")
    entries = data[start : start + 2 + 12 * int.from_bytes(data[start : start + 2], "little")]
    first = start + len(entries)  # where the offset of the next frame stands
    offsets = [len(data) + i * (len(entries) + 4) for i in range(20_001)]
    frames = b"".join(entries + struct.pack("<I", after) for after in [*offsets[1:-1], 0])
    return data[:first] + struct.pack("<I", offsets[0]) + data[first + 4 :] + frames


def bombs(folder: Path) -> list[Path]:
    """Small files that would take long, or much memory, before a pixel is seen."""
    files = {}
    files["scans.jpg"] = many_scans()
    files["frames.tif"] = many_frames()
    files["tags.tif"] = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 256, 4, (1 << 32) - 1, 8) + bytes(6)
    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    text = b"k\0\0" + zlib.compress(bytes(300 << 20), 9)
    files["text.png"] = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"zTXt", text) + chunk(b"IEND", b"")
    files["profile.png"] = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"iCCP", text) + chunk(b"IEND", b"")
    files["sides.png"] = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1 << 30, 1 << 30, 8, 2, 0, 0, 0))
    files["sides.ppm"] = b"P6 1000000 1000000 255\n" + bytes(100)
    files["sides.bmp"] = b"BM" + struct.pack(
        "<IIIIiiHHIIIIII", 100, 0, 54, 40, 1 << 30, 1 << 30, 1, 24, 0, 0, 0, 0, 0, 0
    )
    npy = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 3), }"
    files["sides.npy"] = b"\x93NUMPY\x01\x00" + len(npy).to_bytes(2, "little") + npy + bytes(400)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


@pytest.mark.skipif(not CLEAR.exists(), reason="memory is read from /proc")
def test_bombs_are_refused_at_once(tmp_path) -> None:
    files = bombs(tmp_path)
    for file, result in zip(files, measured("picture", files), strict=True):
        assert result.outcome == "refused" and file.name in result.said, f"{file.name}: {result}"
        assert result.seconds < 1, f"{file.name}: {result}"
        assert result.peak < 2 * file.stat().st_size + (200 << 20), f"{file.name}: {result}"
