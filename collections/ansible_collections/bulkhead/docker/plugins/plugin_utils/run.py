# SPDX-License-Identifier: GPL-3.0-or-later
"""The present run of ansible-playbook: its ID, the version of the collection, and the groups of the inventory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ansible.module_utils.common.yaml import yaml_load

COLLECTION = Path(__file__).resolve().parents[2]
# harden.yml creates groups of this prefix for its own run; they are not part of the inventory.
BATCH_GROUP_PREFIX = "bulkhead_batch_"


def get_run_id() -> str:
    """Return the ID of this run. For actions, which run in a child of ansible-playbook."""
    return get_process_run_id(os.getppid())


def get_process_run_id(pid: int) -> str:
    """Return the ID of the run of an ansible-playbook process: its PID and start time (man 5 proc, stat)."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:  # the control node does not run Linux
        started = ""
    return f"{pid}:{started}"


def map_inventory_groups(groups: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return host -> groups for every host of the inventory, without the batch groups and the groups that Ansible adds."""
    found: dict[str, set[str]] = {}
    for group, members in groups.items():
        for host in () if str(group).startswith(BATCH_GROUP_PREFIX) else members:
            found.setdefault(host, set()).update({str(group)} - {"all", "ungrouped"})
    return found


def read_collection_version() -> str:
    """Return the collection's version: from galaxy.yml in a clone, from MANIFEST.json once installed (JSON is a subset of YAML)."""
    for name in ("galaxy.yml", "MANIFEST.json"):
        try:
            about = yaml_load((COLLECTION / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        return str(about.get("collection_info", about)["version"])
    return "unknown"
