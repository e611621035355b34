"""The page of `python -m train.translate --serve`: what it answers, what it refuses, and how it works in a real browser."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nn import PatchDiscriminator, ResnetGenerator
from tests.attack.measure import CLEAR, measured
from tests.browser import Browser
from train.data.images import load_image, load_picture
from train.data.pixels import resize
from train.errors import UserError
from train.inference import server as serve
from train.inference.server import Server, both_ways, opinion
from train.inference.translator import Translator
from train.translate import main
from train.weights import formats as weights

NETWORKS = {
    "gen_ab": ResnetGenerator(ngf=2, n_blocks=1, seed=1),
    "gen_ba": ResnetGenerator(ngf=2, n_blocks=1, seed=2),
    "disc_a": PatchDiscriminator(ndf=2, n_layers=2),
    "disc_b": PatchDiscriminator(ndf=2, n_layers=2),
}


def running(path: Path, max_side: int = 64) -> Iterator[Server]:
    with Server(both_ways(path, "", "cpu"), 0, max_side, "a <b>") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("weights") / "w.npz"
    weights.save(path, NETWORKS)
    yield from running(path)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """40 pixels wide and 56 high once turned upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif)
    return tmp_path / "photo.jpg"


def request(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Status and answer; header names with underscores for dashes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    sent = {"Host": f"localhost:{server.server_port}", "Content-Type": "application/octet-stream"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host=True)
    for name, value in ({"Content-Length": str(len(body or b""))} | sent).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, json.loads(data) if reply.getheader("Content-Type") == "application/json" else data.decode()


def picture(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))))


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_an_upload_is_answered_with_all_four_pictures(server, photo, direction):
    status, answer = request(server, "POST", f"/translate?direction={direction}", photo.read_bytes())
    assert status == 200 and (answer["width"], answer["height"], answer["shrunk"]) == (40, 56, False)
    x = load_image(photo)
    translator = Translator(next(iter(server.translators.values())).path, direction, "cpu")
    fake = translator(x)
    for name, wanted in (("original", x), ("translation", fake), ("reconstruction", translator.reconstruct(fake))):
        assert abs(picture(answer[name]) / 127.5 - 1 - wanted).max() < 1.01 / 255, name
    scores = translator.scores(fake)
    assert picture(answer["patches"]).shape == (*scores.shape, 3) and answer["score"] == round(float(scores.mean()), 2)


def test_scores_become_colours():
    colours = (opinion(np.array([[-1.0, 0.0, 0.5, 3.0]])) + 1) * 127.5
    np.testing.assert_allclose(colours, [[serve.FAKE, serve.FAKE, serve.UNSURE, serve.REAL]])


def test_a_lone_generator_shows_what_there_is(tmp_path, photo):
    weights.save(tmp_path / "g.pth", {"gen_ba": NETWORKS["gen_ba"]})
    for server in running(tmp_path / "g.pth", max_side=28):
        assert list(server.translators) == ["BtoA"]
        status, answer = request(server, "POST", "/translate", photo.read_bytes())
        assert status == 200 and {"reconstruction", "patches", "score"}.isdisjoint(answer)
        assert (answer["width"], answer["height"], answer["shrunk"]) == (20, 28, True)


def test_it_listens_on_loopback_only(server):
    assert server.server_address[0] == "127.0.0.1"


def bomb() -> bytes:
    """A small file of 64 million pixels."""
    file = io.BytesIO()
    Image.new("1", (8000, 8000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "said"),
    [
        ("POST", "/translate", b"<svg/>", {}, 422, "not an image"),
        ("POST", "/translate", b"", {}, 422, "the file is empty"),
        ("POST", "/translate", bomb(), {}, 422, "8000x8000 pixels; this page takes 50 million"),
        ("POST", "/translate", b"x", {"Content_Length": str((32 << 20) + 1)}, 413, "up to 32 MB"),
        ("POST", "/translate", b"x", {"Content_Length": "-1"}, 411, "Content-Length"),
        ("POST", "/translate", b"x", {"Content_Type": "text/plain"}, 415, "octet-stream"),
        ("POST", "/translate", b"x", {"Host": "evil.example"}, 403, "answers only at http://localhost"),
        ("POST", "/translate", b"x", {"Origin": "http://evil.example"}, 403, "answers only"),
        ("POST", "/translate", b"x", {"Origin": "null"}, 403, "answers only"),
        ("POST", "/translate?direction=AtoC", b"x", {}, 404, "AtoB or BtoA"),
        ("POST", "/other", b"x", {}, 404, "wanted POST"),
        ("GET", "/", None, {"Host": "evil.example:80"}, 403, "answers only"),
        ("GET", "/../../etc/passwd", None, {}, 404, "only one page"),
    ],
)
def test_what_it_does_not_serve_is_refused(server, method, path, body, headers, status, said):
    seen, answer = request(server, method, path, body, **headers)
    assert seen == status and said in answer["error"]


def test_the_page_names_no_other_site_and_its_title_is_text(server):
    status, page = request(server, "GET", "/")
    assert status == 200 and "://" not in page and "{{" not in page
    assert "a <b>" not in page and "a \\u003cb>" in page


@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(server, photo, tmp_path, width):
    """Choose a picture, look at the results, turn the direction round, drop a file that is none."""
    with Browser(tmp_path, width) as page:
        page.open(server.url)
        assert page.run("document.querySelector('h1').innerText") == "Palindrome a <b>"
        page.choose("#file", photo)
        page.wait_for("document.querySelector('#status').innerText.startsWith('photo.jpg: done')")
        sizes = page.run(
            "[...document.querySelectorAll('figure img')].map(i => [i.naturalWidth, i.naturalHeight, i.width > 99])"
        )
        assert sizes[:4] == [[40, 56, True]] * 4 and sizes[4][2]
        columns = page.run(
            "new Set([...document.querySelectorAll('figure')].map(f => f.getBoundingClientRect().x)).size"
        )
        assert columns == (1 if width == 390 else 4)
        assert page.run("document.documentElement.scrollWidth") == width  # nothing hangs out at the side
        first = page.run("document.querySelector('#translation').src")
        page.run("document.querySelector('input[value=BtoA]').click()")
        page.wait_for(f"document.querySelector('#translation').src != {json.dumps(first)}")
        assert page.run("document.querySelector('#save').download") == "photo_BtoA.png"
        (tmp_path / "notes.txt").write_text("no picture")
        page.drop(100, 150, tmp_path / "notes.txt")
        page.wait_for("document.querySelector('#status').className == 'wrong'")
        assert "notes.txt: cannot be read as an image" in page.run("document.querySelector('#status').innerText")
        page.drop(100, 150, photo)
        page.wait_for("document.querySelector('#status').innerText.startsWith('photo.jpg: done')")
        loaded = {e["params"]["request"]["url"] for e in page.events if e.get("method") == "Network.requestWillBeSent"}
        assert all(url.startswith((server.url, "data:")) for url in loaded), loaded
        assert [c for c in page.complaints() if "422" not in c and "favicon" not in c] == []


@pytest.mark.parametrize(
    ("options", "said"), [("--serve 70000", "choose another port"), ("--serve x", ""), ("--serve {port}", "in use")]
)
def test_ports_that_cannot_be_had(server, tmp_path, options, said, capsys):
    weights.save(tmp_path / "w.npz", NETWORKS)
    line = f"--weights {tmp_path}/w.npz --device cpu {options.format(port=server.server_port)}"
    try:
        assert main(line.split()) == 2
    except SystemExit as end:  # argparse's own
        assert end.code == 2
    assert said in capsys.readouterr().err


def test_too_large_pixels_are_refused_before_decoding(server, monkeypatch):
    monkeypatch.setattr(serve, "load_picture", lambda *a: pytest.fail("decoded"))
    with pytest.raises(UserError, match="8000x8000"):
        server.answer(bomb(), "AtoB")


def raw(server: Server, sent: bytes) -> bytes:
    """What the server says to bytes that no browser would send."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        parts = iter(lambda: connection.recv(65536), b"")
        return b"".join(parts)


@pytest.mark.parametrize(
    ("line", "header", "status"),
    [
        ("GET http://[ HTTP/1.1", "", 404),
        ("POST http://[ HTTP/1.1", "Content-Length: 1", 404),
        ("POST /translate HTTP/1.1", "Content-Length: " + "9" * 5000, 413),
        ("POST /translate HTTP/1.1", "Content-Length: 1e9", 411),
        ("POST /translate HTTP/1.1", "Content-Length: \u0664", 411),
        ("POST /translate HTTP/1.1", "Transfer-Encoding: chunked", 411),
        ("BREW / HTTP/1.1", "", 501),
    ],
)
def test_absurd_requests_are_answered_without_a_traceback(server, capfd, line, header, status):
    sent = f"{line}\r\nHost: localhost:{server.server_port}\r\n{header}\r\n\r\n".encode()
    assert int(raw(server, sent).split(b" ", 2)[1]) == status
    assert capfd.readouterr().err == ""


def test_clients_that_go_away_leave_no_traceback(server, photo, capfd):
    head = f"POST /translate HTTP/1.1\r\nHost: localhost:{server.server_port}\r\nContent-Type: application/octet-stream\r\n"
    data = photo.read_bytes()
    for body, length in ((data[:100], len(data)), (b"", 10**6), (data, len(data))):
        connection = socket.create_connection(("127.0.0.1", server.server_port))
        connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + body)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
        connection.close()
    assert request(server, "POST", "/translate", data)[0] == 200
    assert capfd.readouterr().err == ""


def test_connections_are_few_and_those_that_say_nothing_are_closed(server, photo, monkeypatch):
    monkeypatch.setattr(serve, "PATIENCE", 1.0)
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(40)]
    assert request(server, "POST", "/translate", photo.read_bytes())[0] == 200  # after the idle ones were closed
    assert threading.active_count() - before <= serve.MOST_AT_ONCE
    for connection in idle:
        connection.close()


def hostile() -> dict[str, bytes]:
    """Small files of almost 50 million pixels."""
    files, side = {}, 7000
    for name, mode, kind, how in (
        ("bits.png", "1", "PNG", {}), ("rgba.png", "RGBA", "PNG", {}), ("palette.png", "P", "PNG", {}), ("gray.tif", "L", "TIFF", {"compression": "tiff_deflate"}),
        ("deep.png", "I;16", "PNG", {}), ("progressive.jpg", "RGB", "JPEG", {"progressive": True, "quality": 20}), ("wide.webp", "RGB", "WEBP", {"quality": 1, "method": 0}),
    ):  # fmt: skip
        file = io.BytesIO()
        Image.new(mode, (side, side)).save(file, kind, **how)
        files[name] = file.getvalue()
    return files


@pytest.mark.slow
@pytest.mark.skipif(not CLEAR.exists(), reason="memory is read from /proc")
def test_a_small_upload_takes_no_gigabytes(tmp_path):
    weights.save(tmp_path / "w.npz", {"gen_ab": NETWORKS["gen_ab"]})
    (tmp_path / "sound.png").write_bytes(small_png())
    files = [tmp_path / "sound.png"]
    for name, data in hostile().items():
        (tmp_path / name).write_bytes(data)
        files.append(tmp_path / name)
    for file, result in zip(files, measured("upload", files), strict=True):
        assert result.outcome in ("sound", "refused"), result.said
        if file.name != "sound.png":  # the first translation also compiles
            assert result.kept < 100 << 20, f"{file.name}: {result.kept >> 20} MB are kept"
        assert result.peak < 800 << 20 and result.seconds < 8, (
            f"{file.name}: {result.peak >> 20} MB, {result.seconds:.1f} s"
        )


def small_png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue()


def test_an_upload_is_made_smaller_as_it_is_decoded_to_the_same_picture(server):
    """Of a smooth picture in every mode, no shade goes astray."""
    y, x = np.mgrid[0:300, 0:260].astype(np.float32) / 300
    smooth = np.stack([x, y, (x + y) / 2], axis=-1) * 255
    image = Image.fromarray(smooth.astype(np.uint8))
    for mode in ("RGB", "L", "CMYK", "RGBA"):
        file = io.BytesIO()
        image.convert(mode).save(file, "TIFF")
        whole = load_picture(Path("x"), 3, file.getvalue()).pixels
        small = load_picture(Path("x"), 3, file.getvalue(), side=64).pixels
        assert 64 <= max(small.shape[:2]) < 128
        assert abs(resize(whole, small.shape[1], small.shape[0]) - small).max() < 0.03
