#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rootless_engine
short_description: Set up or remove a user's rootless Docker engine
version_added: 0.1.0
description:
  - Creates the user and its subordinate ID ranges in one visit, enables lingering, and delegates cgroup controllers to its service manager. Writes the
    files that M(bulkhead.docker.plan_layers) planned (unit, OCI runtime, drop-ins) and the docker client's context, and stops and masks the rootful engine.
  - Does not start the engine. M(bulkhead.docker.daemon_config) does, with O(bulkhead.docker.daemon_config#module:start), after writing its configuration.
    An engine that runs is restarted when its unit changed.
  - What was created is remembered in C(/var/lib/bulkhead), so that it can be removed. The user, its images, containers and volumes always stay.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  state:
    description:
      - V(present) sets the engine up.
      - V(absent) stops it, removes what this module created, restores the managed keys in the user's C(daemon.json), and restores the rootful
        engine if this module stopped it.
    type: str
    choices: [present, absent]
    default: present
  user:
    description: Owner of the engine. A missing user is created as a system user with a home and a shell.
    type: str
    required: true
  range:
    description: The subordinate range for a user without one, as for M(bulkhead.docker.subid_range).
    type: dict
    default: {}
    suboptions:
      start:
        description: First ID where a free range is searched.
        type: int
        default: 296608
      size:
        description: Number of IDs.
        type: int
        default: 65536
      exact:
        description: Allow this range only.
        type: bool
        default: false
  files:
    description: Files of root that the engine needs. In C(path), the user's ID replaces C(UID) of C(user@UID.service.d).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path of the file.
        type: path
        required: true
      content:
        description: Content of the file.
        type: str
        default: ''
      mode:
        description: Mode of the file, octal.
        type: str
        default: "0644"
      link:
        description: Create a symbolic link with this target instead.
        type: str
        default: ''
  disable_rootful:
    description: Stop and mask the rootful engine.
    type: bool
    default: true
  stop_containers:
    description: Allow stopping the containers of an engine that is stopped. Without it the task fails when there are any.
    type: bool
    default: false
  timeout:
    description: Seconds that one step may take.
    type: int
    default: 300
attributes:
  check_mode:
    description: Returns what would be changed, and changes nothing.
    support: full
  diff_mode:
    description: The plan shows the difference.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.daemon_config
"""

EXAMPLES = r"""
- name: Remove the rootless engine
  bulkhead.docker.rootless_engine:
    state: absent
    user: rootless
"""

RETURN = r"""
steps:
  description: What was changed, one text per step.
  returned: success
  type: list
  elements: str
  sample: ["user rootless created", "rootless lingers"]
uid:
  description: The user's ID; null when the user does not exist.
  returned: success
  type: int
socket:
  description: Where the engine listens.
  returned: success
  type: str
  sample: /run/user/990/docker.sock
"""

from ..module_utils.engine.api import EngineError
from ..module_utils.engine.systemctl import ServiceError
from ..module_utils.host.root import Host
from ..module_utils.module import Module
from ..module_utils.rootless.managed_files import ManagedFile
from ..module_utils.rootless.setup import RootlessRequest, SetupFailed, remove_engine, set_up_engine
from ..module_utils.subid.allocate import RangeRequest
from ..module_utils.subid.apply import SubidError
from ..module_utils.subid.decide import UserRequest
from ..module_utils.subid.locks import ShadowLocked


def main() -> None:
    module = Module(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "user": {"type": "str", "required": True},
            "range": {
                "type": "dict",
                "default": {},
                "apply_defaults": True,
                "options": {
                    "start": {"type": "int", "default": 296608},
                    "size": {"type": "int", "default": 65536},
                    "exact": {"type": "bool", "default": False},
                },
            },
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "default": ""},
                    "mode": {"type": "str", "default": "0644"},
                    "link": {"type": "str", "default": ""},
                },
            },
            "disable_rootful": {"type": "bool", "default": True},
            "stop_containers": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    given = module.params
    range_options = given["range"]
    request = RootlessRequest(
        user=given["user"],
        ranges=UserRequest(
            RangeRequest(given["user"], range_options["start"], range_options["size"], range_options["exact"], newuidmap=True)
        ),
        files=[ManagedFile(f["path"], f["content"], int(f["mode"], 8), f["link"]) for f in given["files"]],
        disable_rootful=given["disable_rootful"],
        stop_containers=given["stop_containers"],
        timeout=given["timeout"],
    )
    try:
        if given["state"] == "present":
            outcome = set_up_engine(Host(), request, module.check_mode, module.run_command)
        else:
            outcome = remove_engine(Host(), given["user"], given["stop_containers"], given["timeout"], module.check_mode)
    except (SetupFailed, SubidError, ShadowLocked, ServiceError, EngineError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    for text in outcome.warnings:
        module.warn(text)
    module.exit_json(changed=outcome.changed, steps=outcome.steps, uid=outcome.instance.uid, socket=outcome.instance.socket)


if __name__ == "__main__":
    main()
