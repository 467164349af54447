# SPDX-License-Identifier: GPL-3.0-or-later
"""The default PIDs limit on the host: the drop-ins of scopes, in the order in which systemd reads them. Reads files only."""

from __future__ import annotations

import re
from typing import Any

from ...engine.instance import ROOTFUL, SCOPE_DROP_IN, Instance
from ...engine.unit import list_drop_ins
from ...host.root import Host


def observe(host: Host, instance: Instance = ROOTFUL) -> dict[str, Any]:
    """Return `drop_in`, the managed one (path, exists, text, tasks_max), and `drop_ins`, all (path, name, tasks_max, is_managed); the last one wins."""
    host, managed = instance.scope_host(host), instance.drop_in
    text = host.read(managed)
    return {
        "drop_in": {
            "path": managed,
            "exists": text is not None,
            "text": text,
            "tasks_max": parse_tasks_max(text or ""),
        },
        "drop_ins": [
            {
                "path": path,
                "name": path.rsplit("/", 1)[-1],
                "tasks_max": parse_tasks_max(host.read(path) or ""),
                "is_managed": path == managed,
            }
            # A drop-in of all scopes is overridden by one of docker's scopes with the same name (man 5 systemd.unit).
            for path in _merge(
                *(list_drop_ins(host, folder, instance.unit_dirs) for folder in ("scope.d", SCOPE_DROP_IN.partition("/")[0]))
            )
        ],
    }


def parse_tasks_max(text: str) -> str | None:
    """Return the last TasksMax= of a drop-in (`100`, `15%`, `infinity`); None without one, empty for a reset."""
    found = re.findall(r"^[ \t]*TasksMax[ \t]*=[ \t]*(\S*)[ \t]*$", text, re.MULTILINE)
    return found[-1] if found else None


def _merge(for_scopes: list[str], for_docker: list[str]) -> list[str]:
    by_name = {path.rsplit("/", 1)[-1]: path for path in [*for_scopes, *for_docker]}
    return [path for _name, path in sorted(by_name.items())]
