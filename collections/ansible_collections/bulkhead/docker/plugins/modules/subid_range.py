#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: subid_range
short_description: Give users subordinate ID ranges that overlap nobody's
version_added: 0.1.0
description:
  - Writes C(/etc/subuid) and C(/etc/subgid) so that each user has a range, the same in both files where that is possible. A valid range
    that a user has is kept. A range that overlaps another line, holds the ID of an account, or lies where systemd hands out IDs is not
    given.
  - Lines of others, comments and order stay byte for byte. Both files are replaced atomically under the locks of the shadow tools
    (C(/etc/.pwd.lock), C(/etc/subuid.lock), C(/etc/subgid.lock)), and as those do, the text before is kept in C(/etc/subuid-) and
    C(/etc/subgid-).
  - Ranges of two users that overlap, and malformed lines of a user that is asked for, are an error that names file and lines. Nothing is
    changed then.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  ranges:
    description: The users, all settled in one run.
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
          - A group that has to exist as well; it is created as a system group when it does not. A user that is created gets it as its
            primary one.
        type: str
      start:
        description: First ID of the range. Where it is taken, the next free range in steps of 65536 is given, unless O(ranges[].exact).
        type: int
        default: 231072
      size:
        description: How many IDs.
        type: int
        default: 65536
      exact:
        description:
          - This range and no other. A different one that the user has is replaced if this module has written it, and is an error otherwise.
        type: bool
        default: false
      create:
        description: Create the user, as a system user without home and login, when it does not exist.
        type: bool
        default: false
      state:
        description:
          - V(absent) takes back what this module has given the user, and removes the user if this module has created it and it has no other
            range. It is an error while a process runs with an ID of the range.
        type: str
        choices: [absent, present]
        default: present
  subject:
    description: Under which name in C(/var/lib/bulkhead) it is remembered what this module has written. Each role has its own.
    type: str
    default: userns
attributes:
  check_mode:
    description: Says what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows both files, and users that come or go.
    support: full
seealso:
  - name: The files
    description: Manual page of /etc/subuid.
    link: https://man7.org/linux/man-pages/man5/subuid.5.html
"""

EXAMPLES = r"""
- name: The user that the engine remaps to with "userns-remap" set to "default"
  bulkhead.docker.subid_range:
    ranges:
      - user: dockremap
        group: dockremap
        create: true

- name: Ranges for two existing users
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
      description: Pairs of start and count, in the order of C(/etc/subuid); the first holds root of a container.
      type: list
      elements: list
      sample: [[231072, 65536]]
    subgid:
      description: The same of C(/etc/subgid).
      type: list
      elements: list
      sample: [[231072, 65536]]
notes:
  description: What is worth knowing, a sentence each, such as that a wished range was taken.
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
    except BlockingIOError:
        module.fail_json(msg="another run of this collection is changing this host; run again when it has finished")
    except (SubidError, ShadowLocked, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=outcome.changed, ranges=outcome.ranges, notes=outcome.notes, diff=outcome.diff)


if __name__ == "__main__":
    main()
