# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers import planning_observation as pending

from ...builders import write_files


def test_nothing_is_pending(tmp_path: Path) -> None:
    assert pending.observe_pending(Host(tmp_path), {"pid": None}, "/var/lib/docker") == {
        "reboot": None,
        "modules": None,
        "replaced": False,
        "disk_space": None,
    }


def test_pending_reboot_and_restart(tmp_path: Path) -> None:
    write_files(tmp_path, {"run/reboot-required": "", "run/reboot-required.pkgs": "linux-image\nlibc6\nlinux-image\n"})
    (tmp_path / "lib/modules").mkdir(parents=True)
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/exe").symlink_to("/usr/sbin/dockerd (deleted)")
    (tmp_path / "srv").mkdir()
    found = pending.observe_pending(Host(tmp_path), {"pid": 7, "root_dir": "/srv"}, "/var/lib/docker")
    assert (found["reboot"], found["modules"], found["replaced"]) == (["libc6", "linux-image"], False, True)
    assert found["disk_space"]["path"] == "/srv" and 0 < found["disk_space"]["free"] <= found["disk_space"]["size"]

    (tmp_path / "lib/modules" / os.uname().release).mkdir()
    (tmp_path / "proc/7/exe").unlink()
    (tmp_path / "proc/7/exe").symlink_to("/usr/sbin/dockerd")
    found = pending.observe_pending(Host(tmp_path), {"pid": 7}, "/srv")
    assert (found["modules"], found["replaced"]) == (True, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 2, "host": {}, "sources": {}, "instances": []}',
        '{"format": 1, "host": {}, "sources": {}, "instances": 1}',
    ],
)
def test_a_damaged_recording_does_not_stop_planning(tmp_path: Path, text: str) -> None:
    assert pending._read_recorded(Host(tmp_path)) is None
    write_recorded(tmp_path, text)
    assert pending._read_recorded(Host(tmp_path)) is None


def test_only_calls_of_running_containers_are_observed(tmp_path: Path) -> None:
    instances = [{"name": name, "running": name == "a", "calls": [1], "access": [2], "written": [3]} for name in "ab"]
    content = {"format": 1, "host": {"machine": "x86_64"}, "sources": {}, "instances": instances, "state": {"x": 1}, "gaps": []}
    write_recorded(tmp_path, json.dumps(content))
    assert pending._read_recorded(Host(tmp_path)) == {
        "host": {"machine": "x86_64"},
        "sources": {},
        "instances": [{"name": "a", "running": True, "calls": [1], "access": [], "written": []}],
    }


def write_recorded(root: Path, text: str) -> None:
    write_files(root, {"var/lib/bulkhead/recorder/recorded.json": text})
