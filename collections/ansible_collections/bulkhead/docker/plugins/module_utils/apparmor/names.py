# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of AppArmor profiles. A profile's name is also the name of its file in /etc/apparmor.d."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
# Profiles of engines and runtimes, and folders of /etc/apparmor.d.
_SYSTEM = """
    docker-default containerd-default cri-containerd.apparmor.d unconfined runc crun rootlesskit dockerd containerd slirp4netns
    abi abstractions apache2.d cache cache.d disable force-complain local tunables lsb_release nvidia_modprobe
"""
_TAKEN = frozenset(_SYSTEM.split())
# apparmor_parser skips files with these endings when it loads the folder at boot (apparmor parser/lib.c, is_blacklisted).
_SKIPPED_AT_BOOT = (
    ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".dpkg-bak", ".dpkg-remove", ".pacsave", ".pacnew", ".rpmnew", ".rpmsave", ".orig", ".rej", "~",
)  # fmt: skip


def describe_name_problem(name: object) -> str | None:
    """Return why a profile cannot have this name and what to write instead; None if it can."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"{name!r} is not a valid profile name; write a letter, then letters, digits, '.', '_' or '-' (64 at most)"
    if name in _TAKEN:
        return f"{name!r} is used by the system or the engine; write another name, such as 'my-{name}'"
    for ending in _SKIPPED_AT_BOOT:
        if name.endswith(ending):
            return f"{name!r} ends in {ending!r}, and AppArmor does not load such files at boot; write a name without that ending"
    return None
