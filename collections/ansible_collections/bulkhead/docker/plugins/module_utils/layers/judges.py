# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of each layer. A test compares the imports with the registry."""

from __future__ import annotations

from types import ModuleType

from .apparmor import judge as apparmor
from .audit_rules import judge as audit_rules
from .capabilities import judge as capabilities
from .egress import judge as egress
from .files import judge as files
from .no_new_privileges import judge as no_new_privileges
from .non_root_user import judge as non_root_user
from .pids_limit import judge as pids_limit
from .read_only_root import judge as read_only_root
from .rootless import judge as rootless
from .seccomp import judge as seccomp
from .userns import judge as userns

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
    "files": files,
    "audit_rules": audit_rules,
    "egress": egress,
}
