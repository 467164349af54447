#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: observe_data
short_description: Collect what a switch of a Docker host to userns-remap changes for its containers and data
version_added: 0.1.0
description:
  - Reads what planning needs only when the engine is about to get another data root. That is the options, processes and mounts of all containers,
    the owners of the host's files that they use, and with O(migrate) the data that is to be copied.
  - M(bulkhead.docker.plan_layers) runs it when a plan switches C(userns-remap) on.
  - Changes nothing and starts nothing.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  uid_map:
    description: The map of the new data root - rows of first ID inside, first ID outside and count, as in C(/proc/PID/uid_map).
    type: list
    elements: list
    required: true
  gid_map:
    description: The same for groups.
    type: list
    elements: list
    required: true
  migrate:
    description: Also read the data that a migration copies.
    type: bool
    default: false
  paths:
    description: Further paths of the host, which containers of the inventory will use.
    type: list
    elements: path
    default: []
  scan_timeout:
    description:
      - Maximum seconds for reading owners of files, once for the data and once for paths of the host.
      - In the rest of the time for the data, the archives of layers in containerd are compared with their digests.
    type: int
    default: 120
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 60
  socket:
    description: The engine's API socket. The default is C(/var/run/docker.sock).
    type: path
attributes:
  check_mode:
    description: Only reads, in check mode too.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.daemon_config
"""

EXAMPLES = r"""
- name: Collect what a switch to userns-remap changes
  bulkhead.docker.observe_data:
    uid_map: [[0, 231072, 65536]]
    gid_map: [[0, 231072, 65536]]
    migrate: true
  register: switch
"""

RETURN = r"""
data:
  description: What was found.
  returned: success
  type: dict
  contains:
    info:
      description: The engine's C(/info), as far as a migration depends on it.
      type: dict
    containers:
      description: All containers, with options, IDs of their processes, mounts and devices.
      type: list
      elements: dict
    paths:
      description: Path of the host -> owners and modes of it and of what is below it.
      type: dict
    root:
      description: >-
        The data that a migration copies, and what is in its way. For images in containerd, C(left) is what stays there, and C(uncompared) has
        C(count) and C(bytes) of the archives of layers that were not compared with their digests in time.
        Empty without O(migrate), or if the storage cannot be migrated.
      type: dict
"""

import time
from functools import partial
from typing import Any

from ..module_utils.containerd.blobs import compare_digests
from ..module_utils.containerd.reading import count_unused, open_draft, read_view
from ..module_utils.engine.api import Engine, EngineError, EngineUnreachable
from ..module_utils.engine.instance import ROOTFUL
from ..module_utils.host.root import Host
from ..module_utils.layers.userns.observe_access import observe_containers, observe_paths
from ..module_utils.migration import layout, obstacles, roots, survey
from ..module_utils.migration.ids import IdMaps
from ..module_utils.module import Module

_INFO = ("Containerd", "DockerRootDir", "Driver", "DriverStatus", "Plugins", "SecurityOptions", "Swarm")


def main() -> None:
    module = Module(
        argument_spec={
            "uid_map": {"type": "list", "elements": "list", "required": True},
            "gid_map": {"type": "list", "elements": "list", "required": True},
            "migrate": {"type": "bool", "default": False},
            "paths": {"type": "list", "elements": "path", "default": []},
            "scan_timeout": {"type": "int", "default": 120},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        data = observe_data(Host(), module.params, module.tmpdir)
    except (EngineError, EngineUnreachable, OSError, ValueError) as error:
        module.fail_json(msg=f"what a switch to userns-remap changes cannot be read: {error}")
    module.exit_json(changed=False, data=data)


def observe_data(host: Host, options: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return what the module returns as `data`. folder: for temporary files. Raises EngineError, OSError, ValueError."""
    engine = Engine.for_instance(ROOTFUL, options["timeout"], options["socket"])
    info = engine.get("/info")
    containers = observe_containers(host, engine)
    used = {mount["source"] for container in containers for mount in container["mounts"] if mount["source"].startswith("/")}
    used |= {path for container in containers for path in container["devices"]}
    root = info["DockerRootDir"]
    found: dict[str, Any] = {
        "info": {key: info[key] for key in _INFO if key in info},
        "containers": containers,
        "paths": observe_paths(host, used | set(options["paths"]), root, options["scan_timeout"]),
        "root": {},
    }
    if options["migrate"] and not obstacles.find_store_obstacle(info):
        ids = IdMaps(options["uid_map"], options["gid_map"])
        source, name = host.path(root), "{}.{}".format(*ids.root)
        action, problem = roots.judge_target(host, source / name)
        draft = source / (name if action == "resume" else f".bulkhead-{name}")
        deadline = time.monotonic() + options["scan_timeout"]
        if obstacles.is_in_containerd(info):
            store, view = read_view(host, info, partial(engine.get, "/images/json"))
            with open_draft(store, view, folder) as path:
                facts = survey.read_facts(host, source, draft, ids, deadline, path)
            ignored = {name: why for name, why in facts["ignored"].items() if why != layout.WITHOUT_LAYER}  # these are among the problems
            damaged, unread = compare_digests(store, view.archives, deadline)
            facts |= {"ignored": ignored, "problems": [*view.problems, *damaged], "left": view.left, "unused": count_unused(source)}
            facts["uncompared"] = {"count": len(unread), "bytes": sum(archive.layer.size or 0 for archive in unread)}
        else:
            facts = survey.read_facts(host, source, draft, ids, deadline)
        found["root"] = {**facts, "target": problem}
    return found


if __name__ == "__main__":
    main()
