# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags of dockerd, compared with the keys of daemon.json."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import flags
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import keys
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import daemon_keys


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], {}),
        (["-H", "fd://"], {"host": "fd://"}),
        (["-H", "fd://", "-H", "tcp://0.0.0.0:2375"], {"host": "fd://,tcp://0.0.0.0:2375"}),
        (["--host=fd://", "--icc=false"], {"host": "fd://", "icc": "false"}),
        (["--icc", "--debug", "--mtu", "1450"], {"icc": "true", "debug": "true", "mtu": "1450"}),
        (["-D", "-lwarn", "-s", "overlay2"], {"debug": "true", "log-level": "warn", "storage-driver": "overlay2"}),
        (["--log-opt", "a=1", "--log-opt", "b=2"], {"log-opt": "a=1,b=2"}),
        (["--config-file=/x.json", "stray"], {"config-file": "/x.json"}),
    ],
)
def test_parse_flags(argv: list[str], expected: dict[str, str]) -> None:
    assert flags.parse_flags(argv) == expected


@pytest.mark.parametrize(
    ("given", "content", "expected"),
    [
        ({"host": "fd://"}, {"hosts": ["fd://"]}, {"hosts": "host"}),
        ({"host": "fd://"}, {"icc": False}, {}),
        ({"icc": "false"}, {"icc": False}, {"icc": "icc"}),
        ({"log-opt": "a=1"}, {"log-opts": {"b": "2"}}, {"log-opts": "log-opt"}),
        ({"add-runtime": "a=b"}, {"runtimes": {}}, {}),
        ({"http-proxy": "http://a"}, {"proxies": {"http-proxy": "http://b"}}, {"http-proxy": "http-proxy"}),
        ({"config-file": "/x"}, {"config-file": "/x"}, {}),
    ],
)
def test_find_clashes(given: dict[str, str], content: dict[str, Any], expected: dict[str, str]) -> None:
    assert keys.find_clashes(given, content) == expected


@pytest.mark.parametrize(
    ("value", "desired", "expected"),
    [
        ("false", False, True),
        ("0", False, True),
        ("true", False, False),
        ("overlay2", "overlay2", True),
        ("a=1,b=2", {"b": "2", "a": "1"}, True),
        ("a=1", {"a": "2"}, False),
        ("fd://", ["fd://"], True),
    ],
)
def test_is_same_value(value: str, desired: Any, expected: bool) -> None:
    assert daemon_keys.is_same_value(value, desired) is expected
