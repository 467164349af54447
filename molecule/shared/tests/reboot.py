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
# A process with a filter makes calls while another one is in bpf(2) most of the time, where it is interrupted. Prints calls made and counted.
COUNT_CALLS = """
import os, struct, sys, time
sys.path.insert(0, "/var/lib/bulkhead/recorder/recorder.pyz")
from bulkhead.recorder import bpf, counts, selftest
spinner = os.fork()
if not spinner:
    descriptor = bpf.create_map(bpf.HASH, 4, 8, 16, "spinner")
    while True:
        bpf.look_up(descriptor, bytes(4), 8)
caller = os.fork()
if not caller:
    if selftest.install_filter():
        os._exit(1)
    end, made = time.monotonic() + 8, 0
    while time.monotonic() < end:
        for _time in range(50):
            os.getppid()
        made += 50
        time.sleep(0.0005)
    print(made, flush=True)
    os._exit(0)
os.waitpid(caller, 0)
os.kill(spinner, 9)
cgroup = counts.find_cgroup_of(caller)
print(sum(call.count for call in counts.read_counts().calls if (call.cgroup, call.abi, call.number) == (cgroup, "x86_64", 110)))
"""


@dataclass
class RecordedReboot:
    """What the recorder knew of a container after a reboot. output: of the stop. recording: recordings/SERVICE.yml. left: its files.

    counted: output of COUNT_CALLS, before the reboot.
    """

    counted: str
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

    def check_counts(self) -> None:
        """Every call was counted, wherever other tasks were interrupted."""
        made, counted = map(int, self.counted.split())
        assert made == counted > 0


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
    counted = host.check_output(f"python3 - <<'END'{COUNT_CALLS}END")
    reboot(host, ready)
    done = playbook("record", *arguments, "-ebulkhead_record=stop")
    assert done.returncode == 0, done.stdout[-4000:]
    recording = yaml.safe_load((folder / f"{service}.yml").read_text(encoding="utf-8"))
    left = host.run("ls -d /var/lib/bulkhead/recorder /sys/fs/bpf/bulkhead /etc/systemd/system/bulkhead-recorder*").stdout
    return RecordedReboot(counted, done.stdout, recording, left)
