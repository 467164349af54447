#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: engine_audit_rules
short_description: Load audit rules for the Docker engine's programs, data and files
version_added: 0.1.0
description:
  - Adds missing rules to the kernel, and removes those that are not listed, one by one.
  - Concerns only rules with the key C(bulkhead-docker) for writing and changes of attributes. Rules of others stay.
  - Writes C(/etc/audit/rules.d/99-bulkhead-docker.rules), from which C(augenrules) loads the rules at boot.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  rules:
    description: All rules that the kernel should have.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path that is watched, without links.
        type: path
        required: true
      folder:
        description: Whether all below the path is watched.
        type: bool
        default: false
  rules_text:
    description: Text of C(/etc/audit/rules.d/99-bulkhead-docker.rules). The file is removed if it is empty.
    type: str
    default: ""
  folders_text:
    description: Text of C(/etc/tmpfiles.d/bulkhead-audit-rules.conf). The file is removed if it is empty.
    type: str
    default: ""
  load:
    description: Change the kernel's rules too, and not only the files. An immutable kernel accepts no change.
    type: bool
    default: true
attributes:
  check_mode:
    description: Returns what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows the files and the rules that change.
    support: full
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Record changes of the engine's configuration
  bulkhead.docker.engine_audit_rules:
    rules:
      - path: /etc/docker
        folder: true
    rules_text: |
      -w /etc/docker -p wa -k bulkhead-docker
"""

RETURN = r"""
added:
  description: Paths of the rules that were added to the kernel.
  returned: success
  type: list
  elements: str
removed:
  description: Paths of the rules that were removed from the kernel.
  returned: success
  type: list
  elements: str
failed:
  description: Path -> why the kernel did not accept the change of its rule.
  returned: success
  type: dict
"""

from ..module_utils.host.audit_loading import AuditLoading, apply_rules
from ..module_utils.host.root import Host
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "rules": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"path": {"type": "path", "required": True}, "folder": {"type": "bool", "default": False}},
            },
            "rules_text": {"type": "str", "default": ""},
            "folders_text": {"type": "str", "default": ""},
            "load": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    rules = [(rule["path"], rule["folder"]) for rule in given["rules"]]
    try:
        loading = apply_rules(Host(), rules, (given["rules_text"], given["folders_text"]), given["load"], module.check_mode)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    for (path, _folder), reason in loading.failed.items():
        module.warn(f"{path}: the kernel did not accept the change of its audit rule: {reason}")
    module.exit_json(
        changed=loading.changed,
        added=[path for path, _folder in loading.added],
        removed=[path for path, _folder in loading.removed],
        failed={path: reason for (path, _folder), reason in loading.failed.items()},
        diff=_build_diff(loading),
    )


def _build_diff(loading: AuditLoading) -> list[dict[str, str]]:
    found = [
        {"before": loading.before[path], "after": text, "before_header": path, "after_header": path}
        for path, text in loading.after.items()
        if text != loading.before[path]
    ]
    if loading.added or loading.removed:
        before, after = ("".join(f"{path}\n" for path, _folder in rules) for rules in (loading.removed, loading.added))
        found.append({"before": before, "after": after, "before_header": "audit rules", "after_header": "audit rules"})
    return found


if __name__ == "__main__":
    main()
