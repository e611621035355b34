"""`python -m train.prepare`: a set of the paper and the emoji from a server on this machine, two folders, mistakes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.flaky_server import serving
from train.prepare import download, emoji, paper, place
from train.prepare.command import listing, main
from train.prepare.download import Expected
from train.prepare.place import PARTS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "PAUSE", 0)
    return tmp_path


def picture(seed: int, size: int = 32) -> Image.Image:
    """A picture unlike those of other seeds: smooth, as photos are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def names(folder: Path | str) -> dict[str, list[str]]:
    return {part: sorted(p.name for p in (Path(folder) / part).glob("*")) for part in PARTS}


# -- a set of the paper


def maps_zip(broken: int = 0) -> bytes:
    """Like the real maps.zip, with 3 + 3 + 2 + 2 images; `broken` of trainA are no images."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part, count in zip(PARTS, (3, 3, 2, 2), strict=True):
            for i in range(count):
                content = b"no image" if part == "trainA" and i < broken else encoded(picture(i), "JPEG")
                archive.writestr(f"maps/{part}/{i}_{part[-1]}.jpg", content)
        archive.writestr("maps/notes.txt", "x")
    return file.getvalue()


@pytest.fixture
def small_maps(monkeypatch: pytest.MonkeyPatch) -> bytes:
    body = maps_zip()
    about = paper.PaperSet("photos", "maps", len(body), (3, 3, 2, 2), hashlib.sha256(body).hexdigest(), "a test")
    monkeypatch.setitem(paper.SETS, "maps", about)
    return body


def test_a_set_of_the_paper_over_a_bad_line(small_maps: bytes, here: Path) -> None:
    with serving({"body": small_maps, "cut": 5000}, {"status": 500}, {"body": small_maps}) as server:
        assert main(["maps", "--url", server.url]) == 0
    assert server.asked[-1]["range"] == "bytes=5000-"
    got = names("datasets/maps")
    assert got["trainA"] == ["0_A.jpg", "1_A.jpg", "2_A.jpg"]
    assert got["testA"] == got["testB"] == ["0.jpg", "1.jpg"]  # so evaluation knows the pairs
    source = json.loads(Path("datasets/maps/source.json").read_text())
    assert source["checksum"] == f"sha256:{hashlib.sha256(small_maps).hexdigest()}" and source["url"] == server.url
    assert "no licence" in Path("datasets/maps/README.txt").read_text()
    assert [p.name for p in (here / "datasets").iterdir()] == ["maps"]  # no archive, no building site


def test_what_was_fetched_before_a_failure_is_used_again(
    small_maps: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"body": small_maps}) as server:
        with monkeypatch.context() as patch:
            patch.setattr("train.prepare.unpack.MOST_MEMBERS", 1)
            assert main(["maps", "--url", server.url]) == 2
        assert "holds 11 members" in capsys.readouterr().err and not Path("datasets/maps").exists()
        assert main(["maps", "--url", server.url]) == 0
    assert len(server.asked) == 1


def test_another_version_is_refused_unless_wanted(small_maps: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    other = maps_zip(broken=1)
    with serving({"body": other}) as server:
        assert main(["maps", "--url", server.url]) == 2
        assert "--any_version" in capsys.readouterr().err
        assert main(["maps", "--url", server.url, "--any_version"]) == 2
    assert "1 of 10 images cannot be read, such as trainA/0_A.jpg" in capsys.readouterr().err
    assert not Path("datasets/maps").exists()


def test_an_image_that_cannot_be_read_is_left_out_and_named(here: Path) -> None:
    for i in range(40):
        (here / "trainA").mkdir(exist_ok=True)
        picture(i).save(here / "trainA" / f"{i:02}.png")
    whole = (here / "trainA" / "07.png").read_bytes()
    (here / "trainA" / "07.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(paper.UserError, match="no images in trainB"):
        paper.check_images(here)
    (here / "trainB").mkdir()
    picture(0).save(here / "trainB" / "0.png")
    (here / "trainA" / "07.png").write_bytes(whole[: len(whole) // 2])
    assert [line.split(":")[0] for line in paper.check_images(here)] == ["trainA/07.png"]
    assert not (here / "trainA" / "07.png").exists()


# -- emoji


def emoji_tgz(house: str, index: list[dict[str, Any]], missing: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        contents = {"package/emoji.json": json.dumps(index).encode()}
        for entry in index:
            for each in (entry, *entry.get("skin_variations", {}).values()):
                image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
                image.paste((200, 20, 20, 255), (8, 8, 56, 56))
                contents[f"package/img/{house}/64/{each['image']}"] = encoded(image)
        contents.pop(f"package/img/{house}/64/{missing}", None)
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


INDEX = [
    {"image": f"e{i}.png", "skin_variations": {t: {"image": f"e{i}-{t}.png"} for t in "xyz"}} if i % 3 == 0 else {"image": f"e{i}.png"}
    for i in range(20)
]  # fmt: skip


def test_emoji_do_not_leak_by_skin_tone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bodies = [emoji_tgz("google", INDEX), emoji_tgz("twitter", INDEX, missing="e3-x.png")]
    known = {house: Expected(len(body), "") for house, body in zip(emoji.ARCHIVES, bodies, strict=True)}
    monkeypatch.setattr(emoji, "ARCHIVES", known)
    with serving(*({"body": body} for body in bodies)) as server:
        assert main(["emoji", "--test", "5", "--url", server.url + "?{package}"]) == 0
    got = names("datasets/emoji")
    kinds = {part: {name.split("-")[0].split(".")[0] for name in files} for part, files in got.items()}
    assert got["testA"] == got["testB"] and len(got["testA"]) == 5 and not any("-" in name for name in got["testA"])
    assert not (kinds["trainA"] & kinds["trainB"] or (kinds["trainA"] | kinds["trainB"]) & kinds["testA"])
    assert set.union(*kinds.values()) == {f"e{i}" for i in range(20)}
    shown = got["trainA"] + got["trainB"]
    assert any("-" in name for name in shown)
    assert "e3-x.png" not in shown  # only one house draws it
    with Image.open(next(Path("datasets/emoji/trainB").glob("*"))) as image:
        assert image.mode == "RGB" and image.size == (64, 64) and image.getpixel((0, 0)) == (255, 255, 255)
    text = Path("datasets/emoji/README.txt").read_text()
    assert "Apache License 2.0" in text and "CC-BY 4.0" in text and not Path("datasets/.downloads").exists()
    assert main(["emoji", "--test", "3", "--force", "--any_version", "--url", "http://127.0.0.1:1/{package}"]) == 2
    assert names("datasets/emoji") == got  # a failure costs nothing


# -- two folders


def two_folders(root: Path) -> tuple[Path, Path]:
    for domain, first in (("cats", 0), ("dogs", 100)):
        (root / domain / "deep").mkdir(parents=True)
        for i in range(20):
            picture(first + i).save(root / domain / ("deep" if i % 2 else "") / f"{i:02}.png")
    return root / "cats", root / "dogs"


def test_two_folders_are_checked_split_and_freed_of_duplicates(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cats, dogs = two_folders(here)
    for name in ("copy.png", "copy2.png"):
        (cats / name).write_bytes((cats / "00.png").read_bytes())
    picture(2, 64).save(cats / "larger.jpg", quality=85)  # 02.png again, in another size and format
    Image.fromarray((np.asarray(picture(4)) * 0.95).astype(np.uint8)).save(cats / "zdarker.png")
    picture(110).save(cats / "a_dog.png")  # 10.png of the dogs
    (dogs / "torn.png").write_bytes((dogs / "00.png").read_bytes()[:200])
    (dogs / "notes.txt").write_text("no image")
    assert main(["--from", "cats", "dogs", "--name", "pets", "--test_fraction", "0.25"]) == 0
    log = Path("datasets/pets/left_out.txt").read_text().splitlines()
    assert len(log) == 6 and "cats/copy2.png: equals cats/00.png" in log and log[0].startswith("dogs/torn.png: ")
    assert "cats/copy.png: equals cats/00.png" in log
    assert "cats/larger.jpg: looks the same as cats/02.png" in log
    assert "cats/zdarker.png: looks the same as cats/04.png" in log
    assert "cats/a_dog.png: equals dogs/10.png; both are left out" in log
    files = {part: {p.relative_to(Path("datasets/pets") / part).as_posix() for p in (Path("datasets/pets") / part).rglob("*.png")} for part in PARTS}  # fmt: skip
    assert [len(files[part]) for part in PARTS] == [15, 14, 5, 5]
    assert not files["trainA"] & files["testA"] and not files["trainB"] & files["testB"]
    assert files["trainB"] | files["testB"] == {f"{'deep/' * (i % 2)}{i:02}.png" for i in range(20) if i != 10}
    assert (Path("datasets/pets/trainA") / min(files["trainA"])).read_bytes() == (
        cats / min(files["trainA"])
    ).read_bytes()
    assert "left out 6 images" in capsys.readouterr().out
    assert main(["--from", "cats", "dogs", "--name", "all", "--keep_similar"]) == 0
    assert len(Path("datasets/all/left_out.txt").read_text().splitlines()) == 4


def test_different_pictures_are_not_taken_for_the_same(here: Path) -> None:
    """Flat, striped and shifted ones: alike in some way, but not the same."""
    (here / "a").mkdir()
    ramp = np.tile(np.arange(32, dtype=np.uint8) * 6, (32, 1))
    for i, level in enumerate((0, 60, 120, 180, 240)):
        Image.new("L", (32, 32), level).save(here / "a" / f"flat{i}.png")
    Image.fromarray(ramp).save(here / "a" / "ramp.png")
    Image.fromarray(ramp.T).save(here / "a" / "ramp_down.png")
    Image.fromarray(255 - ramp).save(here / "a" / "ramp_left.png")
    (here / "b").mkdir()
    for i in range(4):
        picture(i).save(here / "b" / f"{i}.png")
    assert main(["--from", "a", "b", "--name", "set", "--test_fraction", "0"]) == 0
    assert len(names("datasets/set")["trainA"]) == 8 and not Path("datasets/set/left_out.txt").exists()
    assert not names("datasets/set")["testA"]


def test_folders_of_pairs_keep_their_pairs_for_the_test(here: Path) -> None:
    for domain, first in (("photo", 0), ("map", 50)):
        (here / domain).mkdir()
        for i in range(10):
            picture(first + i).save(here / domain / f"{i}.png")
    assert main(["--from", "photo", "map", "--test_fraction", "0.3"]) == 0
    got = names("datasets/photo2map")
    assert got["testA"] == got["testB"] and len(got["testA"]) == 3 and len(got["trainA"]) == 7


def test_a_share_is_kept_apart_for_choosing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """valA and valB, disjoint from the rest; the test images are those without it, and of pairs both hold the same."""
    two_folders(here)
    for name, options in (("plain", []), ("val", ["--val_fraction", "0.2"])):
        assert main(["--from", "cats", "dogs", "--name", name, "--test_fraction", "0.25", *options]) == 0
    found = {
        part: {
            p.relative_to(Path("datasets/val") / part).as_posix() for p in (Path("datasets/val") / part).rglob("*.png")
        }
        for part in (*PARTS, "valA", "valB")
    }
    assert {part: len(some) for part, some in found.items()} == {
        "trainA": 11, "trainB": 11, "testA": 5, "testB": 5, "valA": 4, "valB": 4
    }  # fmt: skip
    assert found["valA"] == found["valB"] and found["testA"] == found["testB"]  # the folders hold the same names
    assert len(found["trainA"] | found["testA"] | found["valA"]) == 20
    assert found["testA"] == {
        p.relative_to("datasets/plain/testA").as_posix() for p in Path("datasets/plain/testA").rglob("*.png")
    }
    assert not Path("datasets/plain/valA").exists()
    assert main(["--from", "cats", "dogs", "--name", "x", "--val_fraction", "0.9"]) == 2
    assert "--val_fraction is 0.9" in capsys.readouterr().err


def letters(folder: Path, size: int, side: int = 64) -> None:
    """The alphabet on white, a picture each."""
    folder.mkdir()
    font = ImageFont.load_default(size=size)
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        image = Image.new("RGB", (side, side), "white")
        ImageDraw.Draw(image).text((side / 2, side / 2), letter, "black", font, anchor="mm")
        image.save(folder / f"{letter}.png")


@pytest.mark.parametrize(("size", "side"), [(40, 64), (24, 256)])
def test_letters_on_a_flat_ground_are_not_taken_for_the_same(size: int, side: int, here: Path) -> None:
    """E and F, B and R: nearly all of the picture is ground. A letter saved again still is the same."""
    letters(here / "thin", size, side)
    letters(here / "wide", size + 6, side)
    with Image.open("thin/R.png") as image:
        image.save("thin/Z_again.jpg", quality=85)
        image.resize((2 * side, 2 * side)).save("thin/Z_larger.png")
    assert main(["--from", "thin", "wide", "--name", "set"]) == 0
    assert [line.split(": ")[0] for line in Path("datasets/set/left_out.txt").read_text().splitlines()] == [
        "thin/Z_again.jpg", "thin/Z_larger.png",
    ]  # fmt: skip


def test_pictures_of_one_brightness_and_other_colours_differ(here: Path) -> None:
    for domain, first in (("a", 0), ("b", 1)):
        (here / domain).mkdir()
        for i, hue in enumerate(((200, 60, 60), (20, 139, 60), (60, 60, 235)), first):  # each about 100 in gray
            image = Image.new("RGB", (64, 64), "white")
            ImageDraw.Draw(image).ellipse((10, 10, 54, 54), hue if domain == "a" else tuple(255 - x for x in hue))
            image.save(here / domain / f"{i}.png")
    assert main(["--from", "a", "b", "--name", "set"]) == 0 and not Path("datasets/set/left_out.txt").exists()


def test_a_picture_and_its_partner_may_look_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Colour from gray: partners bear one name. Equal byte by byte they are one picture, in whichever folder."""
    (here / "gray").mkdir()
    (here / "colour").mkdir()
    for i in range(8):
        image = picture(i).convert("L").convert("RGB")
        image.save(here / "colour" / f"{i}.png")
        image.convert("L").save(here / "gray" / f"{i}.jpg", quality=95)
    shutil.copy("gray/7.jpg", "colour/7.jpg")
    Path("colour/7.png").unlink()
    assert main(["--from", "gray", "colour", "--name", "set"]) == 0
    assert Path("datasets/set/left_out.txt").read_text() == "gray/7.jpg: equals colour/7.jpg; both are left out\n"
    for i in range(8):
        os.rename(f"gray/{i}.jpg", f"gray/other{i}.jpg")
    capsys.readouterr()
    assert main(["--from", "gray", "colour", "--name", "none"]) == 2
    said = capsys.readouterr().err
    assert "leaves 0 images; wanted at least 2; left out 8 images, such as:" in said
    assert "7 of them only look the same" in said and "--keep_similar keeps them" in said


def test_the_least_alike_of_what_was_left_out_come_first(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cats, _ = two_folders(here)
    shutil.copy(cats / "00.png", cats / "copy.png")
    for i, quality in ((2, 95), (4, 60), (6, 85)):
        with Image.open(cats / f"{i:02}.png") as image:
            image.resize((128, 128)).save(cats / f"z{quality}.jpg", quality=quality)
    assert main(["--from", "cats", "dogs", "--name", "set"]) == 0
    lines = capsys.readouterr().out.split("such as:\n")[1].splitlines()
    assert [line.split(":")[0].strip() for line in lines[:4]] == [
        "cats/z60.jpg", "cats/z85.jpg", "cats/z95.jpg", "cats/copy.png",
    ]  # fmt: skip


def test_the_readme_has_the_command_that_was_typed(here: Path) -> None:
    two_folders(here)
    typed = ["--from", "cats", "dogs", "--name", "my set", "--keep_similar", "--seed=3"]
    assert main([*typed, "--force"]) == 0
    text = Path("datasets/my set/README.txt").read_text()
    assert "--dataroot 'datasets/my set'\n" in text
    made_by = shlex.split(text.split("Made by: python -m train.prepare ")[1])
    assert made_by == [*typed, "--test_fraction", "0.1", "--val_fraction", "0.0"]
    before = names("datasets/my set")
    assert main([*made_by, "--force"]) == 0 and names("datasets/my set") == before


# -- mistakes


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("horse2zebr", "there is no set 'horse2zebr'"),
        ("cityscapes", "do not allow others to hand it on"),
        ("here", "--from here DIR_B"),
        ("earth --from here here", "give one of them"),
        ("--from here here", "one and the same folder"),
        ("--from here nowhere", "--from nowhere: there is no such folder"),
        ("--from here empty", "holds no image that can be read"),
        ("--from here broken", "holds no image that can be read; broken/x.png"),
        ("--from here", "expected 2 arguments"),
        ("--from here other --test_fraction 0.9", "--test_fraction is 0.9"),
        ("--from here other --name a/b", "--name 'a/b' must name one folder"),
        ("--from here other --size 7", "--size does not apply to --from"),
        ("maps --test 3", "--test does not apply to a set of the paper"),
        ("maps --name x", "--name goes with --from"),
        ("--seed 3", "which set?"),
        ("--from here other --out set.zip", "set.zip: .zip is a kind of file; wanted a folder"),
        ("emoji --test -1", "--test is -1; wanted at least 0"),
        ("maps --url maps.zip", "not an address"),
        ("maps --ulr x", "did you mean --url?"),
    ],
)
def test_mistakes_are_told_in_one_line(line: str, told: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("here", "other", "empty", "broken"):
        (here / folder).mkdir()
    for i in range(3):
        picture(i).save(here / "here" / f"{i}.png")
    (here / "broken" / "x.png").write_text("no image")
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert told in err and "Traceback" not in err and not out
    assert not Path("datasets").exists() or not any(p for p in Path("datasets").iterdir() if p.name != ".downloads")


def test_the_list_names_every_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert out.strip() == listing() and all(name in out for name in ("earth", "emoji", *paper.SETS))


def test_what_killed_runs_left_is_cleared_and_a_set_put_back(tmp_path: Path) -> None:
    """Of processes that are gone; a living one's folder stays."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    out, start = tmp_path / "set", place.scratch_start(tmp_path / "set")
    for number, part in ((gone.pid, "fresh"), (gone.pid, "old"), (os.getpid(), "fresh")):
        (tmp_path / f"{start}{number}-{part}" / part).mkdir(parents=True)
    place.clear(out)
    assert out.is_dir() and [p.name for p in tmp_path.iterdir() if p != out] == [f"{start}{os.getpid()}-fresh"]


def test_a_name_like_an_option_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--from", "a", "b", "--name", "-x"]) == 2 and "type --name=VALUE" in capsys.readouterr().err
    assert main(["--from", "a", "b", "--name=-x"]) == 2 and "begins with a dash" in capsys.readouterr().err
