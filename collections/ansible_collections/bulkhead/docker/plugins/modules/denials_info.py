#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: denials_info
short_description: Who knocks on which wall, denials of AppArmor and seccomp since a given time, by container
version_added: 0.1.0
description:
  - Reads the kernel's audit messages out of the journal (the kernel's log, and the audit socket where journald listens to it), out of C(/dev/kmsg), and out
    of auditd's log with its rotated files, each message once. Equal denials become one entry with a count.
  - The kernel names a process, and no container. Each entry says how the container is known, under RV(denials[].by); where several may have been meant it is
    C(unknown), with the candidates. The number of a process that ended and was given to another one is no evidence.
  - Silence is no peace. The kernel numbers its messages and writes at most so many in a row to its log; logs are rotated. What may be missing stands in
    RV(gaps), and RV(complete) is true only when there is none.
  - An errno of a seccomp filter without the flag LOG and a plain C(deny) rule of AppArmor leave no message (man 2 seccomp, man 5 apparmor.d), and are not
    seen here.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  since:
    description: From when on, as an age (V(15m), V(24h), V(7d)), an ISO 8601 time, or seconds since the epoch.
    type: str
    default: 24h
  user:
    description: The user whose rootless engine is asked for the names of containers; the rootful engine when left out or empty.
    type: str
  max_entries:
    description: How many entries of each log are looked through. More are a gap.
    type: int
    default: 200000
  max_denials:
    description: How many different denials are listed. Of the others, one entry a layer and container counts them.
    type: int
    default: 200
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 60
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
seealso:
  - module: bulkhead.docker.report_denials
  - module: bulkhead.docker.attack_matrix
"""

EXAMPLES = r"""
- name: Who was refused what in the last hour
  bulkhead.docker.denials_info:
    since: 1h
  register: denials

- name: Write it down for the report of the fleet
  bulkhead.docker.report_denials:
    denials: "{{ denials }}"
"""

RETURN = r"""
denials:
  description: Equal denials, an entry each, those that came most often first.
  returned: success
  type: list
  elements: dict
  contains:
    layer:
      description: C(apparmor) or C(seccomp).
      type: str
      sample: apparmor
    refused:
      description: False for what would be refused, and was let through by a profile in complain mode or by the seccomp action C(log).
      type: bool
    operation:
      description: AppArmor's word for it, or the name of the system call.
      type: str
      sample: mount
    detail:
      description: What it was asked for, in the kernel's words, shortened to 200 characters.
      type: str
      sample: name=/proc/sysrq-trigger requested_mask=w denied_mask=w
    profile:
      description: The AppArmor profile of the process; null where the message has none.
      type: str
      sample: bulkhead-web
    comm:
      description: Name of the process. The process may have chosen it.
      type: str
    exe:
      description: Its program, as the container sees it; seccomp's messages alone have it.
      type: str
    scope:
      description: C(container), C(host) for a process outside of all containers, or C(unknown).
      type: str
      sample: container
    container:
      description: Whose it is, with C(id), C(name) and C(image), null each where nobody knows it any more; null where the container is not known.
      type: dict
      sample: {"id": "c0ffee…", "name": "shop", "image": "nginx:1"}
    by:
      description:
        - How that is known. C(pid), the process lives, and its cgroup says it. C(profile), no other container that ran then had this profile, or, of a
          process on the host, none had. C(alone), it was the only container that ran then. Empty where it is not known.
      type: str
      sample: pid
    candidates:
      description: Names of at most 10 containers that may have been meant, where one can't be told.
      type: list
      elements: str
    count:
      description: How often.
      type: int
    first:
      description: When first, in seconds since the epoch, by the host's clock.
      type: float
    last:
      description: When last.
      type: float
    pids:
      description: The first 5 process IDs, in the host's PID namespace.
      type: list
      elements: int
total:
  description: How many denials there were.
  returned: success
  type: int
complete:
  description: Whether nothing is known to be missing.
  returned: success
  type: bool
gaps:
  description: What may be missing, and why.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description:
        - C(serials), numbers that are in no log; C(rate_limited), the kernel's log left some out; C(missed), a log was overwritten before it was read;
          C(begins), a log begins later than O(since); C(lost), the kernel says that it lost some; C(silent), it is told not to log; C(unreadable), a source
          could not be read; C(cut), there was more than O(max_entries).
      type: str
      sample: rate_limited
    source:
      description: Where that was seen.
      type: str
      sample: journal
    from:
      description: From when on, in seconds since the epoch; null where that is not known.
      type: float
    to:
      description: Until when; null where that is not known.
      type: float
    lost:
      description: How many messages; null where that is not known.
      type: int
    text:
      description: The same in words.
      type: str
sources:
  description: Where messages were found, of C(journal), C(/dev/kmsg) and C(auditd).
  returned: success
  type: list
  elements: str
since:
  description: From when on, in seconds since the epoch.
  returned: success
  type: float
at:
  description: When it was read, by the host's clock.
  returned: success
  type: float
engine_error:
  description: Why the engine could not be asked for its containers; empty when it could, or when there was nothing to ask.
  returned: success
  type: str
audit:
  description: The kernel's audit, with C(enabled), C(auditd_pid), C(lost) since it booted, and C(boot), when that was.
  returned: success
  type: dict
"""

import time
from typing import Any

from ..module_utils.audit.containers import owners
from ..module_utils.audit.denials import grouped, of_message
from ..module_utils.audit.gather import gather, moment
from ..module_utils.engine.api import Engine
from ..module_utils.engine.instance import find_instance
from ..module_utils.host.root import Host
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "since": {"type": "str", "default": "24h"},
            "user": {"type": "str"},
            "socket": {"type": "path"},
            "max_entries": {"type": "int", "default": 200000},
            "max_denials": {"type": "int", "default": 200},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    for name in ("max_entries", "max_denials", "timeout"):
        if params[name] < 1:
            module.fail_json(msg=f"{name}: {params[name]} is too few; write 1 or more")
    now = time.time()
    try:
        since = moment(params["since"], now)
    except ValueError as error:
        module.fail_json(msg=str(error))
    host = Host()
    instance = find_instance(host, params["user"])
    if instance.uid is None:
        module.fail_json(msg=f"user: there is no {instance.user} on this host; name the user who runs its engine, or leave it out")
    heard = gather(host, since, params["max_entries"])
    denied = [message for message in heard.combined.messages if of_message(message)]
    trouble, total = "", 0
    denials: list[dict[str, Any]] = []
    if denied:
        whose, trouble = owners(host, Engine.for_instance(instance, params["timeout"], params["socket"]), instance, since, heard.journal)
        denials, total = grouped(denied, whose.of, params["max_denials"])
    module.exit_json(
        changed=False,
        denials=denials,
        total=total,
        complete=not heard.combined.gaps,
        gaps=heard.combined.gaps,
        sources=heard.combined.sources,
        since=since,
        at=now,
        engine_error=trouble,
        audit=heard.audit,
    )


if __name__ == "__main__":
    main()
