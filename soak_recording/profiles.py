# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated profiles of recorded services: the variables that install them, and the options that select them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Profiles that the hardened host has anyway; the generated ones are added to them.
_LISTS: dict[str, list[dict[str, Any]]] = {
    "seccomp_profiles_list": [{"name": "bulkhead-default", "extends": "general"}, {"name": "bulkhead-web", "extends": "web"}],
    "apparmor_profiles_list": [{"name": "bulkhead-web", "description": "web services", "extends": "web"}],
}


def build_lists(folder: Path) -> dict[str, str]:
    """Return the variables of harden.yml, as Jinja. folder: of the recordings."""
    lookup = "{{{{ {own} + lookup('bulkhead.docker.recorded', '{name}', folder='{folder}') }}}}"
    return {name: lookup.format(own=own, name=name, folder=folder) for name, own in _LISTS.items()}


def list_options(profile: str) -> list[str]:
    """Return the options of `docker run` that select the seccomp and the AppArmor profile of a name."""
    return [f"--security-opt=seccomp=/etc/docker/seccomp/{profile}.json", f"--security-opt=apparmor={profile}"]


def name_profile(container: str) -> str:
    """Return the name of the generated profiles of a container's service."""
    return f"recorded-{container}"
