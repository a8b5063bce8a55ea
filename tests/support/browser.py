"""Chromium without a window, driven through ChromeDriver by the WebDriver protocol.

https://www.w3.org/TR/webdriver2/
"""

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",  # the projector needs WebGL
    "--window-size=1600,1000",
)


_TEXT = """
const text = node => (node.shadowRoot ? text(node.shadowRoot) : "")
    + (node.contentDocument ? text(node.contentDocument) : "")
    + [...node.childNodes].map(
        child => child.nodeType == 3 ? child.textContent + " " : text(child)).join("");
return text(document).replace(/\\s+/g, " ")
"""


class Browser:
    """One tab.

    Args:
        session: The address of its WebDriver session.
    """

    def __init__(self, session: str) -> None:
        self.session = session

    def open(self, url: str) -> None:
        """Load a page; from an empty one, so that another fragment is another page."""
        _request(f"{self.session}/url", {"url": "about:blank"})
        _request(f"{self.session}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body in JavaScript returns."""
        return _request(f"{self.session}/execute/sync", {"script": script, "args": arguments})

    def wait(self, script: str, seconds: float = 60.0) -> Any:
        """The first value of a script that is true."""
        return _until(lambda: self.run(script), seconds, script)

    def wait_for_text(self, expected: str, seconds: float = 60.0) -> None:
        """Until it stands somewhere on the page, in its components and in its frames."""
        _until(lambda: expected in self.run(_TEXT), seconds, expected)

    def screenshot(self, path: Path) -> None:
        """Of what the window shows."""
        path.write_bytes(base64.b64decode(_request(f"{self.session}/screenshot")))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile, gone after the block."""
    port = _free_port()
    driver = subprocess.Popen([str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL)
    root = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _request(f"{root}/status")["ready"], 30.0, "chromedriver")
        options = {"binary": CHROMIUM, "args": [*_FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = f"{root}/session/{_request(f'{root}/session', wanted)['sessionId']}"
        try:
            yield Browser(session)
        finally:
            _request(session, method="DELETE")
    finally:
        driver.terminate()
        driver.wait()


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows this folder, gone after the block."""
    port = _free_port()
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}", f"--port={port}"]
    server = subprocess.Popen(
        [*command, "--host=127.0.0.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}/"
        _until(lambda: _get(f"{url}data/runs"), 60.0, "tensorboard")
        yield url
    finally:
        server.terminate()
        server.wait()


def _until(look: Callable[[], Any], seconds: float, what: str) -> Any:
    """Look until something is there, whatever is still in the way."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except OSError:
            found = None
        if found or time.monotonic() > end:
            assert found, f"nothing within {seconds:g} s: {what}"
            return found
        time.sleep(0.1)


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def _request(url: str, body: Any = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    request.method = method or ("GET" if body is None else "POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["value"]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
