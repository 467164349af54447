# SPDX-License-Identifier: GPL-3.0-or-later
"""Reboots the machine of a test, with the recorder armed: it records again before the containers start."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import build_wait
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 600


@dataclass
class RecordedReboot:
    """What the recorder knew of a container after a reboot. output: of the stop. recording: recordings/SERVICE.yml. left: its files."""

    output: str
    recording: dict[str, Any]
    left: str

    def check(self) -> None:
        """The recorder saw the container's start at boot, without a gap. Nothing is left after the stop."""
        (seen,) = self.recording["recorders"].values()
        (configuration,) = seen["configurations"].values()
        assert configuration.get("restarts") == 1, f"{configuration}\n{self.output}"
        assert {"execve", "openat"} <= set(self.recording["calls"])
        assert [access["path"] for access in self.recording["access"] if "path" in access]
        assert not seen["gaps"], seen["gaps"]
        assert not self.left


def reboot(host: Host, ready: str) -> None:
    """Reboot the machine, and return when the command `ready` succeeds on it."""
    boot = host.check_output("cat /proc/sys/kernel/random/boot_id")
    with suppress(RuntimeError):  # the connection may close before the answer
        host.run("systemctl reboot")
    wait_for_boot(host, boot, ready)


def wait_for_boot(host: Host, boot: str, ready: str) -> None:
    """Return when the machine has another boot ID than `boot` and the command `ready` succeeds on it."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        time.sleep(5)
        wait = build_wait(ready, max(1.0, deadline - time.monotonic()), pause=3)
        with suppress(RuntimeError):  # ssh itself fails: sshd does not run, or it is stopping
            if host.run(f"[ $(cat /proc/sys/kernel/random/boot_id) != {boot} ] && {wait}").rc == 0:
                return
    pytest.fail(f"the machine was not reachable, or `{ready}` did not succeed, within {SECONDS} s")


def reboot_recorded(host: Host, ready: str, service: str, playbook: Playbook, folder: Path, *options: str) -> RecordedReboot:
    """Record during a reboot. service: a running container that starts at boot. folder: for recordings and reports."""
    arguments = [*options, f"-ebulkhead_recordings={folder}", f"-ebulkhead_report_dir={folder}", "-ebulkhead_show=all"]
    done = playbook("record", *arguments)
    assert done.returncode == 0, done.stdout[-4000:]
    reboot(host, ready)
    done = playbook("record", *arguments, "-ebulkhead_record=stop")
    assert done.returncode == 0, done.stdout[-4000:]
    recording = yaml.safe_load((folder / f"{service}.yml").read_text(encoding="utf-8"))
    left = host.run("ls -d /var/lib/bulkhead/recorder /sys/fs/bpf/bulkhead /etc/systemd/system/bulkhead-recorder*").stdout
    return RecordedReboot(done.stdout, recording, left)
