# SPDX-License-Identifier: GPL-3.0-or-later
"""One qemu process with the folder that holds its disk, its console and its state."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import process, qemu
from lab.errors import LabError
from lab.progress import Heartbeat, tail
from lab.qmp import Monitor
from lab.ssh import Remote, has_ssh_server

PANICS = 3  # boots that a guest may lose (its kernel reboots after a panic) before the lab gives up


def count_panics(console: str) -> int:
    """Return how often the guest's kernel has panicked."""
    return console.count("Kernel panic - not syncing")


class Machine:
    """A machine in ``directory``: ``state.json`` there says which process it is.

    The folder must hold the disk and ``ssh_key`` before ``start``.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.serial = directory / "serial.log"
        self._state_file = directory / "state.json"
        self._child: subprocess.Popen[bytes] | None = None

    # State

    @property
    def state(self) -> dict[str, Any]:
        """What is known of the machine; empty if it never started."""
        try:
            state: dict[str, Any] = json.loads(self._state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state

    def update_state(self, **changes: object) -> None:
        """Add to the machine's state, atomically."""
        new = self._state_file.with_suffix(".new")
        new.write_text(json.dumps({**self.state, **changes}, indent=2) + "\n", encoding="utf-8")
        new.replace(self._state_file)

    def is_alive(self) -> bool:
        """Return whether the machine's own qemu process runs."""
        if self._child is not None and self._child.poll() is not None:
            return False
        state = self.state
        return process.is_running(int(state.get("pid", 0)), str(state.get("started", "")))

    def get_remote(self) -> Remote:
        """Return how to reach the machine."""
        return Remote(int(self.state["port"]), self.directory / "ssh_key", self.directory / "known_hosts")

    # Start and stop

    def start(self, command: Sequence[str], keep_open: Sequence[int] = ()) -> None:
        """Start qemu and learn its ssh port. It keeps the descriptors ``keep_open``, and the locks on them."""
        with open(self.directory / "qemu.log", "ab") as log:
            try:
                self._child = subprocess.Popen(
                    command,
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=tuple(keep_open),
                )
            except OSError as error:
                raise LabError(f"{command[0]} does not start: {error}") from error
        self.update_state(pid=self._child.pid, started=process.start_time(self._child.pid))
        limit = time.monotonic() + 60
        while True:
            try:
                with Monitor(self.directory) as monitor:
                    self.update_state(port=qemu.parse_ssh_port(monitor.run_human_command("info usernet")))
                    return
            except OSError:
                if not self.is_alive() or time.monotonic() > limit:
                    raise self.build_error("qemu did not start") from None
                time.sleep(0.02)

    def stop(self) -> None:
        """End the machine's qemu process, if it runs."""
        state = self.state
        if self.is_alive():
            process.end_process(int(state["pid"]), str(state["started"]))
        if self._child is not None:
            self._child.wait()

    def wait_for_ssh(self, label: str, timeout: float) -> None:
        """Wait until the machine's ssh server greets."""
        heartbeat = Heartbeat(label, lambda: tail(self.serial, 1)[-100:])
        port = int(self.state["port"])
        patience = 5.0
        while not has_ssh_server(port, patience, lambda: self.check_progress(heartbeat, timeout, "no ssh")):
            self.check_progress(heartbeat, timeout, "no ssh")
            patience = min(2 * patience, 60.0)
            time.sleep(0.5)

    def set_clock_and_hostname(self, timeout: float) -> None:
        """Set the clock and the host name of a machine that has just resumed from its snapshot.

        This also shows that ssh works. Another connection would cost a second.
        """
        heartbeat = Heartbeat(f"resuming {self.name}", lambda: tail(self.serial, 1)[-100:])
        while True:
            try:
                self.get_remote().set_clock_and_hostname(self.name, heartbeat, timeout)
                return
            except LabError as error:
                self.check_progress(heartbeat, timeout, str(error))
                time.sleep(0.5)

    def check_progress(self, heartbeat: Heartbeat, timeout: float, complaint: str) -> None:
        """Raise LabError if further waiting is useless."""
        if not self.is_alive():
            raise self.build_error("qemu ended")
        with contextlib.suppress(OSError), Monitor(self.directory) as monitor:
            status = monitor.execute("query-status")["status"]
            if status not in ("running", "restore-vm"):
                raise self.build_error(f"qemu's status is {status}")
        if count_panics(tail(self.serial, 2000)) >= PANICS:
            raise self.build_error("the guest's kernel panics again and again")
        if heartbeat.elapsed() > timeout:
            raise self.build_error(f"after {timeout:.0f} s: {complaint}")
        heartbeat.beat()

    def build_error(self, what: str) -> LabError:
        """Return an error with the last lines of qemu and of the console."""
        message = f"machine {self.name}: {what}"
        for title, path in (("qemu said", self.directory / "qemu.log"), ("end of the console", self.serial)):
            text = tail(path)
            message += f"\n--- {title} ---\n{text or '(nothing)'}"
        return LabError(message)

    def save_snapshot(self) -> None:
        """Stop the guest and keep its disk, memory and processors under the name ``ready``."""
        with Monitor(self.directory, timeout=600) as monitor:
            monitor.execute("stop")
            complaint = monitor.run_human_command(f"savevm {qemu.SNAPSHOT}").strip()
            if complaint:
                raise self.build_error(f"savevm: {complaint}")
            with contextlib.suppress(OSError):  # it may be gone before it answers
                monitor.execute("quit")
        limit = time.monotonic() + 60
        while self.is_alive() and time.monotonic() < limit:
            time.sleep(0.02)
        self.stop()


def copy_disk(source: Path, target: Path, backing: Path) -> None:
    """Copy an overlay with its snapshot, and point the copy to the same backing file."""
    subprocess.run(["cp", "--reflink=auto", "--sparse=auto", str(source), str(target)], check=True)
    link_disk(target, backing)


def link_disk(disk: Path, backing: Path | str) -> None:
    """Point an overlay to a backing file of the same content, without reading either."""
    subprocess.run(
        ["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", os.fspath(backing), str(disk)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
