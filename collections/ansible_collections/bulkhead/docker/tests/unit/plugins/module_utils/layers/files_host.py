# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an engine, as an observation shows them."""

from __future__ import annotations

from typing import Any

UIDS = {"root": 0, "alice": 1000}
GIDS = {"root": 0, "docker": 103, "ssl-cert": 110, "alice": 1000}
DESIRED: dict[str, Any] = {"docker_files_layer": "optional", "docker_files_socket_group": "docker", "docker_files_keep": []}
USER = {"user": "alice", "uid": 1000, "gid": 1000, "home": "/home/alice"}


def make_file(kind: str, mode: int, uid: int = 0, gid: int = 0, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "uid": uid, "gid": gid, "mode": mode, "acl": False, "target": None, "links": 1, **more}


def make_observed(files: dict[str, Any], user: dict[str, Any] | None = None, fixed: str | None = None, **more: Any) -> dict[str, Any]:
    state = {"files": files, "members": {"103": "ann,bob"}, "settings": {}, "managed": {}, "error": None, **more}
    rootful = {"user": "", "uid": 0, "gid": 0, "home": ""}
    layers = {"files": state, "userns": {"uids": UIDS, "gids": GIDS}}
    return {"instance": user or rootful, "daemon_json": {"fixed": fixed}, "layers": layers}
