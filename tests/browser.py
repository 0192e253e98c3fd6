"""Chromium without a window for tests of pages: real clicks and keys, scripts, screenshots, and what it asked for.

It is driven over the DevTools protocol through a pipe (messages are JSON, ended by a zero byte), so all it needs is the
program itself (Debian: apt install chromium). Where that is missing, `needs_browser` skips.

    @needs_browser
    def test_page(tmp_path):
        with Browser(tmp_path) as browser:
            browser.open(page, width=390, height=844)
            browser.click("#start")
            assert browser.run("document.title") == "…"
            browser.screenshot(tmp_path / "page.png")
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--remote-debugging-pipe", "--hide-scrollbars", "--force-device-scale-factor=1"),
)
KEYS = {
    "Enter": (13, "\r"),
    " ": (32, " "),
    "Tab": (9, ""),
    "ArrowRight": (39, ""),
    "ArrowLeft": (37, ""),
    "Escape": (27, ""),
}


needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt install chromium")


class Browser:
    """One page in a fresh profile. `requests`: the URLs it asked for; `errors`: uncaught errors of its scripts."""

    def __init__(self, folder: Path, timeout: float = 60.0) -> None:
        self.downloads = folder / "downloads"
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._events: list[str] = []
        self._timeout, self._count, self._buffer = timeout, 0, b""
        self._profile = folder / "profile"

    def __enter__(self) -> Self:
        self.downloads.mkdir(parents=True, exist_ok=True)
        ours, theirs = _pipe(), _pipe()  # (read end, write end) each
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={self._profile}"]
        connect = f'exec "$0" "$@" 3<&{theirs[0]} 4>&{ours[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", connect, *command],
            pass_fds=(theirs[0], ours[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs[0])
        os.close(ours[1])
        self._in, self._out = ours[0], theirs[1]
        try:
            self._attach()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self._send("Browser.close", {}, None)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def open(self, page: Path, width: int = 1280, height: int = 900, touch: bool = False) -> None:
        """Show a file in a window of this size, in CSS pixels; returns when it is loaded."""
        self.resize(width, height, touch)
        self._events.clear()
        self._page("Page.navigate", url=page.resolve().as_uri())
        self.wait(lambda: "Page.loadEventFired" in self._events, "the page to load")

    def reload(self) -> None:
        self._events.clear()
        self._page("Page.reload")
        self.wait(lambda: "Page.loadEventFired" in self._events, "the page to load again")

    def resize(self, width: int, height: int, touch: bool = False) -> None:
        self._page("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression (promises are waited for)."""
        answer = self._page("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {_reason(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Scroll the first element there into view and press the mouse on it, at this share of its width and height."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{find}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.run(f"(({{x, y, width, height}}) => [x, y, width, height])({find}.getBoundingClientRect())")
        place = {"x": box[0] + x * box[2], "y": box[1] + y * box[3], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self._page("Input.dispatchMouseEvent", type=kind, **place)

    def press(self, key: str) -> None:
        """One key: a character, or a name of KEYS."""
        code, text = KEYS.get(key, (ord(key.upper()[0]), key))
        about = {"key": key, "windowsVirtualKeyCode": code}
        self._page("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self._page("Input.dispatchKeyEvent", type="keyUp", **about)

    def until(self, script: str, seconds: float | None = None) -> None:
        """Wait until a JavaScript expression is true."""
        self.wait(lambda: bool(self.run(script)), script, seconds)

    def wait(self, done: Any, what: str, seconds: float | None = None) -> None:
        end = time.monotonic() + (seconds or self._timeout)
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"waited in vain for {what}")
            self._receive(0.02)

    def screenshot(self, path: Path, whole: bool = False) -> Path:
        """The window, or the whole page, as PNG."""
        image = self._page("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(image["data"]))
        return path

    def _attach(self) -> None:
        target = self._call("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
        self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True}, None)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self._page(f"{domain}.enable")
        allow = {"behavior": "allow", "downloadPath": str(self.downloads.resolve())}
        self._call("Browser.setDownloadBehavior", allow, None)

    def _page(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._call(method, parameters, self._session)

    def _call(self, method: str, parameters: dict[str, Any], session: str | None) -> dict[str, Any]:
        number = self._send(method, parameters, session)
        end = time.monotonic() + self._timeout
        while time.monotonic() < end:
            for answer in self._receive(end - time.monotonic()):
                if answer.get("id") == number:
                    if "error" in answer:
                        raise AssertionError(f"{method}: {answer['error']['message']}")
                    return answer["result"]
        raise TimeoutError(f"no answer to {method} within {self._timeout:g} s")

    def _send(self, method: str, parameters: dict[str, Any], session: str | None) -> int:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        left = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while left:
            left = left[os.write(self._out, left) :]
        return self._count

    def _receive(self, seconds: float) -> list[dict[str, Any]]:
        """The messages that have come, waiting at most this long for the first; events are noted."""
        if not select.select([self._in], [], [], max(seconds, 0))[0]:
            return []
        chunk = os.read(self._in, 1 << 20)
        if not chunk:
            raise AssertionError("the browser has ended by itself")
        *whole, self._buffer = (self._buffer + chunk).split(b"\0")
        messages = [json.loads(one) for one in whole]
        for one in messages:
            self._note(one.get("method", ""), one.get("params", {}))
        return messages

    def _note(self, event: str, about: dict[str, Any]) -> None:
        self._events.append(event)
        if event == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.errors.append(_reason(about["exceptionDetails"]))


def _pipe() -> tuple[int, int]:
    """A pipe whose ends have numbers above 9: bash is to put others at 3 and 4."""
    low = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return read, write


def _reason(details: dict[str, Any]) -> str:
    return details.get("exception", {}).get("description", details.get("text", ""))
