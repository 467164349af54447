# SPDX-License-Identifier: GPL-3.0-or-later
"""This run of ansible-playbook: its name, the collection that it uses, and the inventory that it sees."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ansible.module_utils.common.yaml import yaml_load

COLLECTION = Path(__file__).resolve().parents[2]
# Groups that harden.yml makes for the time of a run; nobody's inventory.
OURS = "bulkhead_batch_"


def of_worker() -> str:
    """Names this run, asked by an action, which runs in a child of ansible-playbook."""
    return of_process(os.getppid())


def of_process(pid: int) -> str:
    """The process ID of ansible-playbook, and when it started (man 5 proc, stat)."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:  # a control node that is no Linux
        started = ""
    return f"{pid}:{started}"


def inventory_groups(groups: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Every host of the inventory → its groups, but for those that every host is in, and ours."""
    found: dict[str, set[str]] = {}
    for group, members in groups.items():
        for host in () if str(group).startswith(OURS) else members:
            found.setdefault(host, set()).update({str(group)} - {"all", "ungrouped"})
    return found


def version() -> str:
    """The collection's version: galaxy.yml in a clone, MANIFEST.json once it is installed (a subset of YAML)."""
    for name in ("galaxy.yml", "MANIFEST.json"):
        try:
            about = yaml_load((COLLECTION / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        return str(about.get("collection_info", about)["version"])
    return "unknown"
