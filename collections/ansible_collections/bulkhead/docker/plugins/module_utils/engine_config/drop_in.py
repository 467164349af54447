# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd drop-in that gives every container without a PIDs limit of its own one.

The systemd cgroup driver puts each container into a scope named docker-ID.scope, and systemd reads the drop-ins of the name's prefix,
docker-.scope.d, for it (man 5 systemd.unit). A container's explicit limit stands in a transient `50-TasksMax.conf`, so this file's
number has to be lower: otherwise each daemon-reload would overwrite explicit limits while `docker inspect` still shows them.
"""

from __future__ import annotations

import re

from ..engine.instance import ROOTFUL, SCOPE_DROP_IN

FOLDER, NAME = SCOPE_DROP_IN.split("/")
PATH = ROOTFUL.drop_in


def render_drop_in(limit: int) -> str:
    """The file's text for a limit (tasks per container, 1 or more)."""
    return (
        "# Written by Bulkhead (role docker_daemon, docker_daemon_default_pids_limit).\n"
        "# The default PIDs limit of containers that set none. Keep the file's number below 50: see systemd's 50-TasksMax.conf.\n"
        f"[Scope]\nTasksMax={limit}\n"
    )


def parse_tasks_max(text: str) -> str | None:
    """The last TasksMax= of a drop-in as it stands there (`100`, `15%`, `infinity`); None without one, empty for a reset."""
    found = re.findall(r"^[ \t]*TasksMax[ \t]*=[ \t]*(\S*)[ \t]*$", text, re.MULTILINE)
    return found[-1] if found else None
