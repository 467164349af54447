# SPDX-License-Identifier: GPL-3.0-or-later
"""dockerd's validation and error messages, with output of real engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import binary

from .programs import write_dockerd

UNKNOWN = (
    "unable to configure the Docker daemon with file /proc/self/fd/0: the following directives don't match any configuration option: iccc"
)

OLD = 'case "$*" in *--validate*) echo "unknown flag: --validate"; exit 125;; esac;'


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'configuration OK' >&2", None),
        (f'echo "{UNKNOWN}" >&2; exit 1', UNKNOWN.replace("/proc/self/fd/0", "/etc/docker/daemon.json")),
        # 20.10 has no --validate: the second call, a plain start as nobody, decides.
        (
            f'{OLD} echo "dockerd needs to be started with root privileges"',
            None,
        ),
        (
            f'{OLD} echo "{UNKNOWN}"',
            UNKNOWN.replace("/proc/self/fd/0", "/etc/docker/daemon.json"),
        ),
        ("echo 'open /etc/docker/key.pem: permission denied'; exit 1", None),
        ('grep -q icc /proc/self/fd/0 && test "$(id -u)" = 65534 && echo "configuration OK"', None),
    ],
)
def test_validate_config(tmp_path: Path, script: str, expected: str | None) -> None:
    if not hasattr(binary.os, "geteuid") or binary.os.geteuid() != 0:
        pytest.skip("becoming nobody takes root")
    assert binary.validate_config(write_dockerd(tmp_path, script), '{"icc": false}') == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('time="x" level=info msg="Starting up"\nfailed to start daemon: no such driver\n', "failed to start daemon: no such driver"),
        ('time="x" level=fatal msg="a \\"b\\" c"\n', 'a "b" c'),
        ("", "the engine printed nothing"),
    ],
)
def test_extract_error(output: str, expected: str) -> None:
    assert binary.extract_error(output) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["-H", "fd://", "--config-file", "/x"], ["-H", "fd://"]),
        (["--config-file=/x", "--icc=false"], ["--icc=false"]),
    ],
)
def test_remove_flag(flags: list[str], expected: list[str]) -> None:
    assert binary.remove_flag(flags, "config-file") == expected
