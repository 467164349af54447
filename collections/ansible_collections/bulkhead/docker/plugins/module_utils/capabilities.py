# SPDX-License-Identifier: GPL-3.0-or-later
"""Linux capabilities: their names in the order of their bits, and the engine's default set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# include/uapi/linux/capability.h, by number.
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW "
    "IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD "
    "LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
# What the engine gives a container that sets none (moby oci/caps/defaults.go).
ENGINE_DEFAULT = frozenset(
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split()
)


def decode_capabilities(bits: int) -> list[str]:
    """Return the sorted names, without CAP_, in a set of /proc/PID/status; an unknown one is CAP_NUMBER."""
    return sorted(CAPABILITIES[n] if n < len(CAPABILITIES) else f"CAP_{n}" for n in range(bits.bit_length()) if bits >> n & 1)


def parse_names(names: Iterable[Any] | None) -> set[str]:
    """Return names as the engine and inventories write them (`cap_net_raw`, `NET_RAW`) in capitals and without CAP_."""
    return {str(name).upper().removeprefix("CAP_") for name in names or ()}


def list_granted(config: Mapping[str, Any]) -> set[str]:
    """Return what the engine gives a container at its start. config: HostConfig (moby daemon/pkg/oci/caps/utils.go, TweakCapabilities)."""
    added, dropped = (parse_names(config.get(key)) for key in ("CapAdd", "CapDrop"))
    if config.get("Privileged"):
        return set(CAPABILITIES)
    if "ALL" in added:
        return set(CAPABILITIES) - dropped
    return added if "ALL" in dropped else added | (ENGINE_DEFAULT - dropped)
