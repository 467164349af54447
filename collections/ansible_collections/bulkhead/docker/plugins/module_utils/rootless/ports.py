# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets the lowest port that every user may listen on, and a rootless engine may publish.

It is ip_unprivileged_port_start (Documentation/networking/ip-sysctl).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..host import state
from ..host.root import Host
from . import managed_files, names


def set_first_port(host: Host, content: str, known: dict[str, Any], run: Callable[[list[str]], tuple[int, str, str]]) -> str:
    """Set the kernel's value to that of the file PORTS. Returns what was changed; empty for nothing.

    known: the remembered state, which gets the previous value. Raises OSError.
    """
    desired, before = managed_files.parse_first_port(content), names.read_first_port(host)
    if desired is None or desired == before:
        return ""
    known.setdefault("first_port", before)
    state.save(host, names.SUBJECT, known)
    code, out, err = run(["sysctl", "--quiet", "--load", names.PORTS])
    if code:
        raise OSError(f"sysctl --load {names.PORTS}: {(err or out).strip() or f'exit status {code}'}")
    return f"every user may listen on ports from {desired} on"


def restore_first_port(host: Host, known: dict[str, Any]) -> None:
    """Restore the previous value unless others changed it since. Call it before the file PORTS is removed."""
    before = known.pop("first_port", None)
    if before and names.read_first_port(host) == managed_files.parse_first_port(host.read(names.PORTS) or ""):
        host.path(names.FIRST_PORT).write_text(before)
