#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: data_root_cleanup
short_description: Remove data roots that the Docker engine no longer uses
version_added: 0.1.0
description:
  - M(bulkhead.docker.daemon_config) with O(bulkhead.docker.daemon_config#module:migrate) copies everything to the remapped data root and
    does not change the plain one. V(migrated) removes the plain data root. It fails if an engine has worked there since the migration,
    because that data exists nowhere else.
    If the migrated images are in containerd, V(migrated) also removes them there, from the namespace of the engine.
  - An engine that was remapped leaves a data root named UID.GID. V(empty) removes such data roots if they contain no image, container,
    volume or network.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  which:
    description: Which data roots to remove.
    type: str
    choices: [migrated, empty]
    required: true
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: Lists what would be removed.
    support: full
  diff_mode:
    description: Shows the files and folders that are removed.
    support: full
seealso:
  - module: bulkhead.docker.daemon_config
"""

EXAMPLES = r"""
- name: Remove the plain data root after a migration
  bulkhead.docker.data_root_cleanup:
    which: migrated
"""

RETURN = r"""
removed:
  description: The files and folders that were removed, and what of the migrated images was removed from containerd. In check mode, what would be removed.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/docker/containers, /var/lib/docker/image]
bytes:
  description: Their size on disk.
  returned: success
  type: int
"""

import shutil
from pathlib import Path

from ..module_utils.containerd.cleanup import list_migrated_images, remove_migrated_images
from ..module_utils.engine.api import EngineError, EngineUnreachable
from ..module_utils.engine.client import open_engine
from ..module_utils.engine.instance import ROOTFUL
from ..module_utils.host import state
from ..module_utils.host.root import Host
from ..module_utils.migration import cleanup
from ..module_utils.migration.roots import SUBJECT
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "which": {"type": "str", "choices": ["migrated", "empty"], "required": True},
            "socket": {"type": "path"},
        },
        supports_check_mode=True,
    )
    host = Host()
    is_migrated = module.params["which"] == "migrated"
    try:
        info = open_engine(host, ROOTFUL, socket=module.params["socket"]).get("/info")
        entries, kept = (cleanup.list_migrated(host, info), []) if is_migrated else cleanup.list_empty_roots(host, info)
        size = sum(cleanup.measure_size(entry) for entry in entries)
        images = list_migrated_images(state.load(host, SUBJECT)) if is_migrated else []
        if (entries or images) and not module.check_mode:
            with state.lock_host(host):
                if is_migrated:
                    kept += remove_migrated(host, entries)
                else:
                    for entry in entries:
                        shutil.rmtree(entry)
    except (EngineError, EngineUnreachable, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    for message in kept:
        module.warn(message)
    names = [*map(str, entries), *images]
    diff = {"before": "".join(f"{name}\n" for name in names), "after": "", "before_header": "data roots", "after_header": "data roots"}
    module.exit_json(changed=bool(names), removed=names, bytes=size, diff=diff)


def remove_migrated(host: Host, entries: list[Path]) -> list[str]:
    """Remove the plain data root, and what its engine had in containerd. Returns warnings. Raises MigrationBlocked, OSError."""
    remembered = state.load(host, SUBJECT)
    if remembered.get("images"):
        remembered["removing"] = True  # an interrupted run continues, though the images are not those of the migration any more
        state.save(host, SUBJECT, remembered)
    left = remove_migrated_images(remembered) if remembered.get("images") else ""
    cleanup.remove_migrated(host, entries)
    return [left] if left else []


if __name__ == "__main__":
    main()
