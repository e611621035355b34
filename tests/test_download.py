"""Downloads from a server that fails on purpose."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import urllib.request
from pathlib import Path

import pytest

from tests.flaky_server import BODY, serving
from train.errors import UserError
from train.prepare import download
from train.prepare.download import Expected, fetch

KNOWN = Expected(len(BODY), "sha256:" + hashlib.sha256(BODY).hexdigest())
CUT = 300_000  # bytes


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setattr(download, "TIMEOUT", 5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "file.zip"


def left(file: Path) -> set[str]:
    return {path.name for path in file.parent.iterdir()} if file.parent.exists() else set()


@pytest.mark.parametrize("expected", [KNOWN, Expected()])
def test_whole_at_once(file: Path, expected: Expected) -> None:
    with serving({}) as server:
        assert fetch(server.url, file, expected) == KNOWN.checksum
    assert file.read_bytes() == BODY and left(file) == {"file.zip"}
    assert "range" not in server.asked[0] and server.asked[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize("expected", [KNOWN, Expected()])
def test_a_line_that_breaks_twice_is_taken_up_where_it_broke(file: Path, expected: Expected) -> None:
    with serving({"cut": CUT}, {"cut": 100}, {}) as server:
        fetch(server.url, file, expected)
    assert file.read_bytes() == BODY
    assert [asked.get("range") for asked in server.asked] == [None, f"bytes={CUT}-", f"bytes={CUT + 100}-"]
    assert server.asked[1]["if-range"] == '"one"'


def test_a_later_call_goes_on_too(file: Path) -> None:
    with serving({"cut": CUT}, {"status": 503}) as server, pytest.raises(UserError, match=f"503.*tried 6 times.*{CUT:,} bytes"):  # fmt: skip
        fetch(server.url, file)
    assert len(server.asked) == 6 and left(file) == {"file.zip.part", "file.zip.part.json"}
    with serving({}) as again:
        note = file.with_name("file.zip.part.json")
        note.write_text(note.read_text().replace(server.url, again.url))  # the same address: another port, here
        fetch(again.url, file)
    assert again.asked[0]["range"] == f"bytes={CUT}-" and file.read_bytes() == BODY and left(file) == {"file.zip"}


@pytest.mark.parametrize("then", [{"body": BODY[::-1], "etag": '"two"'}, {"ranges": False, "body": BODY[::-1]}])
def test_a_file_that_changed_or_cannot_be_resumed_is_fetched_anew(file: Path, then: dict) -> None:
    """A changed ETag makes the server answer 200 and all of it; so does one that knows no ranges."""
    with serving({"cut": CUT}, then) as server:
        fetch(server.url, file)
    assert server.asked[1]["range"] and file.read_bytes() == BODY[::-1]


def test_without_anything_that_tells_versions_apart_nothing_is_resumed(file: Path) -> None:
    """A weak ETag does not vouch for bytes; but a known checksum does, at the end."""
    with serving({"cut": CUT, "etag": 'W/"one"'}, {"etag": 'W/"one"'}) as server:
        fetch(server.url, file)
    assert "range" not in server.asked[1] and file.read_bytes() == BODY
    file.unlink()
    with serving({"cut": CUT, "etag": None}, {"etag": None}) as server:
        fetch(server.url, file, KNOWN)
    assert server.asked[1]["range"] == f"bytes={CUT}-" and "if-range" not in server.asked[1]
    with serving({"cut": CUT, "etag": None, "date": "Mon, 01 Jan 2024 00:00:00 GMT"}, {}) as server:
        fetch(server.url, file.with_name("dated"))
    assert server.asked[1]["if-range"] == "Mon, 01 Jan 2024 00:00:00 GMT"


def test_what_came_from_another_address_is_not_gone_on_with(file: Path) -> None:
    with serving({"cut": CUT}, {"status": 404}) as server, pytest.raises(UserError):
        fetch(server.url, file)
    with serving({"body": BODY[::-1]}) as other:  # which happens to use the same ETag
        fetch(other.url, file)
    assert "range" not in other.asked[0] and file.read_bytes() == BODY[::-1]


def test_two_halves_of_different_files_are_never_kept(file: Path) -> None:
    """A server that resumes without looking at If-Range: the checksum finds it out, and nothing is left to go on from."""
    with serving({"cut": CUT, "etag": None}, {"etag": None, "body": BODY[::-1]}) as server, pytest.raises(UserError, match=r"checksum sha256:.*wanted sha256:.*--any_version"):  # fmt: skip
        fetch(server.url, file, KNOWN)
    assert not left(file)


@pytest.mark.parametrize("then", [{"shift": 7}, {"status": 403}, {"status": 412}])
def test_what_no_server_goes_on_with_is_fetched_anew(file: Path, then: dict) -> None:
    """A piece from elsewhere, or a refusal of any request for a rest: not for ever, as often as the same is typed."""
    with serving({"cut": CUT}, then, {}) as server:
        fetch(server.url, file)
    assert [asked.get("range") for asked in server.asked] == [None, f"bytes={CUT}-", None] and file.read_bytes() == BODY


@pytest.mark.parametrize(("free", "said"), [(10**9, "out of inodes"), (0, "the disk is full; make room")])
def test_a_disk_that_refuses_is_no_broken_line(
    file: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download, "_send", full)
    monkeypatch.setattr("train.prepare.place.free_bytes", lambda _: free)
    with serving({}) as server, pytest.raises(UserError, match=said):
        fetch(server.url, file)
    assert len(server.asked) == 1


def test_wrong_lengths(file: Path) -> None:
    with serving({"body": BODY + b"x"}) as server, pytest.raises(UserError, match=f"has {len(BODY) + 1:,} bytes, wanted {len(BODY):,}"):  # fmt: skip
        fetch(server.url, file, KNOWN)
    with serving({"claim": len(BODY) + 5, "ranges": False}) as server, pytest.raises(UserError, match=f"broke at {len(BODY):,} of {len(BODY) + 5:,}"):  # fmt: skip
        fetch(server.url, file)  # more was promised than ever comes
    with serving({"claim": None, "body": BODY + b"x"}) as server, pytest.raises(UserError, match="more than the"):
        fetch(server.url, file.with_name("other"), KNOWN)


def test_no_length_told(file: Path) -> None:
    with serving({"claim": None}) as server:
        fetch(server.url, file, KNOWN)
    assert file.read_bytes() == BODY


def test_beyond_the_end(file: Path) -> None:
    """Ours is longer than the server's file: it is another one by now, and is fetched anew."""
    with serving({"cut": CUT}, {"body": b"short", "ranges": True, "etag": '"one"'}, {"body": b"short"}) as server:
        fetch(server.url, file)
    assert file.read_bytes() == b"short" and "range" not in server.asked[2]


def test_all_of_it_had_come_already(file: Path) -> None:
    file.parent.mkdir()
    file.with_name("file.zip.part").write_bytes(BODY)
    with serving({}) as server:
        file.with_name("file.zip.part.json").write_text(json.dumps({"url": server.url, "validator": '"one"'}))
        fetch(server.url, file)  # asks for bytes beyond the end, and hears that there are none
        assert file.read_bytes() == BODY
        fetch(server.url, file, KNOWN)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [500, 502, 429])
def test_trouble_that_passes(file: Path, status: int) -> None:
    with serving({"status": status}, {"status": status}, {}) as server:
        fetch(server.url, file)
    assert len(server.asked) == 3 and file.read_bytes() == BODY


@pytest.mark.parametrize("status", [404, 403, 410])
def test_trouble_that_stays_is_told_at_once(file: Path, status: int) -> None:
    with serving({"status": status}) as server, pytest.raises(UserError, match=f"answers {status} .*--url"):
        fetch(server.url, file)
    assert len(server.asked) == 1


def test_a_web_page_instead_of_a_file(file: Path) -> None:
    with serving({"kind": "text/html; charset=utf-8", "body": b"<html>"}) as server, pytest.raises(UserError, match="a web page instead of a file"):  # fmt: skip
        fetch(server.url, file)
    assert not file.exists() and not left(file)


def test_nobody_there(file: Path) -> None:
    with serving({}) as server:
        pass
    with pytest.raises(UserError, match=r"no connection .*refused.*tried 6 times"):
        fetch(server.url, file)
    with pytest.raises(UserError, match="not an address"):
        fetch("horse2zebra.zip", file)


@pytest.mark.parametrize("to", ["http://127.0.0.1:1/x", "ftp://127.0.0.1:1/x", "file:///etc/passwd", "gopher://x/"])
def test_a_redirect_out_of_https_is_not_followed(to: str) -> None:
    asked = urllib.request.Request("https://example.org/file.zip")
    with pytest.raises(UserError, match=r"sends on to .*; not followed"):
        download.Redirects().redirect_request(asked, None, 302, "Found", {}, to)
    assert download.Redirects().redirect_request(asked, None, 302, "Found", {}, "https://mirror.example.org/x")


def test_a_redirect_to_another_protocol_is_not_followed(file: Path) -> None:
    with serving({"status": 302, "headers": {"Location": "ftp://127.0.0.1:1/x"}}) as server, pytest.raises(UserError, match="from http to ftp"):  # fmt: skip
        fetch(server.url, file)
    with serving({}) as goal, serving({"status": 302, "headers": {"Location": goal.url}}) as server:
        fetch(server.url, file)
    assert file.read_bytes() == BODY
