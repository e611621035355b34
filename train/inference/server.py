"""A page on this machine to try a model: drop a picture, see its translation, the way back and the discriminator's opinion.

Only this machine can reach it: it listens on the loopback address, answers only to the names localhost and 127.0.0.1 (so that no
page of another site can reach it under a name of its own), loads nothing from elsewhere, and stores nothing. Uploads are
bounded in bytes and pixels, must be images, and are made smaller while they are decoded, so that a small file cannot take much
memory; few are read at once, in little time, and one is translated at a time.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import io
import json
import secrets
import socket
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import numpy as np
from PIL import Image

from train.data.images import inspect, load_picture
from train.data.pixels import for_eyes, to_uint8
from train.errors import UserError, shown
from train.inference.pictures import translated
from train.inference.translator import Translator, open_translator

MOST_BYTES = 32 << 20  # of an upload
MOST_PIXELS = 50_000_000  # of an uploaded picture, which is then shrunk
MOST_AT_ONCE = 8  # connections; others wait to be accepted
PATIENCE = 60.0  # s in which a request must have come, before its connection is closed
PAGE = Path(__file__).with_name("serve.html")
FAKE, UNSURE, REAL = ((196, 60, 40), (236, 228, 208), (20, 120, 110))  # colours of scores 0, 0.5 and 1


class Server(ThreadingHTTPServer):
    """Serves the page and translates one picture at a time."""

    daemon_threads = True
    request_queue_size = 128  # connections that wait to be accepted

    def __init__(self, translators: Mapping[str, Translator], port: int, max_side: int, name: str) -> None:
        self.translators, self.max_side, self.name = translators, max_side, name
        self.busy = threading.Lock()
        self.places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self.coming: dict[socket.socket, float] = {}  # connections whose request has not all come, and since when
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"--serve {port}: cannot listen there ({error}); choose another port") from error
        self.hosts = {f"{host}:{self.server_port}" for host in ("localhost", "127.0.0.1")}

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self.places.acquire(timeout=0.5):  # until then nobody else is accepted
            self.service_actions()
        self.coming[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self.places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.coming.pop(request, None)
            self.places.release()

    def service_actions(self) -> None:
        """Between two connections: close those whose request has not come in time, however slowly it goes on coming."""
        for request, since in list(self.coming.items()):
            if time.monotonic() - since > PATIENCE:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line for an error of ours; nothing for a client that went away."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            print(
                f"error: a request could not be answered ({type(error).__name__}: {shown(error, 300)})", file=sys.stderr
            )

    def answer(self, data: bytes, direction: str) -> dict[str, Any]:
        """What the page shows of an upload: pictures as data URLs, and how long it took. UserError if it is no image."""
        upload, translator = Path("the upload"), self.translators[direction]
        header = inspect(upload, data)
        if header.width * header.height > MOST_PIXELS:
            raise UserError(f"{header.width}x{header.height} pixels; this page takes {MOST_PIXELS // 10**6} million")
        with self.busy:
            start = time.perf_counter()
            original = load_picture(
                upload, translator.in_channels, data, side=self.max_side, white=translator.white_level
            )
            small, fake = translated(translator, original, self.max_side)
            pictures = {
                "original": small,
                "translation": fake.pixels,
                "reconstruction": translator.reconstruct(fake.pixels),
            }
            scores = translator.scores(fake.pixels)
            seconds = time.perf_counter() - start
        answer: dict[str, Any] = {name: data_url(x) for name, x in pictures.items() if x is not None}
        answer |= {"width": small.shape[1], "height": small.shape[0], "seconds": round(seconds, 2)}
        answer["shrunk"] = max(header.width, header.height) > self.max_side
        if scores is not None:
            answer |= {"patches": data_url(opinion(scores)), "score": round(float(scores.mean()), 2)}
        return answer


class Handler(BaseHTTPRequestHandler):
    """GET / is the page; POST /translate?direction=AtoB takes an image and answers JSON."""

    server: Server
    timeout = 20  # s without a byte
    server_version, sys_version = "Palindrome", ""

    def do_GET(self) -> None:
        if not self.is_local():
            return
        if self.address().path != "/":
            self.refuse(404, "there is only one page here: /")
            return
        nonce = secrets.token_urlsafe(16)
        about = {
            "name": self.server.name, "mostBytes": MOST_BYTES, "maxSide": self.server.max_side,
            "directions": list(self.server.translators),
        }  # fmt: skip
        page = PAGE.read_text(encoding="utf-8").replace("{{nonce}}", nonce)
        page = page.replace("{{about}}", json.dumps(about).replace("<", "\\u003c"))
        self.reply(200, page.encode(), "text/html; charset=utf-8", nonce)

    def do_POST(self) -> None:
        if not self.is_local():
            return
        address, length = self.address(), self.headers.get("Content-Length", "")
        direction = parse_qs(address.query).get("direction", [next(iter(self.server.translators))])[0]
        if address.path != "/translate" or direction not in self.server.translators:
            self.refuse(404, "wanted POST /translate?direction=AtoB or BtoA")
        elif not (length.isascii() and length.isdigit()):
            self.refuse(411, "wanted a Content-Length")
        elif len(length) > 12 or int(length) > MOST_BYTES:  # Python reads no number of thousands of digits
            self.refuse(413, f"{shown(length, 12)} bytes; this page takes pictures of up to {MOST_BYTES >> 20} MB")
        elif self.headers.get_content_type() != "application/octet-stream":  # what another site's form cannot send
            self.refuse(415, "wanted Content-Type: application/octet-stream")
        else:
            data = self.rfile.read(int(length))
            self.server.coming.pop(self.connection, None)
            if len(data) == int(length):  # else it went away
                self.translate(data, direction)

    def address(self) -> SplitResult:
        """What was asked for; no path at all where it cannot be told."""
        try:
            return urlsplit(self.path)
        except ValueError:
            return urlsplit("")

    def translate(self, data: bytes, direction: str) -> None:
        try:
            answer = json.dumps(self.server.answer(data, direction)).encode()
            give_back()
        except UserError as error:
            self.refuse(422, str(error))
        except MemoryError:
            self.refuse(507, "out of memory; start the page with a smaller --max_side")
        else:
            self.reply(200, answer)

    def is_local(self) -> bool:
        """Whether the request was meant for this server by its own page; refuses it otherwise."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host not in self.server.hosts or (origin is not None and origin.removeprefix("http://") != host):
            self.refuse(403, f"this page answers only at {self.server.url}")
            return False
        return True

    def refuse(self, status: int, why: str) -> None:
        self.close_connection = True
        self.reply(status, json.dumps({"error": why}).encode())

    def reply(self, status: int, body: bytes, kind: str = "application/json", nonce: str = "") -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": f"default-src 'none'; img-src data:; connect-src 'self'; style-src 'nonce-{nonce}'; "
            f"script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the page shows what went wrong."""


def give_back() -> None:
    """Hand freed memory back to the system. glibc keeps it for later: 400 MB after one picture of 50 million pixels."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, or another C library
        ctypes.CDLL(None).malloc_trim(0)


def opinion(scores: np.ndarray) -> np.ndarray:
    """Scores [P,Q] as colours [P,Q,3] in [-1, 1]: from FAKE at 0 to REAL at 1."""
    ramp = np.interp(scores[..., None], [0, 0.5, 1], [0, 1, 2])
    channels = [np.interp(ramp[..., 0], [0, 1, 2], [c[i] for c in (FAKE, UNSURE, REAL)]) for i in range(3)]
    return np.stack(channels, axis=-1) / 127.5 - 1


def data_url(x: np.ndarray) -> str:
    """[H,W,C] as a PNG in a URL."""
    file = io.BytesIO()
    Image.fromarray(to_uint8(for_eyes(x))).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def both_ways(weights: str | Path, direction: str, device: str, **more: str) -> dict[str, Translator]:
    """A translator for each direction that the weights have, the one asked for first; `more` as a Translator takes it."""
    first = open_translator(weights, direction, device, **more)
    found = {first.direction: first}
    for other in first.directions:
        found.setdefault(
            other,
            first if other == first.direction else open_translator(weights, other, device, more.get("upsample", "")),
        )
    return found


def serve(weights: str, direction: str, device: str, port: int, max_side: int, **more: str) -> int:
    """Serve the page until Ctrl-C; returns the exit status."""
    translators = both_ways(weights, direction, device, **more)
    for note in dict.fromkeys(note for translator in translators.values() for note in translator.notes):
        print(f"note: {note}")
    with Server(translators, port, max_side, weights) as server:
        print(f"open {server.url} on this machine; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(file=sys.stderr)
    return 0
