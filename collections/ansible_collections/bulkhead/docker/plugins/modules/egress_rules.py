#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: egress_rules
short_description: Load the rules for what containers may reach
version_added: 0.1.0
description:
  - Replaces the nftables table C(inet bulkhead_egress) in one transaction. Tables of others stay.
  - Writes the rules to C(/var/lib/bulkhead/egress.nft). The unit C(bulkhead-egress.service) loads them before the engine starts.
  - nft checks the rules first. If the kernel does not accept them, the table and the files stay as they were.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  rules_text:
    description: Text of the file of rules. If it is empty, the table, the file and the unit are removed.
    type: str
    default: ""
  unit_text:
    description: Text of the unit that loads the rules.
    type: str
    default: ""
  drop_in_text:
    description: Text of the drop-in with which nftables.service loads the rules again after it removed all tables.
    type: str
    default: ""
attributes:
  check_mode:
    description: Returns what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows the files that change.
    support: full
seealso:
  - module: bulkhead.docker.observe_egress
  - module: bulkhead.docker.plan_layers
"""

EXAMPLES = r"""
- name: Remove the rules for what containers may reach
  bulkhead.docker.egress_rules:
"""

RETURN = r"""
loaded:
  description: Whether the kernel's table was replaced or removed.
  returned: success
  type: bool
"""

from ..module_utils.host.egress_loading import apply_rules
from ..module_utils.host.root import Host
from ..module_utils.module import Module

_TEXTS = ("rules_text", "unit_text", "drop_in_text")


def main() -> None:
    module = Module(argument_spec={name: {"type": "str", "default": ""} for name in _TEXTS}, supports_check_mode=True)
    texts = module.params["rules_text"], module.params["unit_text"], module.params["drop_in_text"]
    if any(texts) != all(texts):
        module.fail_json(msg=f"{', '.join(_TEXTS)}: some of them are empty; write all, or none to remove the rules")
    try:
        loading = apply_rules(Host(), texts, module.check_mode)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"the egress rules were not changed: {error}")
    module.exit_json(
        changed=loading.changed,
        loaded=loading.loaded,
        diff=[
            {"before": loading.before[path], "after": text, "before_header": path, "after_header": path}
            for path, text in loading.after.items()
            if text != loading.before[path]
        ],
    )


if __name__ == "__main__":
    main()
