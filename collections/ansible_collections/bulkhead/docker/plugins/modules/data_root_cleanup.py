#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: data_root_cleanup
short_description: Remove roots of a Docker engine that it no longer uses
version_added: 0.1.0
description:
  - After M(bulkhead.docker.daemon_config) with O(bulkhead.docker.daemon_config#module:migrate) has carried everything over, the plain root
    stays as it was. V(carried) removes it, for good; it fails where an engine has worked there since, as that is then nowhere else.
  - An engine that was remapped once leaves a root named UID.GID. V(empty) removes such roots where they hold no image, container, volume or
    network.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  which:
    description: Which roots.
    type: str
    choices: [carried, empty]
    required: true
  socket:
    description: The engine's unix socket.
    type: path
    default: /var/run/docker.sock
attributes:
  check_mode:
    description: Says what would be removed.
    support: full
  diff_mode:
    description: Shows the folders that go.
    support: full
seealso:
  - module: bulkhead.docker.daemon_config
"""

EXAMPLES = r"""
- name: Nothing is missing in the remapped root, so the old one may go
  bulkhead.docker.data_root_cleanup:
    which: carried
"""

RETURN = r"""
removed:
  description: The folders and files that went, or in check mode would go.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/docker/containers, /var/lib/docker/image]
bytes:
  description: What they took on disk.
  returned: success
  type: int
"""

import shutil

from ..module_utils.engine.api import Engine, EngineError, EngineUnreachable
from ..module_utils.host import state
from ..module_utils.host.root import Host
from ..module_utils.migration import cleanup
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "which": {"type": "str", "choices": ["carried", "empty"], "required": True},
            "socket": {"type": "path", "default": "/var/run/docker.sock"},
        },
        supports_check_mode=True,
    )
    host = Host()
    carried = module.params["which"] == "carried"
    try:
        info = Engine(module.params["socket"]).get("/info")
        entries = cleanup.carried(host, info) if carried else cleanup.empty(host, info)
        size = sum(cleanup.size(entry) for entry in entries)
        if entries and not module.check_mode:
            with state.lock_host(host):
                if carried:
                    cleanup.remove_carried(host, entries)
                else:
                    for entry in entries:
                        shutil.rmtree(entry)
    except BlockingIOError:
        module.fail_json(msg="another run of Bulkhead is changing this host; run again when it has ended")
    except (EngineError, EngineUnreachable, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    names = [str(entry) for entry in entries]
    diff = {"before": "".join(f"{name}\n" for name in names), "after": "", "before_header": "roots", "after_header": "roots"}
    module.exit_json(changed=bool(entries), removed=names, bytes=size, diff=diff)


if __name__ == "__main__":
    main()
