# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of the systemd drop-in that limits the PIDs of every container without a limit of its own.

The systemd cgroup driver puts each container into a scope docker-ID.scope, and systemd reads the drop-ins of the name's prefix,
docker-.scope.d, for it (man 5 systemd.unit). An explicit limit is in a transient `50-TasksMax.conf`, so this file's number must be lower:
otherwise each daemon-reload would overwrite explicit limits, while `docker inspect` still shows them.
"""

from __future__ import annotations


def render_drop_in(limit: int) -> str:
    """Return the file's text. limit: tasks per container, 1 or more."""
    return (
        "# Written by Bulkhead (role docker_daemon, docker_daemon_default_pids_limit).\n"
        "# The default PIDs limit of containers that set none. Keep the file's number below 50: see systemd's 50-TasksMax.conf.\n"
        f"[Scope]\nTasksMax={limit}\n"
    )
