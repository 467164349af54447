# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium, controlled through its DevTools protocol over a pair of pipes, without a driver, a port or a library.

The protocol: https://chromedevtools.github.io/devtools-protocol/; `--remote-debugging-pipe` reads commands from descriptor 3 and writes answers to
descriptor 4, each a JSON text that ends with a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any, Self

FLAGS = [
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--remote-debugging-pipe",
]  # fmt: skip
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}


class BrowserError(Exception):
    """The browser rejected a command, or an expression in the page raised an exception."""


class Browser:
    """One page of one Chromium. errors: errors of the page's console and policy."""

    def __init__(self, width: int = 1400, height: int = 900, timeout: float = 120.0) -> None:
        program = shutil.which("chromium")
        if not program:
            raise FileNotFoundError("chromium is not on PATH; run make labtest, which installs the package (tests/packages.txt)")
        self.errors: list[str] = []
        self._timeout = timeout
        self._number = 0
        self._buffer = b""
        self._profile = tempfile.mkdtemp(prefix="bulkhead-chromium-")
        command_end, self._commands = os.pipe()
        self._answers, answer_end = os.pipe()
        flags = [*FLAGS, f"--user-data-dir={self._profile}", f"--window-size={width},{height}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium's own sandbox does not start as root
        nowhere = os.open(os.devnull, os.O_RDWR)
        self._process = os.posix_spawn(
            program,
            [program, *flags, "about:blank"],
            dict(os.environ),
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, nowhere, number) for number in (0, 1, 2)),
                (os.POSIX_SPAWN_DUP2, command_end, 3),
                (os.POSIX_SPAWN_DUP2, answer_end, 4),
            ],
            setpgroup=0,
        )
        for descriptor in (command_end, answer_end, nowhere):
            os.close(descriptor)
        self._session = ""
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._commands)
        os.close(self._answers)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its answer. Errors among the events before it are collected."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params, **({"sessionId": self._session} if self._session else {})}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self._number:
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result

    def open(self, path: Path) -> float:
        """Load a file, wait until its script has run, and return the seconds from the request to the end of the load event."""
        self.call("Page.navigate", url=path.absolute().as_uri())
        if not self.wait_for("document.readyState === 'complete' && performance.timing.loadEventEnd !== 0", self._timeout):
            raise TimeoutError(f"{path} did not load within {self._timeout:.0f} s")
        return float(self.run("performance.timing.loadEventEnd - performance.timing.navigationStart")) / 1000

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        return answer["result"].get("value")

    def wait_for(self, condition: str, timeout: float = 10.0) -> bool:
        """Return whether a JavaScript expression becomes true within so many seconds."""
        deadline = time.monotonic() + timeout
        while self.run(condition) is not True:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def click(self, element: str) -> None:
        """Click the middle of an element, given as a JavaScript expression, with the mouse."""
        place = f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect(); "
        x, y = self.run(place + "return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        """Press keys by name."""
        for key in keys:
            code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
            self.call("Input.dispatchKeyEvent", type="keyDown", **code, **({"text": "\r"} if key == "Enter" else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def type(self, text: str) -> None:
        """Type text into the focused element."""
        self.call("Input.insertText", text=text)

    def screenshot(self, path: Path) -> None:
        """Save the window as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def pdf(self) -> bytes:
        """Return the printed page as PDF."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._answers, 1 << 20) if ready else b""
            if not chunk:
                raise BrowserError("chromium ended" if ready else f"chromium did not answer for {self._timeout:.0f} s")
            self._buffer += chunk
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.errors.append(message["params"]["entry"]["text"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(message["params"]["exceptionDetails"].get("exception", {}).get("description")))
        return message
