# SPDX-License-Identifier: GPL-3.0-or-later
"""Generates compose.override.yml for a service that has a compose file of its own. Pure.

Compose merges it with the service's file: lists are joined, mounts by their path in the container (compose-spec 13-merge.md).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import yaml

from ...module_utils.hardened.settings import build_security_options, build_tmpfs, escape_dollars, parse_size
from ..hardened.mounts import split_volume
from .container import generate_container_entry
from .generated import APPARMOR, SECCOMP
from .generation import Generated
from .model import Recording
from .yaml_text import format_comment, format_value

_HEAD = """\
# Generated from the recording of {service}; a later run of playbooks/record.yml replaces it.
# Use it with the compose file of the service: docker compose -f compose.yml -f THIS_FILE up -d
# The engine's client reads the seccomp profile, so start the service on a host that has it.
"""


def generate_compose_override(
    recording: Recording, compose_service: str, seccomp_directory: str = "/etc/docker/seccomp", without: Collection[str] = ()
) -> str:
    """Return the text of the file. compose_service: the service's name in its compose file. seccomp_directory: of the profiles on the host.

    without: lists of the inventory that have no generated profile of the service.
    """
    generated = generate_container_entry(recording)
    for name in without:
        generated.entry.pop(PROFILE_KEYS[name], None)
    settings = _build_settings(recording, generated, seccomp_directory)
    reasons = {_KEYS.get(what, what): why for what, why in generated.reasons}
    lines = [_HEAD.format(service=recording.service) + "services:", f"  {format_value(compose_service)}:"]
    for key, value in settings.items():
        if reasons.get(key):
            lines.append(f"  {format_comment(reasons[key])}")
        lines += [f"    {line}" for line in _dump(escape_dollars({key: value})).splitlines()]
    volumes = [split_volume(volume)[0] for volume in settings.get("volumes", [])]
    if volumes:
        lines += ["volumes:", *(f"  {format_value(name)}: {{name: {format_value(name)}}}" for name in volumes)]
    return "\n".join([*lines, ""])


def format_empty_override(service: str) -> str:
    """Return the text of a file that sets nothing. It replaces the former file, so the same command still works and needs no removed profile."""
    return f"{_HEAD.format(service=service)}# Stage record: it sets nothing.\nservices: {{}}\n"


# List of profiles -> key of hardened_container_list that names one.
PROFILE_KEYS = {SECCOMP: "seccomp_profile", APPARMOR: "apparmor_profile"}
# Key of hardened_container_list -> key of a service in a compose file.
_KEYS = {"capabilities": "cap_add", "memory": "mem_limit"}


def _build_settings(recording: Recording, generated: Generated, seccomp_directory: str) -> dict[str, Any]:
    """Return what the file adds to the service. What the service's own compose file must already contain is left out."""
    entry = {"seccomp_profile": "", "apparmor_profile": "", "tmpfs": [], **generated.entry}
    seccomp = f"{seccomp_directory.rstrip('/')}/{entry['seccomp_profile']}.json"
    own = {mount.destination for mount in recording.mounts}
    volumes = [volume for volume in entry.get("volumes", []) if split_volume(volume)[1] not in own]
    tmpfs = [path for path in entry["tmpfs"] if path not in own]
    settings: dict[str, Any] = {
        "read_only": True,
        "tmpfs": build_tmpfs({"tmpfs": tmpfs}),
        "volumes": volumes,
        "cap_drop": ["ALL"],
        "cap_add": entry["capabilities"],
        "security_opt": build_security_options(entry, seccomp),
        "user": str(entry["user"]) if "user" in entry else "",
        "pids_limit": entry.get("pids_limit"),
    }
    if "memory" in entry:
        settings |= {"mem_limit": parse_size(entry["memory"]), "memswap_limit": parse_size(entry["memory"])}
    return {key: value for key, value in settings.items() if value not in ([], "", None)}


def _dump(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=1000, allow_unicode=True)
