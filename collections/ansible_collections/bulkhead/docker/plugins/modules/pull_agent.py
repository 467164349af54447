#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pull_agent
short_description: Install or remove an agent that pulls a pinned or signed revision and runs it
version_added: 0.1.0
description:
  - Writes a systemd timer, a service and its program. The program fetches a branch or a pinned commit of a git repository and checks it. It runs a playbook
    of that commit with C(ansible-pull) on the host itself, and writes the result to a metrics file.
  - A commit that is neither pinned nor signed by a trusted signer is not checked out, and nothing of it runs.
  - Role P(bulkhead.docker.pull_agent#role) has the same options and explains them in detail.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  state:
    description: Whether the agent is installed. V(absent) also removes its metrics and its checkout.
    type: str
    choices: [present, absent]
    default: present
  url:
    description: Address from which the host fetches the repository.
    type: str
    default: ""
  branch:
    description: Branch to follow when no O(revision) is pinned.
    type: str
    default: main
  revision:
    description: Full hash of the only commit that runs.
    type: str
    default: ""
  allowed_signers:
    description: Signers whose SSH signatures are trusted, as lines of an allowed-signers file (man 1 ssh-keygen).
    type: str
    default: ""
  gpg_home:
    description: Path on the host of a GNUPGHOME with the trusted public keys, and no others.
    type: str
    default: ""
  rewind:
    description: Run a signed commit that does not follow the last one.
    type: bool
    default: false
  mode:
    description: V(converge) changes the host, V(check) only compares and verifies.
    type: str
    choices: [converge, check]
    default: check
  playbook:
    description: Path of the playbook in the repository; empty for C(playbooks/watch.yml) or C(playbooks/harden.yml), by O(mode).
    type: str
    default: ""
  inventory:
    description: Path of the inventory in the repository.
    type: str
    default: inventory/hosts.yml
  host:
    description: Name of this host in that inventory.
    type: str
    default: ""
  interval:
    description: Interval between runs, as a time span of systemd.
    type: str
    default: 5min
  random_delay:
    description: Maximum random delay of each start, so that the hosts of a fleet do not fetch at once.
    type: str
    default: 1min
  since:
    description: Age of the oldest kernel denials that are read.
    type: str
    default: 24h
  metrics_dir:
    description: Folder of node_exporter's textfile collector on the host.
    type: str
    default: /var/lib/prometheus/node-exporter
  ssh_key:
    description: Path on the host of the private key for fetching.
    type: str
    default: ""
  install:
    description: Whether the caller installs the missing packages that RV(missing) lists. Otherwise they are an error.
    type: bool
    default: false
attributes:
  check_mode:
    description: Returns what would be done.
    support: full
  diff_mode:
    description: Shows the files.
    support: full
"""

EXAMPLES = r"""
- name: Watch this host with the signed commits of branch main
  bulkhead.docker.pull_agent:
    url: ssh://git@git.example.com/fleet.git
    allowed_signers: ops@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample
    host: web1
"""

RETURN = r"""
steps:
  description: Messages on what was done; in check mode on what would be done.
  returned: success
  type: list
  elements: str
missing:
  description: Packages to install first. If there are any, nothing else was done.
  returned: success
  type: list
  elements: str
  sample: [ansible-core]
"""

from ..module_utils.engine.systemctl import ServiceError
from ..module_utils.host.root import Host
from ..module_utils.module import Module
from ..module_utils.pull import rendering, setup


def main() -> None:
    texts = {
        "branch": "main",
        "inventory": "inventory/hosts.yml",
        "interval": "5min",
        "random_delay": "1min",
    }
    texts |= {"since": "24h", "metrics_dir": "/var/lib/prometheus/node-exporter"}
    texts |= dict.fromkeys(("url", "revision", "playbook", "allowed_signers", "gpg_home", "host"), "")
    module = Module(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "mode": {"type": "str", "choices": [rendering.CONVERGE, rendering.CHECK], "default": rendering.CHECK},
            "rewind": {"type": "bool", "default": False},
            "ssh_key": {"type": "str", "default": "", "no_log": False},  # its path
            "install": {"type": "bool", "default": False},
            **{name: {"type": "str", "default": default} for name, default in texts.items()},
        },
        supports_check_mode=True,
    )
    settings, host = module.params, Host()
    settings["playbook"] = settings["playbook"] or rendering.PLAYBOOKS[settings["mode"]]
    try:
        if settings["state"] == "absent":
            outcome = setup.remove_agent(host, module.check_mode)
            module.exit_json(changed=bool(outcome.steps), steps=outcome.steps, missing=[])
        problems = rendering.find_setting_problems(settings)
        if problems:
            module.fail_json(msg="\n".join(problems))
        missing = setup.list_missing_packages()
        if missing and not settings["install"]:
            are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
            module.fail_json(
                msg=f"{' and '.join(missing)} {are} not installed on this host; set pull_agent_install: true, or install {them} yourself"
            )
        if missing and not module.check_mode:
            module.exit_json(changed=False, steps=[], missing=missing)
        problem = "" if missing else setup.explain_old_ansible()
        if problem:
            module.fail_json(msg=problem)
        outcome = setup.install_agent(host, settings, module.check_mode)
    except (OSError, ServiceError, ValueError) as error:
        module.fail_json(msg=str(error))
    diff = [{"before": before, "after": after, "before_header": path, "after_header": path} for path, before, after in outcome.diff]
    steps = [f"package {package} installed" for package in missing] + outcome.steps
    module.exit_json(changed=bool(steps), steps=steps, missing=missing, diff=diff)


if __name__ == "__main__":
    main()
