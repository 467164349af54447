# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags of a dockerd command line, and the keys of daemon.json that set the same. Pure.

dockerd does not start when a setting is in both places, even with one value. The tables are read from moby v20.10.24, v26.1.5, v28.5.2 and
its main branch of November 2026: `cmd/dockerd/{config,config_unix,options}.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BOOLEAN_KEYS: frozenset[str] = frozenset(
    (
        "allow-direct-routing cri-containerd debug experimental icc init ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6"
        " live-restore no-new-privileges raw-logs selinux-enabled tls tlsverify userland-proxy"
    ).split()
)
BOOLEAN_FLAGS: frozenset[str] = BOOLEAN_KEYS | {"help", "restart", "rootless", "validate", "version"}

# Flags whose key has another name (opts.Named*Opts in moby).
KEY_OF_FLAG: dict[str, str] = {
    "authorization-plugin": "authorization-plugins",
    "cdi-spec-dir": "cdi-spec-dirs",
    "containerd-plugins-namespace": "containerd-plugin-namespace",
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "default-ulimit": "default-ulimits",
    "dns-opt": "dns-opts",
    "exec-opt": "exec-opts",
    "feature": "features",
    "host": "hosts",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "log-opt": "log-opts",
    "node-generic-resource": "node-generic-resources",
    "registry-mirror": "registry-mirrors",
    "storage-opt": "storage-opts",
}
# Flags that the engine merges with the file (skipDuplicates in daemon/config/config.go), and flags without a key.
NEVER_CLASH: frozenset[str] = frozenset({"add-runtime", "config-file", "validate", "rootless", "version", "help"})
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


def parse_command_line(argv: Sequence[str]) -> dict[str, str]:
    """Return the flags of a whole command line (`parse_flags`)."""
    return parse_flags(find_dockerd_arguments(argv))


def list_flagged_keys(flags: Mapping[str, str]) -> dict[str, str]:
    """Return key of daemon.json → the flag that sets it."""
    return {KEY_OF_FLAG.get(flag, flag): flag for flag in flags if flag not in NEVER_CLASH}


def find_clashes(flags: Mapping[str, str], content: Mapping[str, Any]) -> dict[str, str]:
    """Return key → flag of the settings that are both on the command line and in daemon.json."""
    # The engine compares the members of this object with flags as well (configValuesSet in daemon/config/config.go).
    proxies = content.get("proxies")
    names = set(content) | (set(proxies) if isinstance(proxies, dict) else set())
    return {key: flag for key, flag in list_flagged_keys(flags).items() if key in names}


def is_same_value(flag_value: str, desired: Any) -> bool:
    """Return whether a flag's value and a value of daemon.json set the same."""
    if isinstance(desired, bool):
        return flag_value.lower() in (("true", "1", "t") if desired else ("false", "0", "f"))
    if isinstance(desired, list):
        return flag_value.split(",") == [str(item) for item in desired]
    if isinstance(desired, dict):
        return sorted(flag_value.split(",")) == sorted(f"{name}={value}" for name, value in desired.items())
    return flag_value == str(desired)
