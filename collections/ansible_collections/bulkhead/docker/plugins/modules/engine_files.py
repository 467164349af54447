#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: engine_files
short_description: Set owner, group and mode of the Docker engine's files
version_added: 0.1.0
description:
  - Changes existing files, folders and sockets only. A path with a symbolic link in it, and a file with several hard links, is skipped.
  - A file never gets a permission that it does not have, except when it is restored.
  - Remembers owner, group and mode of each file before its first change in C(/var/lib/bulkhead/files.json).
author:
  - Bulkhead maintainers (@bulkhead)
options:
  files:
    description: The files to change.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path of the file.
        type: path
        required: true
      uid:
        description: Number of the owner.
        type: int
        required: true
      gid:
        description: Number of the group.
        type: int
        required: true
      mode:
        description: The permissions that the file may keep, as an octal number, such as V(0644).
        type: str
        required: true
  restore:
    description: Paths of files whose earlier owner, group and mode are restored. A file that was changed since stays as it is.
    type: list
    elements: path
    default: []
  user:
    description: The user of the rootless engine. Files below that user's home are reached with the rights of that user.
    type: str
attributes:
  check_mode:
    description: Returns what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows owner, group and mode of each file that changes.
    support: full
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Allow only root to change the engine's configuration
  bulkhead.docker.engine_files:
    files:
      - path: /etc/docker/daemon.json
        uid: 0
        gid: 0
        mode: "0644"
"""

RETURN = r"""
files:
  description: The files of both lists.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the file.
      type: str
    before:
      description: Owner, group and mode before; empty if they could not be read.
      type: str
      sample: 0:0 0666
    after:
      description: Owner, group and mode afterwards.
      type: str
      sample: 0:0 0644
    changed:
      description: Whether the file was changed.
      type: bool
    skipped:
      description: Why the file was not changed, although it should be; empty otherwise.
      type: str
"""

import re

from ..module_utils.engine.instance import find_instance
from ..module_utils.host.access import AccessStep, apply_accesses
from ..module_utils.host.root import Host
from ..module_utils.module import Module


def main() -> None:
    entry = {"path": ("path", True), "uid": ("int", True), "gid": ("int", True), "mode": ("str", True)}
    module = Module(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {name: {"type": kind, "required": required} for name, (kind, required) in entry.items()},
            },
            "restore": {"type": "list", "elements": "path", "default": []},
            "user": {"type": "str"},
        },
        supports_check_mode=True,
    )
    for file in module.params["files"]:
        if not re.fullmatch(r"[0-7]{3,4}", file["mode"]):
            module.fail_json(msg=f"files: {file['path']}: mode {file['mode']!r} is not an octal number; write one such as '0644'")
        file["mode"] = int(file["mode"], 8)
    host = find_instance(Host(), module.params["user"]).scope_host(Host())
    try:
        steps = apply_accesses(host, module.params["files"], module.params["restore"], module.check_mode)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    changed = [step for step in steps if step.changed]
    for step in steps:
        if step.skipped:
            module.warn(f"{step.path}: was not changed: {step.skipped}")
    module.exit_json(
        changed=bool(changed),
        files=[
            {
                "path": step.path,
                "before": _format(step.now),
                "after": _format(step.now if step.skipped else step.then),
                "changed": step.changed,
                "skipped": step.skipped,
            }
            for step in steps
        ],
        diff=[_build_diff(step) for step in changed],
    )


def _format(access: list[int]) -> str:
    return f"{access[0]}:{access[1]} {access[2]:04o}" if access else ""


def _build_diff(step: AccessStep) -> dict[str, str]:
    return {"before": f"{_format(step.now)}\n", "after": f"{_format(step.then)}\n", "before_header": step.path, "after_header": step.path}


if __name__ == "__main__":
    main()
