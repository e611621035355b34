"""A file over HTTP, on a line that breaks: resumed where it stopped, also by a later call, and checked at the end.

What has arrived waits in NAME.part; NAME.part.json holds what tells whether the server's file is still the same one (its
ETag, else its date). A resumed request says `Range: bytes=N-` and `If-Range: <that>`, to which a server answers 206 and
the rest, or, if the file changed or it knows no ranges, 200 and all of it (RFC 9110, sections 13 and 14).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from train.errors import UserError, shown
from train.prepare.place import refused

TRIES = 6  # in a row without a byte
PAUSE = 1.0  # s before the second try; doubled before each further one
TIMEOUT = 30.0  # s without a byte
CHUNK = 1 << 18  # bytes
LATER = (408, 425, 429, 500, 502, 503, 504)  # answers that may be better next time


class Broken(Exception):
    """The line or the server failed in a way that may pass."""


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand: bytes (0: unknown), and a checksum as "sha256:…", "" if unknown."""

    size: int = 0
    checksum: str = ""


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not out of https, and to no other protocol: what came that way could be anyone's."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        old, new = (urllib.parse.urlsplit(address).scheme for address in (req.full_url, newurl))
        if new not in ("http", "https") or (old == "https" and new != "https"):
            raise UserError(
                f"{req.full_url}: the server sends on to {shown(newurl)}, from {old} to {new or 'nowhere'}; not followed"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


OPENER = urllib.request.build_opener(Redirects)


def fetch(url: str, file: Path, expected: Expected = Expected(), label: str = "") -> str:
    """Download `url` to `file`; returns its checksum. UserError says what went wrong, and keeps what can be resumed."""
    if expected.checksum and file.exists() and _checksum(file, expected) == expected.checksum:
        return expected.checksum  # an earlier call got so far
    part = file.with_name(file.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    tries, pause = TRIES, PAUSE
    with tqdm(
        desc=label or file.name, unit="B", unit_scale=True, unit_divisor=1000, total=expected.size or None
    ) as bar:
        while True:
            before = _size(part)
            try:
                _receive(url, part, expected, bar)
                break
            except Broken as error:
                if _size(part) > before:
                    tries, pause = TRIES, PAUSE  # it moves
                tries -= 1
                if not tries:
                    kept = f"; the {_size(part):,} bytes that came are kept: type the same again to go on" if _size(part) else ""  # fmt: skip
                    raise UserError(f"{url}: {error}; tried {TRIES} times{kept}") from error
                bar.set_postfix_str(f"{error}; trying again")
                time.sleep(pause)
                pause *= 2
    found = _check(url, part, expected)
    os.replace(part, file)
    _note(part).unlink(missing_ok=True)
    return found


def _receive(url: str, part: Path, expected: Expected, bar: tqdm) -> None:
    """One request. Returns when the file is whole; Broken when it is not, but may become so."""
    have, validator = _size(part), _validator(part, url)
    headers = {"Accept-Encoding": "identity", "User-Agent": "palindrome"}
    if have and (validator or expected.checksum):  # without either nobody would notice two halves of different files
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})
    else:
        have = 0
    if expected.size and have == expected.size:
        return
    try:
        response = OPENER.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # beyond its end: ours is not a beginning of it, or already all of it
            span = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
            if span and int(span[1]) == have:
                return
            part.unlink()
            raise Broken("the server's file is another one by now") from error
        if error.code in LATER:
            raise Broken(f"the server answers {error.code} {error.reason}") from error
        if have:  # perhaps only to a request for the rest
            part.unlink()
            raise Broken(f"the server does not go on from {have:,} bytes ({error.code} {error.reason})") from error
        raise UserError(
            f"{url}: the server answers {error.code} {error.reason}; if the file has moved, point --url at where it is"
        ) from error
    except (OSError, http.client.HTTPException) as error:  # no route, no name, refused, timed out, cut
        raise Broken(f"no connection ({getattr(error, 'reason', error)})") from error
    except ValueError as error:
        raise UserError(f"{url}: not an address ({error}); wanted such as https://host/file.zip") from error
    with response:
        kind = response.headers.get_content_type()
        if kind in ("text/html", "application/xhtml+xml"):
            raise UserError(f"{url}: the server sends a web page instead of a file; open it in a browser to see why")
        if response.status == 206:
            if not _same_place(response.headers, have):
                part.unlink()
                raise Broken(f"the server sends another piece than the one from {have:,} on")
        elif response.status == 200:
            have = 0
        else:
            raise Broken(f"the server answers {response.status}")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else 0
        if expected.size and total and total != expected.size:
            raise UserError(
                f"{url}: the file there has {total:,} bytes, wanted {expected.size:,}; it is another version: "
                "--any_version takes it all the same"
            )
        _note(part).write_text(json.dumps({"url": url, "validator": _strong(response.headers)}))
        bar.total, bar.n = total or expected.size or None, have
        bar.refresh()
        with open(part, "r+b" if have else "wb") as file:
            file.seek(have)
            try:
                while chunk := response.read(CHUNK):
                    _write(file, chunk)
                    bar.update(len(chunk))
                    if expected.size and bar.n > expected.size:
                        raise UserError(f"{url}: sends more than the {expected.size:,} bytes that were wanted")
            except (OSError, http.client.HTTPException) as error:
                raise Broken(f"the line broke ({error})") from error
    if total and _size(part) != total:
        raise Broken(f"the line broke at {_size(part):,} of {total:,} bytes")


def _send(file: BinaryIO, chunk: bytes) -> None:
    file.write(chunk)
    file.flush()


def _write(file: BinaryIO, chunk: bytes) -> None:
    """Write at once, so that a full disk is told as such and not as a broken line."""
    try:
        _send(file, chunk)
    except OSError as error:
        path = Path(file.name)
        raise UserError(f"{refused(error, path.parent)}. What came is kept in {shown(path)}") from error


def _same_place(headers: Mapping[str, str], have: int) -> bool:
    span = re.match(r"bytes (\d+)-", headers.get("Content-Range") or "")
    return span is not None and int(span[1]) == have


def _strong(headers: Mapping[str, str]) -> str:
    """What tells versions of a file apart byte by byte; a weak ETag does not."""
    tag = headers.get("ETag") or ""
    return tag if tag.startswith('"') else headers.get("Last-Modified") or ""


def _validator(part: Path, url: str) -> str:
    try:
        note = json.loads(_note(part).read_text())
        return note["validator"] if note["url"] == url else ""
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _checksum(file: Path, expected: Expected) -> str:
    method = expected.checksum.partition(":")[0] or "sha256"
    with open(file, "rb") as content:
        return f"{method}:{hashlib.file_digest(content, method).hexdigest()}"


def _check(url: str, part: Path, expected: Expected) -> str:
    found = _checksum(part, expected)
    if expected.checksum not in ("", found):
        part.unlink()
        _note(part).unlink(missing_ok=True)
        raise UserError(
            f"{url}: what came has the checksum {found}, wanted {expected.checksum}. It was damaged on the way (type the "
            "same again), or it is another version (--any_version takes it all the same)"
        )
    return found


def discard(*files: Path) -> None:
    """Remove downloads that have served, and their folder if nothing else waits there."""
    for file in files:
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        files[0].parent.rmdir()
