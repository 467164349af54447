# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI runtimes: whether a container's processes are processes of the host's kernel. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Programs and shims whose containers are processes of the host's kernel; Bulkhead's wrapper for rootless engines is named runc too.
_SHARES = re.compile(
    r"runc|docker-runc|crun|youki|sysbox-runc|nvidia-container-runtime(\.\w+)?|io\.containerd\.runc\.v[12]|io\.containerd\.runtime\.v1\.linux"
)
# gVisor has a kernel of its own, the others are virtual machines.
_ISOLATES = re.compile(r"runsc|gvisor|kata|firecracker|runhcs", re.IGNORECASE)


def describe_runtime(name: str, runtimes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `name` and `shares_kernel` of a container's runtime.

    name: from its inspection; empty for the engine's default. runtimes: of the engine's `/info`, name → its `path` or `runtimeType`.
    A runtime of another name is known by its program. One that is not known counts as one with a kernel of its own.
    """
    entry = runtimes.get(name) or {}
    program = str(entry.get("runtimeType") or entry.get("path") or name)
    shares = not name or bool(_SHARES.fullmatch(program.rpartition("/")[2]))
    return {"name": name, "shares_kernel": shares and not _ISOLATES.search(f"{name} {program}")}
