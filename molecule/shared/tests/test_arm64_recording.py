# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder on an arm64 host: the calls of a container by their names on arm64, one that seccomp denies, and a stop that leaves nothing."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

NAME = "recorded"
FOLDER, PINS = "/var/lib/bulkhead/recorder", "/sys/fs/bpf/bulkhead"
# Number 97 is unshare on arm64, and getrlimit on x86-64.
PROGRAM = "import ctypes, socket, time; libc = ctypes.CDLL(None); socket.socket(socket.AF_UNIX); print(libc.syscall(97, 0x10000000))"
Playbook = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def record(playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Run record.yml, and return the recording of the container."""
    work = tmp_path_factory.mktemp("recordings")

    def run(*arguments: str) -> dict[str, Any]:
        done = playbook("record", "-e", f"bulkhead_recordings={work}/recordings", "-e", f"bulkhead_report_dir={work}", *arguments)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
        recording = Path(work, f"recordings/{NAME}.yml")
        return yaml.safe_load(recording.read_text(encoding="utf-8")) if recording.exists() else {}

    return run


@pytest.fixture(scope="module")
def container(host: Host, plain: dict[str, Any]) -> Iterator[str]:
    """Start a container with the host's Python."""
    host.run(f"docker rm -f {NAME}")
    host.check_output(f"docker run -d --network none --volume /usr:/usr:ro --name {NAME} testimage")
    yield host.check_output(f"docker inspect -f '{{{{.State.StartedAt}}}}' {NAME}")
    host.run(f"docker rm -f {NAME}")


def test_calls_are_recorded_and_nothing_is_left(host: Host, container: str, record: Callable[..., dict[str, Any]]) -> None:
    record()
    assert host.file(f"{PINS}/recorder").exists
    assert host.check_output(f"docker exec {NAME} /usr/bin/python3 -c '{PROGRAM}'") == "-1"
    recording = record()
    calls, denied = recording["calls"], recording["denied_calls"]
    print(sorted(calls), denied)
    assert {"execve", "openat", "read", "mmap", "socket", "exit_group"} <= set(calls)
    assert {abi for entry in (*calls.values(), *denied.values()) for abi in entry["abis"]} == {"aarch64"}
    assert list(calls["socket"]["arguments"]) == [socket.AF_UNIX]
    assert list(denied["unshare"]["errnos"]) == [1]  # EPERM
    assert "unshare" not in calls
    assert [entry for entry in recording["access"] if "/python3" in str(entry.get("path"))]
    record("-e", "bulkhead_record=stop")
    assert not host.file(FOLDER).exists and not host.file(PINS).exists
    assert host.check_output(f"docker inspect -f '{{{{.State.StartedAt}}}}' {NAME}") == container
