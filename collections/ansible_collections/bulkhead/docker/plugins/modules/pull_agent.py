#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pull_agent
short_description: Put an agent on a host that pulls a pinned or signed revision and runs it, or take it away
version_added: 0.1.0
description:
  - Writes a systemd timer and a service, and the program that the service runs. It fetches a branch or a pinned commit of a git repository, checks it, runs a
    playbook of it by C(ansible-pull) on the host itself, and says in a metrics file how that went.
  - A commit that is neither pinned nor signed by somebody whom the host trusts is not checked out, and nothing of it runs.
  - Role P(bulkhead.docker.pull_agent#role) has the same options, explained at more length.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  state:
    description: Whether the agent is there. V(absent) removes what is ours, its metrics and its checkout.
    type: str
    choices: [present, absent]
    default: present
  url:
    description: Where the host fetches the repository.
    type: str
    default: ""
  branch:
    description: Which branch is followed where no O(revision) is pinned.
    type: str
    default: main
  revision:
    description: Full hash of the only commit that is run.
    type: str
    default: ""
  allowed_signers:
    description: Whose SSH signatures count, as lines of an allowed-signers file (man 1 ssh-keygen).
    type: str
    default: ""
  gpg_home:
    description: Path on the host of a GNUPGHOME that holds the public keys whose signatures count, and no others.
    type: str
    default: ""
  rewind:
    description: Run a signed commit that does not follow the one that was run last.
    type: bool
    default: false
  mode:
    description: V(converge) changes the host, V(check) compares and proves only.
    type: str
    choices: [converge, check]
    default: check
  playbook:
    description: Path of the playbook in the repository; empty for C(playbooks/watch.yml) or C(playbooks/harden.yml), as O(mode) is.
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
    description: How often, as a time span of systemd.
    type: str
    default: 5min
  random_delay:
    description: By how much each start is put off at most, so that a fleet does not ask at once.
    type: str
    default: 1min
  since:
    description: How far back blockers are looked at.
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
    description: Whether missing packages will be installed by somebody else, who reads RV(missing); otherwise they are an error.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Shows the files.
    support: full
"""

EXAMPLES = r"""
- name: Watch this host, by what the branch main says and ops have signed
  bulkhead.docker.pull_agent:
    url: ssh://git@git.example.com/fleet.git
    allowed_signers: ops@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample
    host: web1
"""

RETURN = r"""
steps:
  description: What was done, a sentence each; in check mode what would be done.
  returned: success
  type: list
  elements: str
missing:
  description: Packages that have to be installed first. While there are any, nothing else was done.
  returned: success
  type: list
  elements: str
  sample: [ansible-core]
"""

from ..module_utils.engine.service import ServiceError
from ..module_utils.host.root import Host
from ..module_utils.module import Module
from ..module_utils.pull import rendering, setup


def main() -> None:
    words = {
        "branch": "main",
        "inventory": "inventory/hosts.yml",
        "interval": "5min",
        "random_delay": "1min",
    }
    words |= {"since": "24h", "metrics_dir": "/var/lib/prometheus/node-exporter"}
    words |= dict.fromkeys(("url", "revision", "playbook", "allowed_signers", "gpg_home", "host"), "")
    module = Module(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "mode": {"type": "str", "choices": [rendering.CONVERGE, rendering.CHECK], "default": rendering.CHECK},
            "rewind": {"type": "bool", "default": False},
            "ssh_key": {"type": "str", "default": "", "no_log": False},  # its path
            "install": {"type": "bool", "default": False},
            **{name: {"type": "str", "default": default} for name, default in words.items()},
        },
        supports_check_mode=True,
    )
    wish, host = module.params, Host()
    wish["playbook"] = wish["playbook"] or rendering.PLAYBOOKS[wish["mode"]]
    try:
        if wish["state"] == "absent":
            outcome = setup.remove_agent(host, module.check_mode)
            module.exit_json(changed=bool(outcome.steps), steps=outcome.steps, missing=[])
        wrong = rendering.find_setting_problems(wish)
        if wrong:
            module.fail_json(msg="\n".join(wrong))
        lacking = setup.list_missing_packages()
        if lacking and not wish["install"]:
            packages = " and ".join(lacking)
            module.fail_json(
                msg=f"{packages} {'is' if len(lacking) == 1 else 'are'} not on this host; set pull_agent_install: true, or install it yourself"
            )
        if lacking and not module.check_mode:
            module.exit_json(changed=False, steps=[], missing=lacking)
        old = "" if lacking else setup.explain_old_ansible()
        if old:
            module.fail_json(msg=old)
        outcome = setup.install_agent(host, wish, module.check_mode)
    except (OSError, ServiceError, ValueError) as error:
        module.fail_json(msg=str(error))
    diff = [{"before": before, "after": after, "before_header": path, "after_header": path} for path, before, after in outcome.diff]
    steps = [f"package {package} installed" for package in lacking] + outcome.steps
    module.exit_json(changed=bool(steps), steps=steps, missing=lacking, diff=diff)


if __name__ == "__main__":
    main()
