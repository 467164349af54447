# SPDX-License-Identifier: GPL-3.0-or-later
"""Composes the text of a profile from building blocks and a user's additions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .blocks import BLOCKS

# Programs of other ABIs (32-bit x86, x32, 32-bit Arm) are killed. They have call numbers of their own, among them `socketcall`, which
# hides from a filter which socket is requested.
ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
# A runtime that is given flags no longer adds SPEC_ALLOW itself (runc 1.2: libcontainer/specconv/spec_linux.go; crun: src/libcrun/seccomp.c).
LOGGING = ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG")


def compose_profile(
    blocks: Sequence[str],
    allow: Sequence[str] = (),
    deny: Sequence[str] = (),
    default_action: str = "SCMP_ACT_ERRNO",
    architectures: Sequence[str] = ARCHITECTURES,
    log: bool = False,
    rules: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a profile that allows what the blocks and `allow` name, except what `deny` names, and that has the further `rules`.

    A call in `allow` is allowed with any arguments, even if a block restricts them. `deny` takes precedence over all others. log: the kernel logs
    each denial. A runtime that does not know the flag starts no container.
    """
    free = list_free_calls(blocks, allow) - set(deny)
    profile: dict[str, Any] = {"defaultAction": default_action}
    if default_action == "SCMP_ACT_ERRNO":
        profile["defaultErrnoRet"] = 1
    if log:
        profile["flags"] = list(LOGGING)
    profile["archMap"] = [{"architecture": name, "subArchitectures": subs} for name, subs in _arch_map(architectures)]
    profile["syscalls"] = [{"names": sorted(free), "action": "SCMP_ACT_ALLOW"}] if free else []
    for rule in [*(rule for block in blocks for rule in BLOCKS[block].rules), *rules]:
        kept = [name for name in rule["names"] if name not in free and name not in deny]
        narrowed = {**rule, "names": kept}
        if kept and narrowed not in profile["syscalls"]:
            profile["syscalls"].append(narrowed)
    return profile


def list_free_calls(blocks: Sequence[str], allow: Sequence[str]) -> set[str]:
    """Return the calls that the blocks and `allow` allow with any arguments."""
    return set(allow).union(*(BLOCKS[block].names.split() for block in blocks))


def format_profile(profile: Mapping[str, Any]) -> str:
    """Return the text of a profile; equal profiles have equal texts."""
    return json.dumps(profile, indent=2) + "\n"


def _arch_map(architectures: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return the entries of `archMap`. Docker uses that of its machine; the 32-bit ABIs belong to their 64-bit parent."""
    parents = {"SCMP_ARCH_X86": "SCMP_ARCH_X86_64", "SCMP_ARCH_X32": "SCMP_ARCH_X86_64", "SCMP_ARCH_ARM": "SCMP_ARCH_AARCH64"}
    heads = [name for name in architectures if parents.get(name) not in architectures]
    return [(head, [name for name in architectures if parents.get(name) == head]) for head in heads]
