# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps containers without swap when systemd rewrites their limits.

runc passes every swap limit to systemd except 0, which it writes into memory.swap.max itself (libcontainer, cgroups/systemd/v2.go). When
systemd rewrites a scope's limits, as it does for a changed drop-in, it writes `max`.
"""

from __future__ import annotations

import os

from ..engine.cgroups import list_container_cgroups
from ..engine.service import EngineService
from ..engine.systemctl import ServiceError
from ..host.root import Host


def keep_zero_swap(host: Host, service: EngineService, timeout: float) -> None:
    """Set the limit 0 of running containers in the engine's systemd too. Raises ServiceError."""
    for unused, path in list_container_cgroups(host, service.instance):
        if not path.endswith(".scope") or (host.read(f"{path}/memory.swap.max") or "").strip() != "0":
            continue
        try:
            service.set_property(os.path.basename(path), "MemorySwapMax=0", timeout)
        except ServiceError:
            if host.path(path).exists():  # otherwise the container has ended meanwhile
                raise
