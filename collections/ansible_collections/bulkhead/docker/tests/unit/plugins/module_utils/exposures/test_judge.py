# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.judge import find_exposures


@pytest.mark.parametrize(
    ("config", "mounts", "ids"),
    [
        ({}, [], []),
        ({"Privileged": True}, [], ["container.privileged"]),
        ({"PidMode": "host", "NetworkMode": "host"}, [], ["container.host_namespace", "container.host_namespace"]),
        ({"NetworkMode": "none", "PidMode": "container:x"}, [], []),
        ({}, [{"Source": "/var/run/docker.sock", "Destination": "/s"}], ["container.engine_socket"]),
        ({}, [{"Source": "/run/containerd/containerd.sock", "Destination": "/s"}], ["container.engine_socket"]),
        ({}, [{"Source": "/run/user/1000/docker.sock", "Destination": "/s"}], ["container.engine_socket"]),
        ({}, [{"Source": "/srv/docker.sock.d", "Destination": "/s"}], []),
    ],
)
def test_exposures(config: dict[str, Any], mounts: list[dict[str, Any]], ids: list[str]) -> None:
    container = {"name": "web", "inspect": {"HostConfig": config, "Mounts": mounts, "User": ""}}
    assert [finding.id for finding in find_exposures(container)] == ids
