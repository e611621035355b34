"""A server on this machine that fails on purpose: each request is answered by the next of a list of behaviours."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BODY = bytes(range(256)) * 4000  # about a megabyte


class Server(ThreadingHTTPServer):
    """`plan`: one dict for each request to come, the last for all further ones. `asked`: their headers, as they came.

    A behaviour: body, etag, date (Last-Modified), kind (Content-Type), cut (bytes after which the line breaks), status,
    ranges (False: it knows none), claim (a Content-Length that is not true), headers (more of them), shift (the piece it
    sends begins so much later than it should).
    """

    def __init__(self, plan: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan, self.asked = plan, []  # type: ignore[var-annotated]
        self.url = f"http://127.0.0.1:{self.server_port}/file.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.asked.append({name.lower(): value for name, value in self.headers.items()})
        plan = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        body, etag, date = plan.get("body", BODY), plan.get("etag", '"one"'), plan.get("date")
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        status, start = plan.get("status", 200), 0
        fresh = condition is None or condition in (etag, date)
        if status == 200 and wanted and fresh and plan.get("ranges", True):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            status = 206 if start < len(body) else 416
        self.send_response(status)
        if status == 206:
            start += plan.get("shift", 0)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(body)}")
        piece = body[start:] if status in (200, 206) else b"sorry"
        if plan.get("claim", 0) is not None:
            self.send_header("Content-Length", str(plan.get("claim") or len(piece)))
        self.send_header("Content-Type", plan.get("kind", "application/zip"))
        for name, value in (("ETag", etag), ("Last-Modified", date), *plan.get("headers", {}).items()):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(piece[: plan.get("cut", len(piece))])

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def serving(*plan: dict[str, Any]) -> Iterator[Server]:
    """A server that lives as long as this context."""
    server = Server(list(plan))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
