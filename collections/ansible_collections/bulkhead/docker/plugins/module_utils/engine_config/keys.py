# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of daemon.json: their types, what a change of each needs, and the flags of dockerd that set the same.

The engine's own validator decides what is valid. These tables serve what it does not do: suggest the right spelling of a key, and tell
whether a change needs a restart. Read from moby v20.10.24, v26.1.5, v28.5.2 and its main branch of
November 2026: `cmd/dockerd/{config,config_unix,options}.go` (flags), `daemon/config/config*.go` (keys and types), `daemon/reload*.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine.flags import BOOLEAN_KEYS

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
_TEXT = (
    "api-cors-header bip bip6 bridge bridge-accept-fwmark cgroup-parent cluster-advertise cluster-store containerd containerd-namespace"
    " containerd-plugin-namespace data-root default-cgroupns-mode default-gateway default-gateway-v6 default-init default-ipc-mode"
    " default-runtime exec-root firewall-backend fixed-cidr fixed-cidr-v6 graph group host-gateway-ip init-path ip log-driver log-format"
    " log-level metrics-addr min-api-version pidfile seccomp-profile storage-driver swarm-default-advertise-addr tlscacert tlscert tlskey"
    " userland-proxy-path userns-remap"
)
_NUMBER = (
    "cpu-rt-period cpu-rt-runtime default-stop-timeout max-concurrent-downloads max-concurrent-uploads max-download-attempts mtu"
    " network-control-plane-mtu network-diagnostic-port oom-score-adjust shutdown-timeout"
)
_LIST = (
    "allow-nondistributable-artifacts authorization-plugins cdi-spec-dirs default-address-pools dns dns-opts dns-search exec-opts"
    " host-gateway-ips hosts insecure-registries labels node-generic-resources registry-mirrors storage-opts"
)
_OBJECT = "builder cluster-store-opts default-network-opts default-ulimits features log-opts nri-opts proxies runtimes"

# Key → type of its value. Keys whose value may be of two types (a size as "64M" or 67108864) are left to the engine.
TYPES: dict[str, str] = {
    **dict.fromkeys(BOOLEAN_KEYS, "boolean"),
    **dict.fromkeys(_TEXT.split(), "text"),
    **dict.fromkeys(_NUMBER.split(), "number"),
    **dict.fromkeys(_LIST.split(), "list"),
    **dict.fromkeys(_OBJECT.split(), "object"),
}
KNOWN: frozenset[str] = frozenset(TYPES) | {"default-shm-size", "default-pids-limit"}

# RELOADABLE: applied on SIGHUP when they are in the file. RESET_ON_RELOAD: also reset to their default when they are removed from it; the
# others then keep the old value until a restart (daemon/reload.go: `if conf.IsValueSet(...)`).
RESET_ON_RELOAD: frozenset[str] = frozenset({"features", "max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"})
RELOADABLE: frozenset[str] = RESET_ON_RELOAD | {
    "debug",
    "default-runtime",
    "insecure-registries",
    "labels",
    "live-restore",
    "registry-mirrors",
    "runtimes",
    "shutdown-timeout",
}

# Another value of these gives the engine another data root: its present data stays in place, but the engine does not see it.
ROOT_KEYS: frozenset[str] = frozenset({"data-root", "exec-root", "graph", "storage-driver", "userns-remap"})

# daemon/logger/*: what each driver's ValidateLogOpt accepts. Every driver also accepts `mode`, `max-buffer-size` and the cache-* options.
LOG_OPTS_EVERYWHERE: frozenset[str] = frozenset(
    {"mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"}
)
_ATTRIBUTES = frozenset({"env", "env-regex", "labels", "labels-regex", "tag"})
LOG_OPTS: dict[str, frozenset[str]] = {
    "json-file": _ATTRIBUTES | {"compress", "max-file", "max-size"},
    "local": _ATTRIBUTES | {"compress", "max-file", "max-size"},
    "journald": _ATTRIBUTES,
}
STORAGE_DRIVERS: frozenset[str] = frozenset({"aufs", "btrfs", "devicemapper", "fuse-overlayfs", "overlay", "overlay2", "vfs", "zfs"})


def list_restart_keys(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Return the keys whose change takes effect only with a restart, sorted."""
    return sorted(
        key for key in list_changed_keys(before, after) if key not in RELOADABLE or (key not in after and key not in RESET_ON_RELOAD)
    )


def list_changed_keys(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Return the top-level keys that differ, sorted. `True` and `1` differ, as they do in JSON."""
    absent = object()
    return sorted(
        key
        for key in {*before, *after}
        if type(before.get(key, absent)) is not type(after.get(key, absent)) or before.get(key, absent) != after.get(key, absent)
    )


def list_flagged_keys(flags: Mapping[str, str]) -> dict[str, str]:
    """Return key of daemon.json → the flag that sets it."""
    return {KEY_OF_FLAG.get(flag, flag): flag for flag in flags if flag not in NEVER_CLASH}


def find_clashes(flags: Mapping[str, str], content: Mapping[str, Any]) -> dict[str, str]:
    """Return key → flag of the settings that are both on the command line and in daemon.json: dockerd does not start then, even with one value."""
    # The engine compares the members of this object with flags as well (configValuesSet in daemon/config/config.go).
    proxies = content.get("proxies")
    names = set(content) | (set(proxies) if isinstance(proxies, dict) else set())
    return {key: flag for key, flag in list_flagged_keys(flags).items() if key in names}
