#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: seccomp_profile
short_description: Check, install and remove seccomp profiles for Docker
version_added: 0.1.0
description:
  - Checks every profile of the list before it changes a file. The engine accepts C({}) as "no filter", and ignores a misspelt key or
    system call. Only the start of a container shows that runc cannot use the profile. All of these are errors here.
  - Replaces files atomically, owned by root and readable by all, because C(docker run --security-opt seccomp=FILE) reads the file as the
    calling user. If one file fails, those before it are restored.
  - Managed files are remembered in C(/var/lib/bulkhead/seccomp.json). The module fails if an unmanaged file has the same name.
  - The engine reads the daemon-wide profile only at its start. M(bulkhead.docker.daemon_config) restarts it.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  directory:
    description: The folder of the files C(NAME.json).
    type: path
    default: /etc/docker/seccomp
  profiles:
    description: Profiles to install or remove. Others are not changed.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the profile, and of its file.
        type: str
        required: true
      content:
        description: The whole profile, in Docker's JSON format.
        type: str
      path:
        description: Its file, if not in O(directory).
        type: path
      state:
        description:
          - V(absent) removes the file.
          - A file that C(daemon.json) or a flag of dockerd names is not removed, but listed in RV(postponed), because the engine would
            not start without it.
        type: str
        choices: [present, absent]
        default: present
      force:
        description: >-
          Replace or remove an unmanaged file. A copy of a replaced file is kept in C(/var/lib/bulkhead/seccomp-replaced) and restored when
          the managed file is removed.
        type: bool
        default: false
      permissive:
        description: Accept a profile whose default action allows calls.
        type: bool
        default: false
attributes:
  check_mode:
    description: Checks and compares the profiles, and changes nothing.
    support: full
  diff_mode:
    description: Shows each file that changes.
    support: full
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Install a profile, and remove another
  bulkhead.docker.seccomp_profile:
    profiles:
      - name: shop-web
        content: "{{ lookup('ansible.builtin.file', 'shop-web.json') }}"
      - name: shop-old
        state: absent
"""

RETURN = r"""
profiles:
  description: What was, or in check mode would be, done for each profile.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the profile.
      type: str
    path:
      description: Its file.
      type: str
      sample: /etc/docker/seccomp/shop-web.json
    changed:
      description: Whether the file had to change.
      type: bool
    reason:
      description: Why it had to change, or empty.
      type: str
      sample: has another text
    sha256:
      description: SHA-256 of the desired text; null for an absent file.
      type: str
postponed:
  description: Paths of files that are removed once the engine no longer names them.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ..module_utils.host.root import Host, sha256
from ..module_utils.module import Module
from ..module_utils.seccomp.install import SeccompInstallError, SeccompStep, apply_seccomp_steps, plan_seccomp_steps

ARGUMENTS: dict[str, Any] = {
    "directory": {"type": "path", "default": "/etc/docker/seccomp"},
    "profiles": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "content": {"type": "str"},
            "path": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "force": {"type": "bool", "default": False},
            "permissive": {"type": "bool", "default": False},
        },
        "required_if": [("state", "present", ("content",))],
    },
}


def main() -> None:
    module = Module(argument_spec=ARGUMENTS, supports_check_mode=True)
    host = Host()
    try:
        steps = plan_seccomp_steps(host, module.params["profiles"], module.params["directory"])
        if not module.check_mode:
            apply_seccomp_steps(host, steps)
    except SeccompInstallError as error:
        module.fail_json(msg="Nothing was changed. " + " ".join(error.problems), problems=error.problems)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    changing = [step for step in steps if step.reason and not step.postponed]
    module.exit_json(
        changed=bool(changing),
        profiles=[_summarize_step(step) for step in steps],
        postponed=[step.path for step in steps if step.postponed],
        diff=[
            {"before": step.before or "", "after": step.after or "", "before_header": step.path, "after_header": step.path}
            for step in changing
        ],
    )


def _summarize_step(step: SeccompStep) -> dict[str, Any]:
    return {
        "name": step.name,
        "path": step.path,
        "changed": bool(step.reason) and not step.postponed,
        "reason": step.reason,
        "sha256": None if step.after is None else sha256(step.after),
    }


if __name__ == "__main__":
    main()
