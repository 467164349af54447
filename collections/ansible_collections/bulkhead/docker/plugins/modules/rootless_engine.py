#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rootless_engine
short_description: Set up a user's rootless Docker engine, or take it away
version_added: 0.1.0
description:
  - In one visit makes the user and its subordinate ID ranges, lets it linger, delegates cgroup controllers to its service manager, writes the files that
    M(bulkhead.docker.plan_layers) has planned (unit, OCI runtime, drop-ins), makes the docker client's context, and stops and masks the rootful engine.
  - Does not start the engine; M(bulkhead.docker.daemon_config) does, with O(bulkhead.docker.daemon_config#module:start), once its configuration is there.
    An engine that runs is restarted when its unit has changed.
  - What was made is remembered in C(/var/lib/bulkhead), so that it can be taken away again. The user, its images, containers and volumes always stay.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  state:
    description:
      - V(present) sets the engine up.
      - V(absent) stops it, takes away what this module has made, gives back the keys in the user's C(daemon.json) that were ours, and brings back the
        rootful engine if this module had stopped it.
    type: str
    choices: [present, absent]
    default: present
  user:
    description: Whose engine it is. Made as a system user with a home and a shell when there is none.
    type: str
    required: true
  range:
    description: The subordinate range to give the user when it has none, as M(bulkhead.docker.subid_range) takes it.
    type: dict
    default: {}
    suboptions:
      start:
        description: Where to look for a free range first.
        type: int
        default: 296608
      size:
        description: How many IDs.
        type: int
        default: 65536
      exact:
        description: That range and no other.
        type: bool
        default: false
  files:
    description: Files of root's that the engine needs. In C(path), C(user@UID.service.d) stands for the user's own ID.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      content:
        description: Its text.
        type: str
        default: ''
      mode:
        description: Its mode, octal.
        type: str
        default: "0644"
      link:
        description: Make it a symbolic link to there instead.
        type: str
        default: ''
  disable_rootful:
    description: Stop and mask the rootful engine.
    type: bool
    default: true
  stop_containers:
    description: Allow to stop the containers of an engine that is to be stopped. Without it the task fails where there are any.
    type: bool
    default: false
  timeout:
    description: Seconds that one step may take.
    type: int
    default: 300
attributes:
  check_mode:
    description: Says what would be done, and does nothing.
    support: full
  diff_mode:
    description: The plan shows the difference.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.daemon_config
"""

EXAMPLES = r"""
- name: Take the rootless engine away
  bulkhead.docker.rootless_engine:
    state: absent
    user: rootless
"""

RETURN = r"""
steps:
  description: What was done, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["user rootless created", "rootless lingers"]
uid:
  description: The user's ID; null where there is no such user.
  returned: success
  type: int
socket:
  description: Where the engine listens.
  returned: success
  type: str
  sample: /run/user/990/docker.sock
"""

from ..module_utils.engine.api import EngineError
from ..module_utils.engine.service import ServiceError
from ..module_utils.host.root import Host
from ..module_utils.module import Module
from ..module_utils.rootless.rendering import ManagedFile
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
        ranges=UserRequest(RangeRequest(given["user"], range_options["start"], range_options["size"], range_options["exact"])),
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
    except BlockingIOError:
        module.fail_json(msg="another run of this collection is changing this host; run again when it has finished")
    except (SetupFailed, SubidError, ShadowLocked, ServiceError, EngineError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    for text in outcome.warnings:
        module.warn(text)
    module.exit_json(changed=outcome.changed, steps=outcome.steps, uid=outcome.instance.uid, socket=outcome.instance.socket)


if __name__ == "__main__":
    main()
