# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags of a dockerd command line. Pure.

The tables are read from moby v20.10.24, v26.1.5, v28.5.2 and
its main branch of November 2026: `cmd/dockerd/{config,config_unix,options}.go`.
"""

from __future__ import annotations

from collections.abc import Sequence

BOOLEAN_KEYS: frozenset[str] = frozenset(
    (
        "allow-direct-routing cri-containerd debug experimental icc init ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6"
        " live-restore no-new-privileges raw-logs selinux-enabled tls tlsverify userland-proxy"
    ).split()
)
BOOLEAN_FLAGS: frozenset[str] = BOOLEAN_KEYS | {"help", "restart", "rootless", "validate", "version"}

SHORT_FLAGS: dict[str, str] = {
    "b": "bridge",
    "D": "debug",
    "G": "group",
    "g": "graph",
    "H": "host",
    "h": "help",
    "l": "log-level",
    "p": "pidfile",
    "r": "restart",
    "s": "storage-driver",
    "v": "version",
}


def parse_flags(argv: Sequence[str]) -> dict[str, str]:
    """Return long flag name → value of dockerd's arguments; the values of a repeated flag are joined by commas."""
    found: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
        elif word.startswith("-") and len(word) > 1:
            name, equals, value = SHORT_FLAGS.get(word[1], word[1]), "=" if len(word) > 2 else "", word[2:].removeprefix("=")
        else:
            continue
        if not equals:
            value = "true" if name in BOOLEAN_FLAGS or not rest else rest.pop(0)
        found[name] = f"{found[name]},{value}" if name in found and name not in BOOLEAN_FLAGS else value
    return found


def find_dockerd_arguments(argv: Sequence[str]) -> list[str]:
    """Return the words after dockerd's name in a command line, which may begin with a wrapper (`env`, `nice`)."""
    for index, word in enumerate(argv):
        if word.rsplit("/", 1)[-1] in ("dockerd", "dockerd-rootless.sh"):
            return list(argv[index + 1 :])
    return []
