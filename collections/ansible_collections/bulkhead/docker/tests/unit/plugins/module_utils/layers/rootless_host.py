# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with and without a rootless engine, as an observation shows them."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import sha256
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.rootless.plan import WRAPPER
from ansible_collections.bulkhead.docker.plugins.module_utils.rootless import names, rendering

from ...builders import build_container, build_evidence
from . import userns_host

USER = Instance("rootless", 990, 990, "/home/rootless")
LINE = "rootless:296608:65536\n"
MAP = [[0, 990, 1], [1, 296608, 65536]]
PROGRAM = rendering.render_wrapper("PROFILE = '@PROFILE@'\n", "bulkhead-rootless")
SCRIPT = names.SCRIPTS[2]

DESIRED: dict[str, Any] = {
    **userns_host.DESIRED,
    "userns_remap_layer": "disabled",
    "apparmor_profiles_layer": "required",
    "apparmor_profiles_list": [],
    "rootless_docker_layer": "required",
    "rootless_docker_user": "rootless",
    "rootless_docker_create_user": True,
    "rootless_docker_range_start": 296608,
    "rootless_docker_range_size": 65536,
    "rootless_docker_install_packages": True,
    "rootless_docker_disable_rootful": True,
    "rootless_docker_stop_containers": False,
    "rootless_docker_apparmor_profile": "bulkhead-rootless",
    "rootless_docker_network": "auto",
    "rootless_docker_first_port": None,
    "rootless_docker_timeout": 300,
    WRAPPER: PROGRAM,
}
EXPECT: dict[str, Any] = {
    "requirement": "required",
    "user": "rootless",
    "disable_rootful": True,
    "first_port": None,
    "profile": "bulkhead-rootless",
    "wrapper": {"path": names.WRAPPER, "sha256": sha256(PROGRAM)},
}


def engine(**more: Any) -> dict[str, Any]:
    """One entry of `engines`."""
    socket = {
        "path": "/run/user/990/docker.sock",
        "uid": 990,
        "gid": 1,
        "mode": "0660",
        "socket": True,
        "folder_uid": 990,
        "folder_mode": "0700",
    }
    return {"kind": "rootless", "user": "rootless", "uid": 990, "pid": 42, "uid_map": MAP, "socket": socket, "judged": True, **more}


def virgin(**more: Any) -> dict[str, Any]:
    """A rootful host as a distribution leaves it."""
    here = {
        "engines": [engine(kind="rootful", user="root", uid=0, uid_map=[[0, 0, 4294967295]], judged=False)],
        "state": {},
        "ranges": {},
        "error": None,
        "tools": dict.fromkeys(("newuidmap", "newgidmap", "rootlesskit", "slirp4netns", "fuse-overlayfs", "runc", "useradd"), "/usr/bin/it")
        | {"pasta": None, "rootlesskit": "/usr/bin/rootlesskit"},
        "takes_pasta": False,
        "first_port": "1024",
        "rootful": {"pid": 7, "present": ["docker.service", "docker.socket"], "masked": [], "listening": True, "containers": []},
        "script": SCRIPT,
        "user_bus": True,
        "restrict_userns": False,
        "unprivileged_userns": True,
        "user": Instance("rootless", None, None, "/home/rootless").as_dict(),
        "files": {},
        "own_unit": None,
        "own_unit_enabled": False,
        "context": {},
        "linger": False,
        "manager": False,
        "controllers": None,
        "containers": [],
        "data": False,
        **more,
    }
    userns = userns_host.seen()
    return {
        "instance": here["user"],
        "system": {"systemd": True, "cgroup_version": 2, "kernel": "6.12.1-amd64"},
        "engine": userns_host.engine(running=False, package="docker.io", info={}),
        "daemon_json": {},
        "layers": {"rootless": here, "userns": userns, "apparmor": {"enabled": True, "modes": {}}},
    }


def settled(**more: Any) -> dict[str, Any]:
    """A host as our own run left it."""
    files = rendering.render_files("rootless", 990, SCRIPT, wrapper=PROGRAM)
    seen: dict[str, dict[str, Any]] = {
        f.path: {"link": f.link, "uid": 0} if f.link else {"text": f.content, "mode": f.mode, "uid": 0} for f in files
    }
    host = virgin(
        engines=[engine()],
        state={"user": "rootless", "files": [f.path for f in files], "created": True, "rootful": {"active": ["docker.service"]}},
        rootful={
            "pid": None,
            "present": ["docker.service", "docker.socket"],
            "masked": ["docker.service", "docker.socket"],
            "listening": False,
            "containers": [],
        },
        user=USER.as_dict(),
        files=seen,
        context={"meta": True, "elsewhere": None, "current": "rootless", "error": None},
        linger=True,
        manager=True,
        controllers=["cpuset", "cpu", "io", "memory", "pids"],
        data=True,
        **more,
    )
    userns = userns_host.seen(userns_host.DEBIAN + LINE)
    userns["uids"]["rootless"] = 990
    userns["gids"]["rootless"] = 990
    host["layers"]["userns"] = userns
    host["instance"] = USER.as_dict()
    host["engine"] = userns_host.engine(info={"DefaultRuntime": names.RUNTIME})
    return host


def evidence(observed: dict[str, Any] | None = None, **kernel: Any) -> dict[str, Any]:
    """With a probe as such an engine starts it."""
    found = {**userns_host.kernel(MAP), "label": "bulkhead-rootless (enforce)", **kernel}
    return build_evidence(observed or settled(), build_container(found, name="probe"))
