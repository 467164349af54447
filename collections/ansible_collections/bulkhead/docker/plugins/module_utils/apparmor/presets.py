# SPDX-License-Identifier: GPL-3.0-or-later
"""Ready sets of parameters that a profile can extend. Everything here holds inside a container, under its own root."""

from __future__ import annotations

from typing import Any

# Ordinary web services: nginx, a Python or Node server, Redis, as distributions install them or as images put them into /app.
# What may be written can't be executed, and what may be executed can't be written.
WEB: dict[str, Any] = {
    "readable": ["/"],
    "writable": ["/data", "/dev/shm", "/run", "/tmp", "/var/cache", "/var/lib", "/var/log", "/var/tmp"],
    "executable": ["/*", "/app", "/bin", "/lib{,32,64,x32}{,/,/**}", "/opt", "/sbin", "/srv", "/usr"],
    "networks": ["inet stream", "inet dgram", "inet6 stream", "inet6 dgram", "unix", "netlink raw"],
    "capabilities": ["chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service", "setgid", "setuid"],
    "audited_denies": [
        "/etc/{,g}shadow{,-}",
        "/proc/kcore",
        "/proc/sysrq-trigger",
        {"path": "/proc/sys/**", "access": "wkl"},
        {"path": "/sys/**", "access": "wkl"},
    ],
}

PRESETS: dict[str, dict[str, Any]] = {"web": WEB}
