#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: subid_range
short_description: Allocate subordinate ID ranges that do not overlap others
version_added: 0.1.0
description:
  - Writes C(/etc/subuid) and C(/etc/subgid) so that each user has a range, the same in both files where that is possible. A user keeps a valid
    range. A range that overlaps another line, contains the ID of an account, or is reserved by systemd is not allocated.
  - Other lines, comments and their order stay byte for byte. Both files are replaced atomically under the locks of the shadow tools
    (C(/etc/.pwd.lock), C(/etc/subuid.lock), C(/etc/subgid.lock)). As those tools do, it keeps the previous text in C(/etc/subuid-) and C(/etc/subgid-).
  - Overlapping ranges of two users, and malformed lines of a requested user, are an error that names file and lines. Nothing is changed then.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  ranges:
    description: The users; one run allocates all of them.
    type: list
    elements: dict
    required: true
    suboptions:
      user:
        description: Name of the user.
        type: str
        required: true
      group:
        description:
          - A group that has to exist too; a missing one is created as a system group. A created user gets it as primary group.
        type: str
      start:
        description: First ID of the range. If it is taken, the next free range in steps of 65536 is allocated, unless O(ranges[].exact).
        type: int
        default: 231072
      size:
        description: Number of IDs.
        type: int
        default: 65536
      exact:
        description:
          - Allow this range only. Another range of the user is replaced if this module wrote it, and is an error otherwise.
        type: bool
        default: false
      create:
        description: Create the user, as a system user without home and login, when it does not exist.
        type: bool
        default: false
      state:
        description:
          - V(absent) removes the ranges that this module allocated, and the user if this module created it and it has no other range. It is an error
            while a process runs with an ID of the range.
        type: str
        choices: [absent, present]
        default: present
  subject:
    description: Name of the state in C(/var/lib/bulkhead) that remembers what this module wrote. Each role has its own.
    type: str
    default: userns
attributes:
  check_mode:
    description: Returns what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows both files, and users that are created or removed.
    support: full
seealso:
  - name: The files
    description: Manual page of /etc/subuid.
    link: https://man7.org/linux/man-pages/man5/subuid.5.html
"""

EXAMPLES = r"""
- name: Allocate ranges to the user that the engine remaps to with "userns-remap" set to "default"
  bulkhead.docker.subid_range:
    ranges:
      - user: dockremap
        group: dockremap
        create: true

- name: Allocate ranges to two existing users
  bulkhead.docker.subid_range:
    subject: rootless
    ranges:
      - user: alice
        start: 300000
      - user: bob
        start: 400000
        size: 131072
        exact: true
"""

RETURN = r"""
ranges:
  description: The ranges of each present user, as they are now (in check mode, as they would be).
  returned: success
  type: list
  elements: dict
  contains:
    user:
      description: Name of the user.
      type: str
      sample: dockremap
    uid:
      description: Its uid; null in check mode when it does not exist yet.
      type: int
    subuid:
      description: Pairs of start and count, in the order of C(/etc/subuid); root of a container is in the first.
      type: list
      elements: list
      sample: [[231072, 65536]]
    subgid:
      description: The same for C(/etc/subgid).
      type: list
      elements: list
      sample: [[231072, 65536]]
notes:
  description: Messages, for example that a requested range was taken.
  returned: success
  type: list
  elements: str
"""

from ..module_utils.host.root import Host
from ..module_utils.module import Module
from ..module_utils.subid.allocate import RangeRequest
from ..module_utils.subid.apply import SubidError, apply_ranges
from ..module_utils.subid.decide import UserRequest
from ..module_utils.subid.locks import ShadowLocked


def main() -> None:
    module = Module(
        argument_spec={
            "ranges": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "user": {"type": "str", "required": True},
                    "group": {"type": "str"},
                    "start": {"type": "int", "default": 231072},
                    "size": {"type": "int", "default": 65536},
                    "exact": {"type": "bool", "default": False},
                    "create": {"type": "bool", "default": False},
                    "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
                },
            },
            "subject": {"type": "str", "default": "userns"},
        },
        supports_check_mode=True,
    )
    requests = [
        UserRequest(
            RangeRequest(entry["user"], entry["start"], entry["size"], entry["exact"]),
            entry["group"] or "",
            entry["create"],
            entry["state"] == "present",
        )
        for entry in module.params["ranges"]
    ]
    try:
        outcome = apply_ranges(Host(), requests, module.params["subject"], module.check_mode, module.run_command)
    except (SubidError, ShadowLocked, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=outcome.changed, ranges=outcome.ranges, notes=outcome.notes, diff=outcome.diff)


if __name__ == "__main__":
    main()
