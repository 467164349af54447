# SPDX-License-Identifier: GPL-3.0-or-later
"""Describes recorded calls and their arguments, for the reasons of generated entries. Pure."""

from __future__ import annotations

from ...module_utils.seccomp.errnos import name_errno
from .generation import shorten_list
from .sightings import SeenCall, SeenDeniedCall, SeenItem

# linux/socket.h.
FAMILIES = {
    "AF_UNIX": 1, "AF_INET": 2, "AF_AX25": 3, "AF_INET6": 10, "AF_KEY": 15, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_ECONET": 19, "AF_RDS": 21,
    "AF_IRDA": 23, "AF_PPPOX": 24, "AF_CAN": 29, "AF_ALG": 38, "AF_NFC": 39, "AF_VSOCK": 40, "AF_XDP": 44,
}  # fmt: skip
_FAMILY_NAMES = {number: name for name, number in FAMILIES.items()}
# linux/sched.h, CLONE_NEW*.
_NAMESPACES = {
    0x20000: "mount", 0x2000000: "cgroup", 0x4000000: "UTS", 0x8000000: "IPC", 0x10000000: "user", 0x20000000: "PID", 0x40000000: "network",
}  # fmt: skip


def describe_argument(call: str, value: int | None) -> str:
    """Return the argument of a call in words."""
    if value is None:
        return ""
    if call == "socket":
        return _FAMILY_NAMES.get(value, f"family {value}")
    if call == "clone":
        names = [name for flag, name in _NAMESPACES.items() if value & flag]
        return f"with a new {' and '.join(names)} namespace" if names else "without a new namespace"
    return hex(value)


def describe_seen(seen: SeenItem, first: str) -> str:
    """Return where and since when something was recorded. Counts would differ after every collection. first: day."""
    return f"recorded on {shorten_list(seen.hosts)} since {first}"


def describe_call(call: SeenCall) -> str:
    """Return how a call was recorded, with its ABI if that is not the machine's own."""
    others = [abi for abi in call.abis if abi not in call.machines]
    return describe_seen(call, call.first) + (f", as {shorten_list(others)}" if others else "")


def describe_denied_call(call: SeenDeniedCall) -> str:
    """Return with which errors a call was denied, and since when."""
    errors = shorten_list([name_errno(number) for number in call.errnos])
    return f"was denied with {errors} since {call.first}"
