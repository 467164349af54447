# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers without swap stay without it when systemd writes their limits anew.

runc gives systemd every limit of swap but that of 0, which it writes into memory.swap.max behind its back (libcontainer, cgroups/systemd/v2.go). When
systemd then writes a scope's limits again, as it does for a drop-in that has changed, it writes `max`.
"""

from __future__ import annotations

import os

from ..engine.cgroups import list_container_cgroups
from ..engine.service import Service, ServiceError
from ..host.root import Host


def keep_zero_swap(host: Host, service: Service, timeout: float) -> None:
    """Tell the engine's systemd of the limit of 0 that running containers have. Raises ServiceError."""
    for unused, path in list_container_cgroups(host, service.instance):
        if not path.endswith(".scope") or (host.read(f"{path}/memory.swap.max") or "").strip() != "0":
            continue
        try:
            service.set_property(os.path.basename(path), "MemorySwapMax=0", timeout)
        except ServiceError:
            if host.path(path).exists():  # otherwise the container has ended meanwhile
                raise
