#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: observe_certificates
short_description: Check the certificates with which a Docker engine is to listen on TCP
version_added: 0.1.0
description:
  - Reads the files that the keys C(tlscacert), C(tlscert) and C(tlskey) of C(daemon.json) are to name, and checks whether an engine can use them.
  - The key must belong to the certificate and must not be encrypted. The certificate, and at least one of the CA, must not have expired.
  - M(bulkhead.docker.plan_layers) runs it when a plan changes TLS or the sockets of the engine.
  - Changes nothing and starts nothing.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  files:
    description: Key of C(daemon.json) -> absolute path of the file on the host.
    type: dict
    required: true
  user:
    description: User of the rootless engine, with whose rights the files are read. Without a value, the engine is rootful.
    type: str
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
- name: Check the certificates of the engine
  bulkhead.docker.observe_certificates:
    files:
      tlscacert: /etc/docker/tls/ca.pem
      tlscert: /etc/docker/tls/cert.pem
      tlskey: /etc/docker/tls/key.pem
  register: answer
"""

RETURN = r"""
certificates:
  description: What was found.
  returned: success
  type: dict
  contains:
    problems:
      description: Why an engine cannot use the files, one message each. Empty if it can.
      type: list
      elements: str
"""

from ..module_utils.engine.certificates import find_certificate_problems
from ..module_utils.engine.instance import find_instance
from ..module_utils.host.root import Host
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={"files": {"type": "dict", "required": True}, "user": {"type": "str"}},
        supports_check_mode=True,
    )
    instance = find_instance(Host(), module.params["user"])
    if instance.uid is None:
        module.fail_json(msg=f"user: {instance.user!r} does not exist on this host; create the user, or write another one")
    host = instance.scope_host(Host())
    problems = find_certificate_problems(host, module.params["files"], host.find_owner(instance.config))
    module.exit_json(changed=False, certificates={"problems": problems})


if __name__ == "__main__":
    main()
