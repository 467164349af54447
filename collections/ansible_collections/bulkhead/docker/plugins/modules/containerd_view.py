#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_view
short_description: Prepare the migration of images that a Docker engine keeps in containerd
version_added: 0.1.0
description:
  - Writes the folder C(.bulkhead-store) into the engine's data root. It has what storage driver C(overlay2) needs to know of each image and container
    in containerd, and links to their layers. M(bulkhead.docker.daemon_config) with O(bulkhead.docker.daemon_config#module:migrate) copies what the links
    lead to, and removes the folder.
  - Checks the archive of each layer against the digest that the image names.
  - Neither stops nor changes the engine or containerd.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  socket:
    description: The engine's API socket. The default is C(/var/run/docker.sock).
    type: path
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 60
attributes:
  check_mode:
    description: Checks whether everything can be migrated, and writes nothing.
    support: full
  diff_mode:
    description: The folder exists only during a migration, so no difference is shown.
    support: none
seealso:
  - module: bulkhead.docker.daemon_config
  - module: bulkhead.docker.observe_data
"""

EXAMPLES = r"""
- name: Prepare the migration of images in containerd
  bulkhead.docker.containerd_view:
"""

RETURN = r"""
images:
  description: The number of images that are migrated, each with one platform.
  returned: success
  type: int
containers:
  description: The number of containers whose layers are migrated.
  returned: success
  type: int
left:
  description: What storage driver C(overlay2) cannot keep and stays in containerd, such as attestations and other platforms of an image.
  returned: success
  type: list
  elements: str
"""

from functools import partial

from ..module_utils.containerd.reading import read_view
from ..module_utils.containerd.view_replacement import replace_view
from ..module_utils.engine.api import Engine, EngineError, EngineUnreachable
from ..module_utils.engine.instance import ROOTFUL
from ..module_utils.host import state
from ..module_utils.host.root import Host
from ..module_utils.migration.roots import MigrationBlocked
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={"socket": {"type": "path"}, "timeout": {"type": "int", "default": 60}},
        supports_check_mode=True,
    )
    host = Host()
    try:
        engine = Engine.for_instance(ROOTFUL, module.params["timeout"], module.params["socket"])
        info, list_images = engine.get("/info"), partial(engine.get, "/images/json")
        if module.check_mode:
            _store, view = read_view(host, info, list_images)
            if view.problems:
                raise MigrationBlocked("; ".join(view.problems))
        else:
            with state.lock_host(host):
                view = replace_view(host, info, list_images)
    except (EngineError, EngineUnreachable, OSError, ValueError) as error:
        module.fail_json(msg=f"images in containerd cannot be migrated: {error}; the engine was not changed")
    module.exit_json(changed=not module.check_mode, images=len(view.images), containers=len(view.containers), left=view.left)


if __name__ == "__main__":
    main()
