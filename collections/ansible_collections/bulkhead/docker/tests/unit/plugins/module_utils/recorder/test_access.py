# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of Linux 6.1 (without `class`) to 7.2, in the one form of the recorder."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.messages import parse_kernel_line
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.access import parse_access

HEAD = 'audit: type=1400 audit(1764000000.123:77): apparmor="AUDIT" operation='


def parse(text: str, verdict: str = "AUDIT") -> tuple[dict[str, Any], bool, int] | None:
    line = (HEAD + text).replace('"AUDIT"', f'"{verdict}"', 1)
    message = parse_kernel_line(line if " profile=" in line else f'{line} profile="docker-default" pid=12 comm="x"')
    assert message
    return parse_access(message)


@pytest.mark.parametrize(
    ("text", "access"),
    [
        (
            '"open" class="file" name="/etc/passwd" requested_mask="r" fsuid=0 ouid=0',
            {"class": "file", "path": "/etc/passwd", "mask": "r", "owner": True},
        ),
        (
            '"open" name="/etc/passwd" requested_mask="r" fsuid=5 ouid=0',
            {"class": "file", "path": "/etc/passwd", "mask": "r", "owner": False},
        ),
        (
            '"mknod" class="file" name=2F746D702F6120C3A9 requested_mask="c" fsuid=5 ouid=5',
            {"class": "file", "path": "/tmp/a é", "mask": "w", "owner": True},
        ),
        (
            '"unlink" class="file" name="/tmp/a" requested_mask="d" fsuid=5 ouid=5',
            {"class": "file", "path": "/tmp/a", "mask": "w", "owner": True},
        ),
        (
            '"open" class="file" name="/tmp/a" requested_mask="wrac" fsuid=5 ouid=5',
            {"class": "file", "path": "/tmp/a", "mask": "rw", "owner": True},
        ),
        (
            '"file_mmap" class="file" name="/lib/x.so" requested_mask="rm" fsuid=1 ouid=0',
            {"class": "file", "path": "/lib/x.so", "mask": "mr", "owner": False},
        ),
        (
            '"exec" class="file" name="/bin/sh" requested_mask="x" fsuid=0 ouid=0 target="docker-default"',
            {"class": "file", "path": "/bin/sh", "mask": "x", "owner": True},
        ),
        (
            '"link" class="file" name="/tmp/b" requested_mask="l" fsuid=0 ouid=0 target="/tmp/a"',
            {"class": "file", "path": "/tmp/b", "mask": "l", "owner": True, "target": "/tmp/a"},
        ),
        ('"capable" class="cap" capability=0  capname="chown"', {"class": "capability", "name": "chown"}),
        (
            '"create" class="net" family="inet" sock_type="stream" protocol=6 requested_mask="create"',
            {"class": "network", "family": "inet", "type": "stream"},
        ),
        (
            '"create" family="unix" sock_type="dgram" protocol=0 requested_mask="create"',
            {"class": "network", "family": "unix", "type": "dgram"},
        ),
        (
            '"connect" class="net" family="unix" sock_type="stream" protocol=0 requested_mask="send receive connect" addr=none peer_addr="@x" peer="web"',
            {"class": "unix", "type": "stream", "mask": "connect receive send", "peer": "web", "address": "@x"},
        ),
        (
            '"signal" class="signal" requested_mask="send" signal=term peer="docker-default"',
            {"class": "signal", "direction": "send", "signal": "term", "peer": "docker-default"},
        ),
        (
            '"bind" class="net" family="unix" sock_type="stream" protocol=0 requested_mask="bind" addr=2F746D702F737020616365',
            {"class": "unix", "type": "stream", "mask": "bind", "address": "/tmp/sp ace"},
        ),
        ('"ptrace" class="ptrace" requested_mask="read" peer="web//null-/bin/x"', {"class": "ptrace", "mask": "read", "peer": "web"}),
        (
            '"mount" class="mount" name="/mnt/" fstype="tmpfs" srcname="tmpfs" flags="rw, nosuid"',
            {"class": "mount", "operation": "mount", "path": "/mnt/", "fstype": "tmpfs", "flags": "rw, nosuid", "source": "tmpfs"},
        ),
        (
            '"mount" class="mount" name="/" flags="ro, remount, bind"',
            {"class": "mount", "operation": "remount", "path": "/", "flags": "ro, remount, bind"},
        ),
        ('"umount" class="mount" name="/mnt/"', {"class": "mount", "operation": "umount", "path": "/mnt/"}),
        (
            '"pivotroot" class="mount" name="/new/" srcname="/new/old/"',
            {"class": "mount", "operation": "pivotroot", "path": "/new/", "source": "/new/old/"},
        ),
        ('"userns_create" class="namespace" requested="userns_create" denied="userns_create"', {"class": "userns"}),
        (
            '"uring_sqpoll" class="io_uring" requested="sqpoll"',
            {"class": "other", "operation": "uring_sqpoll", "detail": "class=io_uring requested=sqpoll"},
        ),
        (
            '"open" class="file" info="Failed name lookup - disconnected path" error=-13 name="tmp/x" requested_mask="r"',
            {
                "class": "other",
                "operation": "open",
                "detail": "class=file name=tmp/x requested_mask=r info=Failed name lookup - disconnected path",
            },
        ),
        (
            '"mqueue_create" class="posix_mqueue" name="/q" requested="create"',
            {"class": "other", "operation": "mqueue_create", "detail": "class=posix_mqueue name=/q requested=create"},
        ),
        ('"change_profile" name="web"', {"class": "other", "operation": "change_profile", "detail": "name=web"}),
    ],
)
def test_an_access(text: str, access: dict[str, Any]) -> None:
    assert parse(text) == (access, False, 12)


@pytest.mark.parametrize(("verdict", "denied"), [("AUDIT", False), ("ALLOWED", False), ("DENIED", True), ("KILLED", True)])
def test_verdicts(verdict: str, denied: bool) -> None:
    found = parse('"open" class="file" name="/a" requested_mask="rw" denied_mask="w" fsuid=0 ouid=0', verdict)
    assert found == ({"class": "file", "path": "/a", "mask": "w" if denied else "rw", "owner": True}, denied, 12)


@pytest.mark.parametrize(
    ("text", "pid"),
    [
        ('"signal" requested_mask="receive" signal=term peer="unconfined"', 0),
        ('"signal" requested_mask="receive" signal=term peer="docker-default"', 12),
        ('"signal" requested_mask="send" signal=term peer="unconfined"', 12),
        ('"ptrace" requested_mask="tracedby" peer="unconfined"', 0),
        ('"recvmsg" class="net" family="inet" sock_type="stream" requested_mask="receive"', 12),
    ],
)
def test_an_access_by_a_process_of_another_profile_has_no_pid(text: str, pid: int) -> None:
    found = parse(text)
    assert found
    assert found[2] == pid


@pytest.mark.parametrize(
    "text",
    [
        '"profile_replace" profile="unconfined" name="x" pid=3',
        '"open" profile="unconfined" name="/a" requested_mask="r" pid=3',
        '"open" profile="x" name="/a" requested_mask="r"',
        '"open" profile="x" name="/a" requested_mask="r" pid=none',
    ],
)
def test_other_messages(text: str) -> None:
    assert parse(text) is None
    assert parse(text, "STATUS") is None


def test_other_records() -> None:
    seccomp = parse_kernel_line("audit: type=1326 audit(1764000000.123:77): pid=1 sig=0 arch=c000003e syscall=1 code=0x7ffc0000")
    assert seccomp
    assert parse_access(seccomp) is None


def test_a_namespace_and_a_hat() -> None:
    found = parse('"open" class="file" profile=":ns:web//hat" name="/a" requested_mask="r" fsuid=0 ouid=0 pid=9')
    assert found == ({"class": "file", "path": "/a", "mask": "r", "owner": True}, False, 9)
