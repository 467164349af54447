# SPDX-License-Identifier: GPL-3.0-or-later
"""Summaries of running containers: networks, ports, and devices that systemd may not know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import contents
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

DEVICE = "/dev/null"
LINK = f"dev/char/{os.major(os.stat(DEVICE).st_rdev)}:{os.minor(os.stat(DEVICE).st_rdev)}"


def summarize(root: Path, config: dict[str, Any], **entry: Any) -> dict[str, Any]:
    listed = {"Id": "1" * 64, "Names": ["/web"], **entry}
    return contents._summarize_container(Host(root), listed, {"HostConfig": config, "Config": {}})


def test_networks_and_ports(tmp_path: Path) -> None:
    ports = [{"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": ip} for ip in ("0.0.0.0", "::")] + [
        {"PrivatePort": 9, "Type": "tcp"}
    ]
    found = summarize(tmp_path, {"AutoRemove": True}, Ports=ports, NetworkSettings={"Networks": {"b": {}, "bridge": {}}})
    assert (found["networks"], found["ports"], found["auto_remove"]) == (["b", "bridge"], ["8080/tcp"], True)


def test_a_container_without_network_and_ports(tmp_path: Path) -> None:
    found = summarize(tmp_path, {}, Ports=None, NetworkSettings=None)
    assert (found["networks"], found["ports"], found["auto_remove"], found["hidden_devices"]) == ([], [], False, [])


@pytest.mark.parametrize(("folder", "hidden"), [("", False), ("sys", False), ("elsewhere", True)])
def test_devices_that_systemd_may_not_know(tmp_path: Path, folder: str, hidden: bool) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/null").symlink_to(DEVICE)
    (tmp_path / folder / LINK).parent.mkdir(parents=True)
    (tmp_path / folder / LINK).write_text("")
    devices = [{"PathOnHost": DEVICE}, {"PathOnHost": "/dev/removed"}, {}]
    assert summarize(tmp_path, {"Devices": devices})["hidden_devices"] == ([DEVICE] if hidden else [])


def test_devices_that_a_hook_adds(tmp_path: Path) -> None:
    assert summarize(tmp_path, {"DeviceRequests": [{"Count": -1}]})["hidden_devices"] == ["--gpus"]
