# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: targets
short_description: A pattern of hosts that matches at least one host
version_added: 0.1.0
description:
  - Returns the pattern, for C(hosts) of a play. A pattern without a host is an error, because Ansible would skip the play and report success.
  - Without an inventory, C(--syntax-check) and C(--list-tasks) work as usual.
author: Bulkhead maintainers (@bulkhead)
options:
  _terms:
    description: One pattern of hosts, as C(hosts) of a play has it.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Verify
  hosts: "{{ lookup('bulkhead.docker.targets', bulkhead_target | default('docker_hosts')) }}"
"""

RETURN = r"""
_raw:
  description: The pattern.
  type: list
  elements: str
"""

from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

# Options of ansible-playbook with which no task runs.
_LISTING = ("syntax", "listhosts", "listtasks", "listtags")


class LookupModule(LookupBase):
    """Returns a pattern that matches a host."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the pattern, as the only element. Raises AnsibleError if no host matches it."""
        patterns = [str(term) for term in terms]
        hosts = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        if not hosts.run(patterns, variables) and not any(context.CLIARGS.get(option) for option in _LISTING):
            raise AnsibleError(
                f"Nothing was done: no host of the inventory matches {', '.join(patterns)}; put hosts into group docker_hosts, "
                "or write -e bulkhead_target=PATTERN"
            )
        return patterns
