"""Archives from strangers: what must not be unpacked is not, and what is damaged is found."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from train.errors import UserError
from train.prepare import unpack
from train.prepare.unpack import image_place, read_tar, unzip


def archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path / "a.zip", "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return path / "a.zip"


def test_images_of_the_four_folders_and_nothing_else(tmp_path: Path) -> None:
    names = ("set/trainA/1.jpg", "set/testB/deep/2.PNG", "trainB/3.webp")
    others = ("set/readme.txt", "set/trainA/.hidden.jpg", "__MACOSX/trainA/1.jpg", "set/valA/1.jpg", "trainA/run.sh", "trainA.jpg")  # fmt: skip
    file = archive(tmp_path, *((name, name.encode()) for name in names + others), ("set/trainA/", b""))
    assert unzip(file, tmp_path / "out") == 3
    written = {p.relative_to(tmp_path / "out").as_posix(): p.read_text() for p in (tmp_path / "out").rglob("*") if p.is_file()}  # fmt: skip
    assert written == {"trainA/1.jpg": names[0], "testB/deep/2.PNG": names[1], "trainB/3.webp": names[2]}


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("trainA/link.jpg")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("member", "told"),
    [
        ("../trainA/1.jpg", "leads out"),
        ("trainA/../../1.jpg", "leads out"),
        ("/trainA/1.jpg", "leads out"),
        ("C:/trainA/1.jpg", "leads out"),
        ("trainA\\..\\1.jpg", "leads out"),
        ("../elsewhere.txt", "leads out"),  # not even wanted
        (link(), "link or a device"),
    ],
)
def test_names_and_links_that_lead_elsewhere(tmp_path: Path, member: str | zipfile.ZipInfo, told: str) -> None:
    file = archive(tmp_path, ("trainA/good.jpg", b"x"), (member, b"/etc/passwd"))
    with pytest.raises(UserError, match=told):
        unzip(file, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"a.zip"}  # nothing was written, here or there


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = archive(tmp_path, ("trainA/1.jpg", bytes(3 << 20)), method=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="looks like a bomb"):
        unzip(file, tmp_path / "out")
    monkeypatch.setattr(unpack, "MOST_RATIO", 10_000)
    assert unzip(file, tmp_path / "out") == 1
    monkeypatch.setattr(unpack, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="looks like a bomb"):
        unzip(archive(tmp_path, ("trainA/1.jpg", bytes(600)), ("trainA/2.jpg", bytes(600))), tmp_path / "two")
    monkeypatch.setattr(unpack, "MOST_MEMBERS", 1)
    with pytest.raises(UserError, match="holds 2 members"):
        unzip(archive(tmp_path, ("trainA/1.jpg", b""), ("trainA/2.jpg", b"")), tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_a_member_longer_than_it_says(tmp_path: Path) -> None:
    """Both records of the size are forged: what is read goes by them, and then the CRC does not fit."""
    file = archive(tmp_path, ("trainA/1.jpg", bytes(200_000)), method=zipfile.ZIP_DEFLATED)
    size, forged = (200_000).to_bytes(4, "little"), (100_000).to_bytes(4, "little")
    assert file.read_bytes().count(size) == 2
    file.write_bytes(file.read_bytes().replace(size, forged))
    with pytest.raises(UserError, match="damaged"):
        unzip(file, tmp_path / "out")


def test_damage(tmp_path: Path) -> None:
    file = archive(tmp_path, ("trainA/1.jpg", b"picture " * 100))
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"picture picture", b"picture pictuRe", 1))
    with pytest.raises(UserError, match=r"damaged.*CRC"):
        unzip(file, tmp_path / "out")
    for broken in (whole[:-30], b"<html>not found</html>", b""):
        file.write_bytes(broken)
        with pytest.raises(UserError, match="damaged, or not a zip"):
            unzip(file, tmp_path / "more")


def test_a_place_taken_twice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds trainA/1\.jpg twice"):
        unzip(archive(tmp_path, ("a/trainA/1.jpg", b"x"), ("b/trainA/1.jpg", b"y")), tmp_path / "out")


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 10}))
    with pytest.raises(UserError, match="make room"):
        unzip(archive(tmp_path, ("trainA/1.jpg", bytes(11))), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_places() -> None:
    assert image_place("x/y/trainA/z/1.jpg") == Path("trainA/z/1.jpg")
    assert image_place("trainA") is None and image_place("x/1.jpg") is None


def tar(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path / "a.tgz", "w:gz") as file:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "/etc/passwd"
            file.addfile(info, io.BytesIO(content))
    return path / "a.tgz"


def test_tar_gives_wanted_files_only(tmp_path: Path) -> None:
    file = tar(tmp_path, ("p/1.png", b"one", tarfile.REGTYPE), ("p/2.png", b"", tarfile.SYMTYPE), ("../3.png", b"three", tarfile.REGTYPE))  # fmt: skip
    assert list(read_tar(file, lambda name: name.endswith(("1.png", "2.png")))) == [("p/1.png", b"one")]
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(UserError, match=r"damaged, or not a \.tar\.gz"):
        list(read_tar(file, lambda name: True))


def test_tar_bomb(tmp_path: Path) -> None:
    file = tar(tmp_path, ("other.bin", bytes(3 << 20), tarfile.REGTYPE), ("p/1.png", b"one", tarfile.REGTYPE))
    with pytest.raises(UserError, match="looks like a bomb"):
        list(read_tar(file, lambda name: name.endswith(".png")))


def test_small_members_that_are_bombs_together(tmp_path: Path) -> None:
    members = [(f"trainA/{i}.jpg", bytes(1 << 20)) for i in range(40)]
    with pytest.raises(UserError, match="looks like a bomb"):
        unzip(archive(tmp_path, *members, method=zipfile.ZIP_DEFLATED), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    few = archive(
        tmp_path, *members[:10], method=zipfile.ZIP_DEFLATED
    )  # drawings of one colour may be as small as that
    assert unzip(few, tmp_path / "few") == 10


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE, tarfile.XGLTYPE])
def test_headers_of_gigabytes_are_not_read(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("p/1.png")
    info.type, info.size = kind, 2 << 30
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with pytest.raises(UserError, match=r"header of 2,147,483,648 bytes"):
        list(read_tar(tmp_path / "a.tgz", lambda name: True))


def test_endless_empty_members_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "MOST_MEMBERS", 50)
    file = tar(tmp_path, *((f"p/{i}", b"", tarfile.REGTYPE) for i in range(60)))
    with pytest.raises(UserError, match="more than 50 members"):
        list(read_tar(file, lambda name: False))
