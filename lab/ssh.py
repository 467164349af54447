# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in a machine, over ssh as root with the image's own key."""

from __future__ import annotations

import secrets
import select
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.inventory import ssh_options
from lab.progress import Heartbeat

# Sets the clock before anything else, with the time read when the guest asks for it: the
# handshake before takes a second on an emulated processor. The host name goes with it.
# A machine without vmgenid (qemu's `virt`) resumes with the random numbers of its snapshot, as every other one: it gets a
# seed and mixes it in with RNDRESEEDCRNG (0x5207; man 4 random, include/uapi/linux/random.h).
SET_CLOCK_AND_HOSTNAME = """
set -e
echo ask
read -r now name seed
date --utc --set="@$now" >/dev/null
if [ ! -e /sys/bus/acpi/devices/QEMUVGID:00 ]; then
    echo "$seed" > /dev/urandom
    perl -e 'open(RANDOM, ">", "/dev/urandom") && ioctl(RANDOM, 0x5207, 0) or die "RNDRESEEDCRNG: $!"'
fi
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


def has_ssh_server(port: int, patience: float, meanwhile: Callable[[], None]) -> bool:
    """Return whether an ssh server greets on that port within the patience (seconds).

    qemu itself accepts every connection. It closes one that the guest rejects, and repeats its attempts
    while the guest is silent. So a connection is kept open: each new one would make a slow machine start
    another server. ``meanwhile`` is called twice a second.
    """
    limit = time.monotonic() + patience
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
            while time.monotonic() < limit:
                if select.select([connection], [], [], 0.5)[0]:
                    return connection.recv(4) == b"SSH-"
                meanwhile()
    except OSError:
        pass
    return False


@dataclass(frozen=True)
class Remote:
    """How to reach one machine."""

    port: int
    key: Path
    known_hosts: Path

    def build_command(self, words: Sequence[str] = (), *, terminal: bool = False) -> list[str]:
        """Return the ssh command line that runs ``words`` (or a shell) there."""
        # fmt: off
        return [
            "ssh", *ssh_options(self.known_hosts),
            "-o", "ConnectTimeout=120",
            *([] if terminal else ["-o", "BatchMode=yes"]),
            "-i", str(self.key), "-p", str(self.port), "root@127.0.0.1",
            *words,
        ]
        # fmt: on

    def set_clock_and_hostname(self, hostname: str, heartbeat: Heartbeat, timeout: float) -> None:
        """Set the machine's clock and host name, in one connection; raise LabError if there is none."""
        process = subprocess.Popen(
            self.build_command([SET_CLOCK_AND_HOSTNAME]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin and process.stdout
        try:
            while not select.select([process.stdout], [], [], 0.5)[0]:
                heartbeat.beat()
                if heartbeat.elapsed() > timeout:
                    raise LabError(f"ssh to port {self.port}: no answer")
            answer = f"{time.time():.3f} {hostname} {secrets.token_hex(32)}\n" if process.stdout.readline() == "ask\n" else ""
            _, complaint = process.communicate(answer, timeout=timeout)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LabError(f"ssh to port {self.port}: {error}") from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise LabError(f"ssh to port {self.port}: status {process.returncode}: {complaint.strip()}")
