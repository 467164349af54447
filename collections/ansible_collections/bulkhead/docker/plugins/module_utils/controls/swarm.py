# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a manager knows of its swarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..engine.containers import SECRET_NAME


def read_swarm(get: Callable[..., Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return `active` and `manager`, and of a manager the settings of the swarm. info: the swarm's part of the engine's `/info`."""
    found: dict[str, Any] = {
        "active": info.get("LocalNodeState") not in (None, "", "inactive"),
        "manager": bool(info.get("ControlAvailable")),
    }
    if not found["active"] or not found["manager"]:
        return found
    spec = get("/swarm").get("Spec") or {}
    networks = get("/networks", filters={"driver": ["overlay"]})
    found.update(
        managers=info.get("Managers"),
        auto_lock=bool((spec.get("EncryptionConfig") or {}).get("AutoLockManagers")),
        certificate_days=(spec.get("CAConfig") or {}).get("NodeCertExpiry", 0) / 86400e9,  # nanoseconds
        plain_networks=sorted(
            network["Name"] for network in networks if "encrypted" not in (network.get("Options") or {}) and not network.get("Ingress")
        ),
        overlay_networks=len(networks),
        exposed_services=sorted(service["Spec"]["Name"] for service in get("/services") if _has_secret_name(service)),
    )
    return found


def _has_secret_name(service: Mapping[str, Any]) -> bool:
    container = ((service["Spec"].get("TaskTemplate") or {}).get("ContainerSpec")) or {}
    return any(SECRET_NAME.fullmatch(variable.partition("=")[0]) for variable in container.get("Env") or ())
