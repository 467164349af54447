# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollback removes the rootless engine and restores the rootful one. The user and their data stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conftest import wait_for_engine
from rootless import USER
from testinfra.host import Host

REMOVED = (
    "/etc/systemd/user/docker.service",
    "/etc/systemd/user/default.target.wants",
    "/etc/systemd/user/docker-.scope.d",
    "/usr/local/libexec/bulkhead",
    "/etc/modules-load.d/bulkhead-rootless.conf",
    "/etc/profile.d/bulkhead-rootless.sh",
    "/etc/sysctl.d/60-bulkhead-rootless.conf",
    "/etc/apparmor.d/bulkhead-rootless",
    f"/var/lib/systemd/linger/{USER}",
    "/var/lib/bulkhead/rootless.json",
)


# Written by test_rootless_sabotage.py, so unmanaged.
UNMANAGED = '{"runtimes": {"plain": {"path": "/usr/sbin/runc"}}}'


def test_the_rootful_engine_is_restored_and_user_data_stay(host: Host, playbook: Callable[..., Any]) -> None:
    host.check_output(f"su - {USER} -c 'docker volume create precious'")
    done = playbook("rollback", "-e", "rootless_docker_stop_containers=true")
    assert done.returncode == 0, done.stdout[-4000:]
    wait_for_engine(host)
    shown = host.check_output(
        f"""for path in {" ".join(REMOVED)} /etc/systemd/system/user@$(id -u {USER}).service.d; do [ ! -e $path ] || echo left: $path; done
        systemctl is-enabled docker.service docker.socket; pgrep -x -u {USER} dockerd
        ls -d /home/{USER}/.local/share/docker/volumes/precious; grep -x {USER}:296608:65536 /etc/subuid
        cat /proc/sys/net/ipv4/ip_unprivileged_port_start /home/{USER}/.config/docker/daemon.json"""
    )
    volume = f"/home/{USER}/.local/share/docker/volumes/precious"
    assert shown.splitlines() == ["enabled", "enabled", volume, f"{USER}:296608:65536", "1024", UNMANAGED]


def test_a_second_rollback_changes_nothing(host: Host, playbook: Callable[..., Any]) -> None:
    done = playbook("rollback")
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout[-3000:]
