# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.locks import ShadowLocked, shadow_locks

from ...builders import write_files

HOLD_FCNTL = """
import fcntl, sys
handle = open(sys.argv[1], "w")
fcntl.lockf(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return write_files(tmp_path, {"etc/subuid": "a:1:2\n"})


def files(host: Host) -> list[str]:
    return sorted(os.listdir(host.path("/etc")))


def test_while_held_and_after(host: Host) -> None:
    lock = host.path("/etc/subuid.lock")
    with shadow_locks(host, "/etc/subuid", "/etc/subgid"):
        assert lock.read_bytes() == b"%d\0" % os.getpid()
        assert lock.stat().st_nlink == 1
        assert files(host) == [".pwd.lock", "subgid.lock", "subuid", "subuid.lock"]
    assert files(host) == [".pwd.lock", "subuid"]


def test_released_after_an_error(host: Host) -> None:
    with pytest.raises(RuntimeError), shadow_locks(host, "/etc/subuid"):
        raise RuntimeError
    assert files(host) == [".pwd.lock", "subuid"]


@pytest.mark.parametrize("left", [b"999999999\0", b"999999999", b"999999999\n"])
def test_stale_lock_is_replaced(host: Host, left: bytes) -> None:
    host.path("/etc/subuid.lock").write_bytes(left)
    with shadow_locks(host, "/etc/subuid", timeout=1):
        assert host.path("/etc/subuid.lock").read_bytes() == b"%d\0" % os.getpid()


def test_lock_with_own_pid_is_stale(host: Host) -> None:
    host.path("/etc/subuid.lock").write_bytes(b"%d\0" % os.getpid())
    with shadow_locks(host, "/etc/subuid", timeout=1):
        pass


def test_held_lock_is_awaited_and_kept(host: Host) -> None:
    lock = host.path("/etc/subuid.lock")
    lock.write_bytes(b"%d\0" % os.getppid())
    with (
        pytest.raises(ShadowLocked, match=f"subuid.lock is held by process {os.getppid()}"),
        shadow_locks(host, "/etc/subuid", timeout=0.2),
    ):
        pytest.fail("must not be entered")
    assert lock.read_bytes() == b"%d\0" % os.getppid()
    assert files(host) == [".pwd.lock", "subuid", "subuid.lock"]


@pytest.mark.parametrize("content", [b"", b"\0", b"abc\0", b"-1\0", b"0\0"])
def test_lock_without_pid_is_an_error(host: Host, content: bytes) -> None:
    host.path("/etc/subuid.lock").write_bytes(content)
    with pytest.raises(ShadowLocked, match="instead of a process ID"), shadow_locks(host, "/etc/subuid", timeout=1):
        pytest.fail("must not be entered")
    assert host.path("/etc/subuid.lock").read_bytes() == content


def test_password_lock_is_awaited(host: Host) -> None:
    path = host.path("/etc/.pwd.lock")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_FCNTL, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ShadowLocked, match="another tool is changing users"), shadow_locks(host, "/etc/subuid", timeout=0.2):
            pytest.fail("must not be entered")
        assert "subuid.lock" not in files(host)
        holder.stdin.close()
        holder.wait()
    with shadow_locks(host, "/etc/subuid", timeout=5):
        pass
