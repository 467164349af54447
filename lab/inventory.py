# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a machine, as text.

JSON strings are valid YAML, so no YAML library is needed to quote them.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError

GROUP = "docker_hosts"
CONNECT_PATIENCE = 60  # seconds; Ansible's default of 10 is too low for an emulated machine on a busy host
_GROUP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def ssh_options(known_hosts: Path) -> list[str]:
    """Return the ssh options for a machine whose host key is accepted at the first connection and kept in `known_hosts`."""
    return [
        "-o", "StrictHostKeyChecking=accept-new",
        "-o", f"UserKnownHostsFile={known_hosts}",
        "-o", "GlobalKnownHostsFile=/dev/null",
        "-o", "IdentitiesOnly=yes",
        "-o", "LogLevel=ERROR",
        # Without these, ssh would wait for ever for the answers of a machine that has ended.
        "-o", "ServerAliveInterval=15",
        "-o", "ServerAliveCountMax=12",
    ]  # fmt: skip


def host_variables(port: int, key: Path, known_hosts: Path) -> dict[str, str | int]:
    """Return the connection variables of one machine."""
    return {
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_timeout": CONNECT_PATIENCE,
        "ansible_ssh_common_args": shlex.join(ssh_options(known_hosts)),
        "ansible_python_interpreter": "/usr/bin/python3",
    }


def check_groups(groups: Sequence[str]) -> list[str]:
    """Return the groups of a machine, ``docker_hosts`` first and none twice."""
    for group in groups:
        if not _GROUP_NAME.fullmatch(group) or group in ("all", "ungrouped"):
            raise LabError(f"{group!r} is not a group name; use letters, digits and underscores")
    return list(dict.fromkeys([GROUP, *groups]))


def inventory_text(name: str, variables: Mapping[str, str | int], groups: Sequence[str]) -> str:
    """Return ``inventory.yml``: the machine, its connection and its groups."""
    lines = ["---", f"# The throwaway machine {name}; `python3 -m lab down {name}` removes it.", "all:", "  children:"]
    for index, group in enumerate(check_groups(groups)):
        lines += [f"    {group}:", "      hosts:"]
        if index == 0:
            lines.append(f"        {name}:")
            lines += [f"          {key}: {json.dumps(value)}" for key, value in variables.items()]
        else:
            lines.append(f"        {name}: {{}}")
    return "\n".join(lines) + "\n"


def host_vars_text(name: str, variables: Mapping[str, str | int]) -> str:
    """Return ``host_vars/NAME.yml`` for an inventory that names the machine itself."""
    lines = ["---", f"# The throwaway machine {name}; `python3 -m lab down {name}` removes it."]
    lines += [f"{key}: {json.dumps(value)}" for key, value in variables.items()]
    return "\n".join(lines) + "\n"
