# SPDX-License-Identifier: GPL-3.0-or-later
"""From which port on anybody may listen (ip_unprivileged_port_start, Documentation/networking/ip-sysctl): a rootless engine publishes no lower one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..host import state
from ..host.root import Host
from . import names, rendering

SUBJECT = "rootless"


def now(host: Host) -> str:
    """The kernel's value; empty where it has none."""
    return (host.read(names.FIRST_PORT) or "").strip()


def open_from(host: Host, content: str, known: dict[str, Any], run: Callable[[list[str]], tuple[int, str, str]]) -> str:
    """Make the kernel's value that of the file PORTS; somebody may have changed it since that was written. Returns what was done, empty for nothing.

    known: what we remember, where the value before us goes. Raises OSError.
    """
    desired, before = rendering.first_port(content), now(host)
    if desired is None or desired == before:
        return ""
    known.setdefault("first_port", before)
    state.save(host, SUBJECT, known)
    code, out, err = run(["sysctl", "--quiet", "--load", names.PORTS])
    if code:
        raise OSError(f"sysctl --load {names.PORTS}: {(err or out).strip() or f'exit status {code}'}")
    return f"ports from {desired} on are for anybody"


def give_back(host: Host, known: dict[str, Any]) -> None:
    """As before us, unless others have changed it since. Comes before the file PORTS goes."""
    before = known.pop("first_port", None)
    if before and now(host) == rendering.first_port(host.read(names.PORTS) or ""):
        host.path(names.FIRST_PORT).write_text(before)
