# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of bulkhead-recorder.service: records what containers do until it is stopped.

    recorder.pyz run        what the unit runs
    recorder.pyz collect    print what is recorded, as JSON
    recorder.pyz stop       unload what was loaded into the kernel, and restore its settings; print what was done, as JSON

One thread with one selector: what has arrived is read in pieces, so that neither a burst of messages nor an engine that hangs takes memory.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from ..host.root import Host
from .backlog import restore_backlog_limit
from .folders import CONTROL, PROFILES, SETTINGS, RecorderNotRunning, list_recorded_profiles, read_boot_id, read_recorded, request_flush
from .kernel_functions import DAMAGED, KernelFunctions
from .pins import RecorderError
from .recorder import Recorder

_REQUEST_TIMEOUT = 5.0


class RecorderDaemon:
    """Runs the recorder until SIGTERM or SIGINT, and answers requests on its control socket."""

    def __init__(self, host: Host, recorder: Recorder) -> None:
        self.recorder = recorder
        self.is_stopping = False
        path = host.path(CONTROL)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(8)
        self._awake, self._wake = socket.socketpair()
        for end in (self._awake, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_signal: Any) -> None:
        self.is_stopping = True

    def run(self) -> None:
        """Record until the end. The unit is ready as soon as the kernel is armed: the engine may start only after that."""
        self.recorder.start(time.time())
        notify_systemd("READY=1")
        while not self.is_stopping:
            wait = self.recorder.run_timers(time.time())
            with selectors.DefaultSelector() as selector:
                for source in (self._listener, self._awake, self.recorder.audit, *(engine.stream for engine in self.recorder.engines)):
                    if source is not None:
                        selector.register(source, selectors.EVENT_READ)
                ready = {key.fileobj for key, _events in selector.select(wait)}
            self._read(ready)
        notify_systemd("STOPPING=1")
        self.recorder.finish(time.time())

    def _read(self, ready: set[Any]) -> None:
        if self._awake in ready:
            with suppress(BlockingIOError):
                self._awake.recv(1 << 10)
        for engine in self.recorder.engines:
            if engine.stream in ready:
                engine.read_events()
        if self.recorder.audit in ready:
            self.recorder.read_audit(time.time())
        if self._listener in ready:
            self._answer()

    def _answer(self) -> None:
        """Answer one request. A client that sends nothing is left after some seconds."""
        with suppress(OSError):
            link, _address = self._listener.accept()
            with link:
                link.settimeout(_REQUEST_TIMEOUT)
                request = link.recv(1 << 10).strip()
                try:
                    answer = self.recorder.save_now(time.time()) if request == b"flush" else {"error": "the request is unknown; send flush"}
                except OSError as error:  # a full disk
                    answer = {"error": str(error)}
                link.sendall(json.dumps(answer).encode() + b"\n")


def notify_systemd(text: str) -> None:
    """Send a state to the service manager (man 3 sd_notify); nothing without one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link, suppress(OSError):
            link.connect("\0" + address[1:] if address.startswith("@") else address)
            link.sendall(text.encode())


def stop_recording(host: Host, functions: KernelFunctions) -> dict[str, list[str]]:
    """Restore profiles and the audit limit, and unload the kernel's programs. Returns what was `removed`, and `problems`."""
    removed, problems = [], []
    before = list_recorded_profiles(host)
    try:
        problems += functions.restore_profiles(host)
    except DAMAGED as error:
        problems.append(f"{PROFILES} is damaged ({error}); restart the engine, which loads docker-default anew, and remove this folder")
    left = list_recorded_profiles(host)
    removed += [f"audit rules of AppArmor profile {name}" for name in before if name not in left]
    try:
        if done := restore_backlog_limit(host, read_boot_id(host)):
            removed.append(done)
    except OSError as error:
        problems.append(f"the audit backlog limit could not be restored: {error.strerror or error}; set it with auditctl -b")
    pinned = [f"/{path.relative_to(host.root)}" for path in functions.list_pins(host)]
    try:
        functions.disarm()
        removed += pinned
    except (RecorderError, OSError) as error:
        problems.append(str(error))
    return {"removed": removed, "problems": problems}


def main() -> int:
    """Run one command and return the exit status."""
    command, host = " ".join(sys.argv[1:]), Host()
    if command == "run":
        settings = json.loads(host.read(SETTINGS) or "{}")
        RecorderDaemon(host, Recorder(host, settings, KernelFunctions())).run()
        return 0
    if command == "collect":
        try:
            request_flush(host, 300)
        except RecorderNotRunning as error:
            sys.stderr.write(f"{error}\n")
            return 1
        sys.stdout.write(f"{json.dumps(read_recorded(host))}\n")
        return 0
    if command == "stop":
        sys.stdout.write(f"{json.dumps(stop_recording(host, KernelFunctions()))}\n")
        return 0
    sys.stderr.write(f"{command!r} is not a command of the recorder; write run, collect or stop\n")
    return 2
