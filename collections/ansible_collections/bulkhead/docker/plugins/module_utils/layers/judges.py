# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of each layer, and the functions that gather evidence for those that need more than a process's status.

Ansible sends a host the files that import statements name, so the imports are spelled out; a test compares them with the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Optional

from ..host.root import Host
from .apparmor import gather as apparmor_evidence
from .apparmor import judge as apparmor
from .capabilities import judge as capabilities
from .no_new_privileges import judge as no_new_privileges
from .non_root_user import judge as non_root_user
from .pids_limit import judge as pids_limit
from .read_only_root import judge as read_only_root
from .rootless import judge as rootless
from .seccomp import gather as seccomp_evidence
from .seccomp import judge as seccomp
from .userns import judge as userns

Gatherer = Callable[[Host, Optional[Mapping[str, Any]], Mapping[str, Any]], dict[str, Any]]  # noqa: UP045 (evaluated at run time)

# Layer -> its module with `judge` and `judge_container`, in the registry's order.
JUDGES: dict[str, ModuleType] = {
    "pids_limit": pids_limit,
    "no_new_privileges": no_new_privileges,
    "seccomp": seccomp,
    "apparmor": apparmor,
    "userns": userns,
    "capabilities": capabilities,
    "read_only_root": read_only_root,
    "non_root_user": non_root_user,
    "rootless": rootless,
}
# Those by which every engine of a host is judged (the registry: engine_default), which is not sent for this alone.
ENGINE_DEFAULTS = frozenset({"pids_limit", "no_new_privileges", "seccomp", "apparmor", "capabilities"})
# Layer -> the function that gathers its own evidence: (host, probe container or None, expectation) -> evidence.
GATHERERS: dict[str, Gatherer] = {"seccomp": seccomp_evidence.gather_evidence, "apparmor": apparmor_evidence.gather_evidence}
