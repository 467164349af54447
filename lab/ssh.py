# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in a machine, over ssh as root with the image's own key."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.inventory import ssh_options

# Sets the clock before anything else, with the time read when the guest asks for it: the
# handshake before takes a second on an emulated processor. The host name goes with it.
GREET = """
set -e
echo ask
read -r now name
date --utc --set="@$now" >/dev/null
if [ "$(hostname)" != "$name" ]; then
    echo "$name" > /etc/hostname
    hostname "$name"
    sed -i "s/^127\\.0\\.1\\.1 .*/127.0.1.1 $name/" /etc/hosts
fi
"""


def create_key(path: Path) -> None:
    """Write a new key pair to ``path`` and ``path.pub``."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bulkhead-lab", "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def answers(port: int, timeout: float = 2.0) -> bool:
    """Say whether an ssh server greets on that port: qemu itself accepts every connection."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


@dataclass(frozen=True)
class Remote:
    """How to reach one machine."""

    port: int
    key: Path
    known_hosts: Path

    def command(self, words: Sequence[str] = (), *, terminal: bool = False) -> list[str]:
        """Return the ssh command line that runs ``words`` (or a shell) there."""
        # fmt: off
        return [
            "ssh", *ssh_options(self.known_hosts),
            "-o", "ConnectTimeout=30",
            *([] if terminal else ["-o", "BatchMode=yes"]),
            "-i", str(self.key), "-p", str(self.port), "root@127.0.0.1",
            *words,
        ]
        # fmt: on

    def script(self, text: str, label: str, timeout: float) -> None:
        """Run a shell script there; raise LabError with what it said if it fails."""
        try:
            result = subprocess.run(
                self.command(["sh", "-s"]), input=text, text=True, capture_output=True, timeout=timeout
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{label}: no end after {timeout:.0f} s") from error
        if result.returncode != 0:
            said = (result.stdout + result.stderr).strip()
            raise LabError(f"{label}: status {result.returncode}: {said}")

    def greet(self, hostname: str, timeout: float) -> None:
        """Set the machine's clock and host name, in one connection."""
        process = subprocess.Popen(
            self.command([GREET]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin and process.stdout
        try:
            if process.stdout.readline() == "ask\n":
                process.stdin.write(f"{time.time():.3f} {hostname}\n")
                process.stdin.flush()
            _, complaint = process.communicate(timeout=timeout)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LabError(f"ssh to port {self.port}: {error}") from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise LabError(f"ssh to port {self.port}: status {process.returncode}: {complaint.strip()}")
