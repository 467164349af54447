# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers what the controls of the benchmark need besides the evidence of layers and exposures. The control node judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..engine.api import Engine, EngineError
from ..host.root import Host
from .host_facts import count_proxies, list_group_members, list_tcp_sockets, read_content_trust, read_mount, read_package
from .images import read_images
from .setuid import search_images
from .swarm import read_swarm

_PROBLEMS = (EngineError, OSError, ValueError, LookupError, TypeError, AttributeError)


def gather_controls(host: Host, engine: Engine, observed: Mapping[str, Any], search: bool = False) -> dict[str, Any]:
    """Return the facts by name, and under `errors` why a fact is missing. Reads only, and one fact cannot take the others down.

    search: whether to search the files of all images, which takes minutes.
    """
    state, unit = observed["engine"], observed["unit"]
    root = state.get("root_dir") or unit["data_root"]
    readers: dict[str, Callable[[], Any]] = {
        "mount": lambda: read_mount(host, root),
        "members": lambda: list_group_members(host, "docker"),
        "content_trust": lambda: read_content_trust(host),
        "proxies": lambda: count_proxies(host),
    }
    if state["package"]:
        readers["package"] = lambda: read_package(state["package"])
    if state["pid"]:
        readers["tcp_sockets"] = lambda: list_tcp_sockets(host, state["pid"])
    if state["running"]:
        readers |= {
            "info": lambda: _read_info(engine.info),
            "bridge": lambda: _read_bridge(engine),
            "images": lambda: read_images(engine.get),
            "containers": lambda: [_describe_listed(entry) for entry in engine.get("/containers/json", all="1")],
        }
    if state["running"] and search:
        readers["setuid"] = lambda: search_images(host, engine.get)
    found: dict[str, Any] = {"errors": {}, "searched": search}
    for name, read in readers.items():
        try:
            found[name] = read()
        except _PROBLEMS as error:
            found["errors"][name] = str(error)
    if "info" in found:
        try:
            found["swarm"] = read_swarm(engine.get, found["info"]["Swarm"])
        except _PROBLEMS as error:
            found["errors"]["swarm"] = str(error)
    return found


def _read_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `/info` that controls need. Each answer to it costs the engine two programs that it runs (moby daemon/info_unix.go)."""
    registries = info.get("RegistryConfig") or {}
    return {
        "Swarm": {key: (info.get("Swarm") or {}).get(key) for key in ("LocalNodeState", "ControlAvailable", "Managers")},
        "Authorization": (info.get("Plugins") or {}).get("Authorization") or [],
        "Debug": bool(info.get("Debug")),
        "ExperimentalBuild": bool(info.get("ExperimentalBuild")),
        "InsecureRegistryCIDRs": registries.get("InsecureRegistryCIDRs") or [],
        "InsecureRegistries": sorted(name for name, about in (registries.get("IndexConfigs") or {}).items() if not about.get("Secure")),
    }


def _read_bridge(engine: Engine) -> str | None:
    """Return whether containers on the default bridge may reach each other, as the engine reports it; None without that bridge."""
    try:
        return str((engine.get("/networks/bridge").get("Options") or {}).get("com.docker.network.bridge.enable_icc", "true"))
    except EngineError as error:
        if error.status == 404:
            return None
        raise


def _describe_listed(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str((entry.get("Names") or [entry["Id"][:12]])[0]).lstrip("/"),
        "image": entry.get("Image", ""),
        "image_id": entry.get("ImageID", ""),
        "state": entry.get("State", ""),
        "status": entry.get("Status", ""),
        "networks": sorted((entry.get("NetworkSettings") or {}).get("Networks") or ()),
        "addresses": sorted({_join_address(port) for port in entry.get("Ports") or () if port.get("PublicPort")}),
        "ports": sorted({f"{port['PublicPort']}/{port['Type']}" for port in entry.get("Ports") or () if port.get("PublicPort")}),
    }


def _join_address(port: Mapping[str, Any]) -> str:
    """Return an address on which a port is published, as `list_tcp_sockets` writes it."""
    address = str(port.get("IP") or "0.0.0.0")
    return f"[{address}]:{port['PublicPort']}" if ":" in address else f"{address}:{port['PublicPort']}"
