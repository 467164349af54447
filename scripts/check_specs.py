# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what no linter checks: roles whose defaults and argument specs differ, what the example inventory leaves out, files that have grown too long.

For every role of the collection, ``defaults/main.yml`` and the entry point ``main`` of ``meta/argument_specs.yml`` must
name the same variables with the same default values. A variable without a default is either required, or marked as
having none: it is in the spec alone, with neither ``default`` nor ``required``.

``inventory/group_vars`` shows every one of these variables, commented out with its default, on one line each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

COLLECTION = Path("collections/ansible_collections/bulkhead/docker")
GROUP_VARS = Path("inventory/group_vars")
# A commented variable, or one that the example sets.
SHOWN = re.compile(r"^(# )?([a-z][a-z0-9_]*: .*)$", re.MULTILINE)
# Variables that a play sets for a role, and that an inventory does not set.
GIVEN = {"attack_matrix_configurations", "attack_matrix_container", "attack_matrix_report_dir", "docker_daemon_layers"}
# Variables of hosts that playbooks read (plugin_utils/rollout/decision.py).
OF_PLAYBOOKS = {
    "bulkhead_blocked": {"default": "stop"},
    "bulkhead_unreachable": {"default": "leave_out"},
    # As FORBIDDEN in module_utils/exposures/kinds.py.
    "bulkhead_containers_forbid": {
        "default": ["privileged", "engine_socket", "host_system_writable", "host_pid", "host_mount", "block_device", "memory_device"]
    },
    "bulkhead_waivers": {"default": []},
    "bulkhead_controls_required": {"default": []},
}
LONGEST_TASK_FILE = 120
LONGEST_MODULE = 400


def load(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; an absent or empty file is an empty mapping."""
    if not path.exists():
        return {}
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def is_same_value(left: object, right: object) -> bool:
    """Return whether values and their types are the same: ``True`` is not ``1``, and ``"5"`` is not ``5``."""
    return repr(left) == repr(right)


def compare(role: str, defaults: dict[str, Any], options: dict[str, Any]) -> Iterator[str]:
    """Yield a message per difference between a role's defaults and its argument spec."""
    for name in sorted(defaults.keys() | options.keys()):
        if not name.startswith(f"{role}_"):
            yield f"{name} must begin with {role}_ (internal variables, __{role}_…, belong in vars/main.yml)"
        elif name not in options:
            yield f"{name} is in defaults/main.yml and not in meta/argument_specs.yml"
        elif name in defaults and "default" not in options[name]:
            yield f"{name} has the default {defaults[name]!r} in defaults/main.yml and none in meta/argument_specs.yml"
        elif name in defaults and not is_same_value(defaults[name], options[name]["default"]):
            yield (f"{name} is {defaults[name]!r} in defaults/main.yml and {options[name]['default']!r} in meta/argument_specs.yml")
        elif name not in defaults and "default" in options[name]:
            yield f"{name} has a default in meta/argument_specs.yml and is missing in defaults/main.yml"


def check_role(path: Path) -> Iterator[str]:
    """Yield a message for each finding in one role's folder."""
    spec = path / "meta" / "argument_specs.yml"
    if not spec.exists():
        yield f"{path.name}: meta/argument_specs.yml is missing"
        return
    entry = load(spec).get("argument_specs", {}).get("main")
    if entry is None:
        yield f"{path.name}: meta/argument_specs.yml has no entry point main"
        return
    for finding in compare(path.name, load(path / "defaults" / "main.yml"), entry.get("options", {})):
        yield f"{path.name}: {finding}"


def check_lengths(paths: list[Path], longest: int) -> Iterator[str]:
    """Yield a message for each file that is longer than ``longest`` lines."""
    for path in sorted(paths):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > longest:
            yield f"{path.relative_to(COLLECTION)}: {lines} lines, {longest} at most; split it by subject"


def check_example(text: str, options: dict[str, Any]) -> Iterator[str]:
    """Yield a message for each variable that the example inventory lacks, misspells, or shows with another default."""
    seen = set()
    for commented, line in SHOWN.findall(text):
        name, value = next(iter(yaml.safe_load(line).items()))
        seen.add(name)
        if name not in options:
            yield f"{name} is not a variable of a role"
        elif commented and "default" in options[name] and not is_same_value(value, options[name]["default"]):
            yield f"{name} is shown as {value!r}, and its default is {options[name]['default']!r}"
    for name in sorted(options.keys() - seen - GIVEN):
        yield f"{name} is missing; show it, commented out, with its default"


def list_public_options() -> dict[str, Any]:
    """Return every public variable with its spec."""
    found: dict[str, Any] = dict(OF_PLAYBOOKS)
    for path in sorted((COLLECTION / "roles").glob("*/meta/argument_specs.yml")):
        found.update(load(path)["argument_specs"]["main"].get("options") or {})
    return found


def list_findings() -> Iterator[str]:
    """Yield every finding in the collection."""
    for role in sorted(path for path in (COLLECTION / "roles").glob("*") if path.is_dir()):
        yield from check_role(role)
    example = "".join(path.read_text(encoding="utf-8") for path in sorted(GROUP_VARS.glob("*.yml")))
    for finding in check_example(example, list_public_options()):
        yield f"{GROUP_VARS}: {finding}"
    tasks = [*COLLECTION.glob("roles/*/tasks/**/*.yml"), *COLLECTION.glob("roles/*/handlers/*.yml")]
    yield from check_lengths([*tasks, *COLLECTION.glob("playbooks/**/*.yml")], LONGEST_TASK_FILE)
    yield from check_lengths(list(COLLECTION.glob("plugins/**/*.py")), LONGEST_MODULE)


def main() -> int:
    """Print the findings; the exit code says whether there are any."""
    found = list(list_findings())
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
