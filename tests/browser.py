"""A headless Chromium for tests, spoken to through a pipe: no driver program, no port, no library.

    with Browser(tmp_path, width=390) as page:
        page.open("http://localhost:8000/")
        page.wait_for("document.title == 'Palindrome'")

Chromium reads commands of its DevTools protocol from descriptor 3 and writes answers to 4, JSON ended by a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.missing import lacking

MAC = "/Applications/{0}.app/Contents/MacOS/{0}"
NAMES = ("chromium", "chromium-browser", "google-chrome", MAC.format("Chromium"), MAC.format("Google Chrome"))
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
CURES = {"linux": "apt-get install chromium", "darwin": "brew install --cask chromium"}
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
GOING = ("navigated or closed", "context was destroyed", "Cannot find context")  # said of a page that is being left


class Browser:
    """One page, `width` x `height` pixels; its profile lies in a folder of the test."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 900) -> None:
        if not CHROMIUM or sys.platform not in CURES:
            lacking("Chromium", CURES.get(sys.platform, "the browser is driven on Linux and macOS only"))
        import fcntl  # not on Windows

        pipes = os.pipe(), os.pipe()
        self.out, self.answers = pipes[0][1], pipes[1][0]
        theirs = pipes[0][0], pipes[1][1]
        to_read, to_write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in theirs)  # clear of 3 and 4
        wiring = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
        command = ["bash", "-c", wiring, CHROMIUM, *OPTIONS, f"--user-data-dir={folder / 'chromium'}", "about:blank"]
        self.process = subprocess.Popen(
            command, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for end in (*theirs, to_read, to_write):
            os.close(end)
        self.count, self.unread, self.session = 0, b"", ""
        self.events: list[dict[str, Any]] = []  # what the page reported unasked: exceptions, failed requests
        target = next(t for t in self.ask("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.out)
        os.close(self.answers)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol; its result. RuntimeError with the browser's words if it fails."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self.unread:
            data = os.read(self.answers, 1 << 20)
            if not data:
                raise RuntimeError("the browser is gone")
            self.unread += data
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    # -- what tests do

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        self.wait_for("document.readyState == 'complete' && location.href != 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are waited for."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description", script))
        return result["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 60) -> None:
        """Until a JavaScript expression is true; AssertionError with the page's text if it never is.

        A page that comes anew while it is asked has no answer, and is asked again.
        """
        end = time.monotonic() + seconds
        while not self.holds(condition):
            assert time.monotonic() < end, (
                f"{condition} is not so; the page says: {self.run('document.body.innerText')}"
            )
            time.sleep(0.05)

    def holds(self, condition: str) -> bool:
        """Whether a JavaScript expression is true now; False of a page that goes while it is asked."""
        try:
            return bool(self.run(condition))
        except RuntimeError as error:
            if not any(words in str(error) for words in GOING):
                raise
            return False

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file in an <input type=file>."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(file.resolve())])

    def drop(self, x: int, y: int, file: Path) -> None:
        """Drag a file onto a point of the page and let it go."""
        data = {"items": [], "files": [str(file.resolve())], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.ask("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def resize(self, width: int, height: int) -> None:
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def screenshot(self, file: Path) -> None:
        """The whole page as a PNG."""
        data = self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Exceptions, blocked content and failed loads since the page was made."""
        self.run("0")  # so that everything said until now has arrived
        found = []
        for event in self.events:
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
            elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])
        return found
