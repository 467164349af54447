# SPDX-License-Identifier: GPL-3.0-or-later
"""The default PIDs limit on the host: the scopes' drop-ins, in the order in which systemd reads them. Files only."""

from __future__ import annotations

from typing import Any

from ...engine.instance import ROOTFUL, Instance
from ...engine.unit import list_drop_ins
from ...engine_config import drop_in
from ...host.root import Host


def observe(host: Host, instance: Instance = ROOTFUL) -> dict[str, Any]:
    """drop_in: ours (path, exists, text, tasks_max). drop_ins: all of them (path, name, tasks_max, ours), the last word last."""
    host, ours = instance.scope_host(host), instance.drop_in
    text = host.read(ours)
    return {
        "drop_in": {
            "path": ours,
            "exists": text is not None,
            "text": text,
            "tasks_max": drop_in.parse_tasks_max(text or ""),
        },
        "drop_ins": [
            {
                "path": path,
                "name": path.rsplit("/", 1)[-1],
                "tasks_max": drop_in.parse_tasks_max(host.read(path) or ""),
                "ours": path == ours,
            }
            # A drop-in of all scopes loses against one of docker's scopes with the same name (man 5 systemd.unit).
            for path in _merged(*(list_drop_ins(host, folder, instance.unit_dirs) for folder in ("scope.d", drop_in.FOLDER)))
        ],
    }


def _merged(of_all_scopes: list[str], of_ours: list[str]) -> list[str]:
    by_name = {path.rsplit("/", 1)[-1]: path for path in [*of_all_scopes, *of_ours]}
    return [path for _name, path in sorted(by_name.items())]
