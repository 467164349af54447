# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parts of a path are replaced, that no pattern misses its own path, and that no file name can widen its pattern."""

from __future__ import annotations

import random
import re
import string

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.paths import escape, generalise_variables

UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
HASH = "d41d8cd98f00b204e9800998ecf8427e"
ANY_HEX = "[0-9a-fA-F]*"


def match(pattern: str, path: str) -> bool:
    """Return whether a pattern matches, for the part of the syntax that occurs here."""
    expression = ""
    for part in re.findall(r"@\{\w+\}|\\.|\[[^]]*\]|.", pattern.replace("@{PROC}", "/proc")):
        if part in ("@{pid}", "@{tid}"):
            expression += "[1-9][0-9]*"
        elif part == "*":
            expression += "[^/]*"
        elif part == "?":
            expression += "[^/]"
        elif part.startswith("["):
            expression += part
        else:
            expression += re.escape(part.removeprefix("\\") if len(part) > 1 else part)
    return re.fullmatch(expression, path, re.DOTALL) is not None


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/proc/1/status", "@{PROC}/@{pid}/status"),
        ("/proc/4242/", "@{PROC}/@{pid}/"),
        ("/proc/17/task/18/comm", "@{PROC}/@{pid}/task/@{tid}/comm"),
        ("/proc/17/task/", "@{PROC}/@{pid}/task/"),
        ("/proc/17/fd/3", "@{PROC}/@{pid}/fd/[0-9]*"),
        ("/proc/17/task/18/fd/3", "@{PROC}/@{pid}/task/@{tid}/fd/[0-9]*"),
        ("/proc/self/status", "/proc/self/status"),
        ("/proc/thread-self/attr/current", "/proc/thread-self/attr/current"),
        ("/proc/sys/net/core/somaxconn", "/proc/sys/net/core/somaxconn"),
        ("/proc/", "/proc/"),
        ("/data/proc/17/status", "/data/proc/17/status"),
    ],
)
def test_processes_become_variables(path: str, pattern: str) -> None:
    assert generalise_variables(path) == pattern


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (f"/data/{UUID}", "/data/" + "-".join([ANY_HEX] * 5)),
        (f"/data/job-{UUID.upper()}.lock", "/data/job-" + "-".join([ANY_HEX] * 5) + ".lock"),
        (f"/cache/{HASH}.gz", f"/cache/{ANY_HEX}.gz"),
        (f"/cache/{'ab' * 15}c", f"/cache/{'ab' * 15}c"),
        (f"/cache/{'ab' * 32}/x", f"/cache/{ANY_HEX}/x"),
        ("/var/log/app-2026-11-28.log", "/var/log/app-[0-9]*-[0-9]*-[0-9]*.log"),
        ("/var/log/app-20261128.log", "/var/log/app-[0-9]*.log"),
        ("/run/app.123456", "/run/app.[0-9]*"),
        ("/run/app.12345", "/run/app.12345"),
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib/x86_64-linux-gnu/libssl.so.3"),
        ("/usr/lib/libQt5WaylandEglClientHwIntegration.so.5", "/usr/lib/libQt5WaylandEglClientHwIntegration.so.5"),
        ("/srv/a-very-long-name-with-123456-in-it", "/srv/a-very-long-name-with-[0-9]*-in-it"),
        ("/", "/"),
        ("/etc/passwd", "/etc/passwd"),
        ("relative/123456", "relative/[0-9]*"),
    ],
)
def test_what_varies_is_replaced_in_every_name(path: str, pattern: str) -> None:
    assert generalise_variables(path) == pattern


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/home/alice/.config/app", "/home/*/.config/app"),
        ("/home/alice", "/home/*"),
        ("/home/", "/home/"),
        ("/home", "/home"),
        ("/run/user/1000/bus", "/run/user/[0-9]*/bus"),
        ("/srv/home/alice", "/srv/home/alice"),
    ],
)
def test_users_are_not_named(path: str, pattern: str) -> None:
    assert generalise_variables(path) == pattern


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "aB3" * 12,
        "glpat-" + "x1Yz" * 5,
        "xoxb-1234-abcdefgh",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "k8Jd0aQ2mZx7Vb5Lp1Rt9Yw3",
    ],
)
def test_tokens_are_not_kept(token: str) -> None:
    assert generalise_variables(f"/srv/session-store/{token}/x") == "/srv/session-store/*/x"


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/tmp/tmp.AbCdEfGhIj", "/tmp/tmp.*"),
        ("/tmp/tmpab12_9zz", "/tmp/tmp*"),
        ("/var/tmp/tmpabcdefgh.json", "/var/tmp/tmp*.json"),
        ("/tmp/app-Xk29Qz/socket", "/tmp/app-*/socket"),
        ("/dev/shm/PostgreSQL.k29x8q", "/dev/shm/PostgreSQL.*"),
        ("/tmp/upload_aQxkdT.png", "/tmp/upload_*.png"),
        ("/tmp/app.config", "/tmp/app.config"),
        ("/tmp/my-Config", "/tmp/my-Config"),
        ("/tmp/tmux", "/tmp/tmux"),
        ("/tmp", "/tmp"),
        ("/srv/app-Xk29Qz/socket", "/srv/app-Xk29Qz/socket"),
    ],
)
def test_random_names_go_below_temporary_folders_only(path: str, pattern: str) -> None:
    assert generalise_variables(path) == pattern


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/data/*", r"/data/\*"),
        ("/data/{a,b}[c]^?\\", r"/data/\{a\,b\}\[c\]\^\?" + "\\\\"),
        ("/data/@{PROC}", r"/data/@\{PROC\}"),
        ('/data/a"b\nc', "/data/a?b?c"),
        ("/data/caf\u00e9", "/data/caf\u00e9"),
        ("/data/\udce9", "/data/?"),
    ],
)
def test_a_file_name_cannot_be_a_pattern(path: str, pattern: str) -> None:
    assert generalise_variables(path) == pattern


def test_every_pattern_matches_its_path_and_keeps_the_depth() -> None:
    source = random.Random(14)
    words = [
        "tmp",
        "var",
        "proc",
        "home",
        "run",
        "user",
        "self",
        "task",
        "fd",
        "1",
        "4242",
        UUID,
        HASH,
        "2026-11-28",
        "tmp.AbCdEfGhIj",
        "a*b",
    ]
    for unused in range(3000):
        names = [
            source.choice(words)
            if source.random() < 0.7
            else "".join(source.choices(string.printable.replace("/", ""), k=source.randint(1, 30)))
            for unused in range(source.randint(1, 6))
        ]
        path = "/" + "/".join(names)
        pattern = generalise_variables(path)
        assert match(pattern, path), (path, pattern)
        assert pattern.replace("@{PROC}", "/proc").count("/") == path.count("/"), (path, pattern)
        assert "**" not in pattern.replace("\\*", ""), (path, pattern)


def test_an_escaped_text_matches_itself_only() -> None:
    assert match(escape("/a[b]*"), "/a[b]*")
    assert not match(escape("/a[b]*"), "/ab")
