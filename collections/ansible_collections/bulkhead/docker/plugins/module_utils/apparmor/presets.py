# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of parameters that a profile can extend. Paths are those inside the container. Control node only."""

from __future__ import annotations

from typing import Any

# Web services: nginx, a Python or Node server, Redis, as distributions install them or as images put them into /app.
# Writable files are not executable, and executable files are not writable.
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

# Any container that runs under an engine's default profile: full access inside, none to kernel settings. For engines that cannot load a
# default profile themselves. /proc/PID stays writable, and of /proc/sys what System V shared memory needs (kernel/shm*).
#
# No abi, like docker-default: the distribution then decides what is mediated. AppArmor 4 also mediates new user namespaces, which no rule
# here allows; for AppArmor 3 the keyword `userns` is an error.
#
# What only an intruder tries is logged. Ordinary programs read below /sys/firmware and the like. A plain deny rule would also silence an
# audited one for the same path.
ANY: dict[str, Any] = {
    "abi": "",
    "rules": [
        "network",
        "unix",
        "capability",
        "file",
        "umount",
        "audit deny mount",
        "audit deny @{PROC}/[^0-9]* wkl",
        "audit deny @{PROC}/[^0-9s]*/** wkl",
        "audit deny @{PROC}/{scsi,sysvipc}/** wkl",
        "audit deny @{PROC}/sys/[^k]** wkl",
        "audit deny @{PROC}/sys/kernel/[^s]** wkl",
        "audit deny @{PROC}/sys/kernel/s[^h]** wkl",
        "audit deny @{PROC}/{kcore,kmem,mem,sysrq-trigger} rwklx",
        "audit deny /sys/[^f]*/** wkl",
        "audit deny /sys/fs/[^c]*/** wkl",
        "deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** rwklx",
    ],
}

PRESETS: dict[str, dict[str, Any]] = {"any": ANY, "web": WEB}
