#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: seccomp_profile
short_description: Install and remove seccomp profiles for Docker, checked as the engine does not check them
version_added: 0.1.0
description:
  - Checks every profile of the list before any file is touched. The engine takes C({}) for "no filter", ignores a misspelt key and a
    system call that it does not know, and finds out when a container starts that runc itself is refused what it needs; here each is an
    error.
  - Replaces files atomically, owned by root and readable by all, since C(docker run --security-opt seccomp=FILE) reads the file as the
    calling user. When one file fails, those before it are put back.
  - What is ours is remembered in C(/var/lib/bulkhead/seccomp.json). A file of the same name that is not ours is refused.
  - The engine reads the daemon-wide profile once, at its start. Restarting it is M(bulkhead.docker.daemon_config)'s business.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  directory:
    description: Where the files are put, as C(NAME.json).
    type: path
    default: /etc/docker/seccomp
  profiles:
    description: The profiles to install or to remove. Others are left alone.
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
        description: The file, where it is not in O(directory).
        type: path
      state:
        description:
          - V(absent) removes the file.
          - A file that C(daemon.json) or a flag of dockerd names stays for now and is listed in RV(postponed), because the engine would
            not start without it.
        type: str
        choices: [present, absent]
        default: present
      force:
        description: >-
          Take the place of a file that is not ours, or remove it. A replaced file is kept in C(/var/lib/bulkhead/seccomp-replaced), and
          comes back when ours is removed.
        type: bool
        default: false
      permissive:
        description: Accept a profile whose default action lets calls through.
        type: bool
        default: false
attributes:
  check_mode:
    description: Checks and compares, changes nothing.
    support: full
  diff_mode:
    description: Shows each file that changes.
    support: full
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Install a profile, and give up another
  bulkhead.docker.seccomp_profile:
    profiles:
      - name: shop-web
        content: "{{ lookup('ansible.builtin.file', 'shop-web.json') }}"
      - name: shop-old
        state: absent
"""

RETURN = r"""
profiles:
  description: What was done, or in check mode would be, for each profile of the list.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the profile.
      type: str
      sample: shop-web
    path:
      description: Its file.
      type: str
      sample: /etc/docker/seccomp/shop-web.json
    changed:
      description: Whether anything was to be done.
      type: bool
    reason:
      description: Why, as the end of a sentence that begins with the name; empty when nothing was to be done.
      type: str
      sample: says something else
    sha256:
      description: Of the desired text; null for one that is to be absent.
      type: str
postponed:
  description: Paths of files that are to go, but stay until the engine no longer names them.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ..module_utils.host.files import sha256
from ..module_utils.host.root import Host
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
    except BlockingIOError:
        module.fail_json(msg="another run is changing this host (/var/lib/bulkhead/lock is held); try again when it is done")
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
