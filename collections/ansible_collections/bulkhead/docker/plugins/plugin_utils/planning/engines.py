# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds engines that this collection cannot configure, engines that do not answer, and what is not known of how an engine runs. Pure.

Nothing is planned on a host with a blocker from here, and no engine is installed next to another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.engine.instance import get_observed_instance
from ...module_utils.engine.service import SERVICE

SOCKET = "docker_engine_socket"
_SNAP = (
    "snap's Docker is not supported, because its files are read-only and its unit is snapd's: remove it (snap remove docker), and install"
    " Docker from a package"
)


def find_blockers(observed: Mapping[str, Any]) -> list[str]:
    """Return why nothing can be planned for the engine of this host, one message each."""
    engine, instance = observed["engine"], get_observed_instance(observed)
    pid, daemons = engine.get("pid"), engine.get("daemons") or ()
    own = next((daemon for daemon in daemons if daemon["pid"] == pid), None)
    if own and not instance.rootless and own.get("unit") not in (None, "", SERVICE):
        return [_explain_process(own)]
    found = []
    rivals = [daemon for daemon in daemons if daemon["pid"] != pid and not daemon["rootless"] and _is_snap(daemon.get("exe"))]
    if rivals and not instance.rootless:
        found.append(f"{_explain_process(rivals[0])}; both use {engine.get('socket')}")
    if pid and not engine.get("running"):
        hosts = str((observed.get("unit") or {}).get("flags", {}).get("host") or "")
        is_tcp = hosts and not any(kind in hosts for kind in ("fd://", "unix://"))
        advice = "add a unix socket to it: -H unix:///run/docker.sock, or hosts in daemon.json"
        found.append(
            f"dockerd runs (pid {pid}) but does not answer on {engine['socket']} ({engine.get('error')}); set its socket: "
            + (
                f"it listens on {hosts} only, so {advice}"
                if is_tcp
                else f"write its path into {SOCKET}; if it listens on TCP only, {advice}"
            )
        )
    if engine.get("running") and (engine.get("info") or {}).get("BuildahVersion"):
        found.append(
            f"Podman answers on {engine['socket']} in the engine's place, and Podman is not supported; remove podman-docker, and install Docker"
        )
    if not engine["installed"] and not found:
        if own or daemons:
            found.append(_explain_process(own or next(iter(daemons))))
        elif engine.get("running"):
            found.append(
                f"an engine answers on {engine['socket']}, but dockerd is neither installed nor a process of this host; stop it first"
            )
        found += _explain_others(engine.get("others") or ())
    return found


def _is_snap(path: str | None) -> bool:
    return "/snap/" in (path or "")


def _explain_process(daemon: Mapping[str, Any]) -> str:
    place = f"dockerd runs (pid {daemon['pid']}, {daemon.get('exe') or 'unknown program'}) in {daemon.get('unit') or 'no unit'}"
    if _is_snap(daemon.get("exe")) or str(daemon.get("unit")).startswith("snap."):
        return f"{place}: {_SNAP}"
    return f"{place}, and only an engine that {SERVICE} runs can be configured; stop it, and install Docker from a package, or run it by {SERVICE}"


def _explain_others(others: Any) -> list[str]:
    """Return one message per kind of engine on a host without a supported one."""
    found = []
    if snap := [path for path in others if "/snap/" in path]:
        found.append(f"{snap[0]}: {_SNAP}")
    if podman := [path for path in others if "podman" in path]:
        found.append(
            f"{podman[0]}: podman-docker is installed, whose docker is Podman, which is not supported; remove it, and install Docker"
        )
    if static := [path for path in others if "/snap/" not in path and "podman" not in path]:
        found.append(
            f"{static[0]} is an engine that no {SERVICE} starts; write that unit for it, or remove it, and install Docker from a package"
        )
    return found


def find_warnings(observed: Mapping[str, Any]) -> list[str]:
    """Return what systemd skips in the unit's files, and what is not known of dockerd's command line."""
    docker_unit = observed.get("unit") or {}
    found = list(docker_unit.get("problems") or ())
    if docker_unit.get("unknown"):
        files = ", ".join(docker_unit["files"])
        found.append(
            f"{files}: {docker_unit['unknown']}; start the engine, whose process shows them, or write dockerd and its flags into ExecStart="
        )
    return found
