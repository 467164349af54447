# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors in daemon.json that the engine's validation misses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import checks, keys

from ...builders import write_files

PATH = "/etc/docker/daemon.json"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"live-restore": "yes"}, 'live-restore: "yes" has the wrong type; write true or false'),
        ({"icc": 0}, "icc: 0 has the wrong type"),
        ({"mtu": "1450"}, 'mtu: "1450" has the wrong type; write a whole number'),
        ({"mtu": True}, "mtu: true has the wrong type"),
        ({"dns": "9.9.9.9"}, "write a list"),
        ({"log-opts": ["a"]}, "write an object"),
        ({"log-driver": 1}, "log-driver: 1 has the wrong type; write a text"),
        ({"log-opts": {"max-file": 3}}, 'log-opts.max-file: 3 is not a text; write "3"'),
        ({"log-opts": {"compress": True}}, 'write "true"'),
        ({"log-opts": {"maxsize": "10m"}}, "log-opts.maxsize: is not an option of the log driver json-file; it has compress"),
        ({"log-driver": "journald", "log-opts": {"max-size": "1m"}}, "is not an option of the log driver journald"),
        ({"storage-driver": "overlay3"}, "overlay3 is not a storage driver"),
        ({"default-runtime": "gvisor"}, "gvisor is not in runtimes"),
        ({"default-runtime": "x", "runtimes": {"x": {"path": "/no/x"}}}, "runtimes.x.path: /no/x does not exist"),
        ({"seccomp-profile": "/no/profile.json"}, "/no/profile.json does not exist; install the profile first"),
        ({"seccomp-profile": "/etc/broken.json"}, "is not valid JSON"),
        ({"seccomp-profile": "/etc/empty.json"}, "has no defaultAction"),
    ],
)
def test_check_content(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    host = write_files(tmp_path, {"etc/broken.json": '{"defaultAction": ', "etc/empty.json": "{}"})
    found = checks.check_content(content, host, PATH)
    assert len(found) == 1
    assert found[0].startswith(f"{PATH}: ")
    assert message in found[0]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"unknown-to-us": object},
        {"log-opts": {"max-size": "10m", "mode": "non-blocking"}},
        {"log-driver": "splunk", "log-opts": {"splunk-token": "x"}},
        {"storage-driver": "stargz", "features": {"containerd-snapshotter": True}},
        {"storage-driver": "overlayfs"},
        {"default-runtime": "io.containerd.runsc.v1"},
        {"default-runtime": "x", "runtimes": {"x": {"path": "x"}}},
        {"seccomp-profile": "builtin"},
        {"seccomp-profile": "/etc/good.json"},
        {"default-shm-size": "64M"},
    ],
)
def test_valid_content(tmp_path: Path, content: dict[str, Any]) -> None:
    host = write_files(tmp_path, {"etc/good.json": '{"defaultAction": "SCMP_ACT_ERRNO"}'})
    assert checks.check_content(content, host, PATH) == []


@pytest.mark.parametrize(
    ("before", "after", "restart"),
    [
        ({}, {}, []),
        ({}, {"icc": False}, ["icc"]),
        ({}, {"live-restore": True}, []),
        ({"live-restore": True}, {}, ["live-restore"]),
        ({"max-concurrent-downloads": 3}, {}, []),
        ({"debug": False}, {"debug": True, "userns-remap": "default"}, ["userns-remap"]),
        ({"icc": 0}, {"icc": False}, ["icc"]),
        ({"log-opts": {"max-size": "1m"}}, {"log-opts": {"max-size": "2m"}}, ["log-opts"]),
    ],
)
def test_list_restart_keys(before: dict[str, object], after: dict[str, object], restart: list[str]) -> None:
    assert keys.list_restart_keys(before, after) == restart
