# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers import planning_observation as pending


def test_nothing_is_pending(tmp_path: Path) -> None:
    assert pending.observe_pending(Host(tmp_path), {"pid": None}, "/var/lib/docker") == {
        "reboot": None,
        "modules": None,
        "replaced": False,
        "disk_space": None,
    }


def test_pending_reboot_and_restart(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/reboot-required").touch()
    (tmp_path / "run/reboot-required.pkgs").write_text("linux-image\nlibc6\nlinux-image\n")
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
