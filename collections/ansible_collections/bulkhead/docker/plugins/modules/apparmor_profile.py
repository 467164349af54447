#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: apparmor_profile
short_description: Install, load and remove AppArmor profiles, and see that the kernel has them
version_added: 0.1.0
description:
  - Compiles every profile of the list before any of them is installed; an error is told in the parser's words, with profile and line.
  - Installs each as C(/etc/apparmor.d/NAME), loads it, and then reads from the kernel that it is there, in the mode asked for, and that
    the hash of the kernel's policy is that of the compiled file. When one profile fails, files, links and the kernel's policy of all of
    them are put back.
  - The file's name is the profile's name, so that a reader finds the one by the other. The mode stands beside the file and not in it, as
    the link C(/etc/apparmor.d/force-complain/NAME), which C(apparmor_parser) and C(aa-enforce) know too. So the text stays as it was
    given, and the mode survives a reboot.
  - A profile is loaded again when its text, its mode, an included file or the kernel's policy is another than it should be, whoever
    changed it.
  - What is ours is remembered in C(/var/lib/bulkhead/apparmor.json). A file or a loaded profile of the same name that is not ours is
    refused.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  profiles:
    description: The profiles to install or to remove. Others are left alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the profile, as in C(docker run --security-opt apparmor=NAME), and of its file.
          - A letter, then letters, digits, C(.), C(_) or C(-), 64 at most; not a name of the engine's or the distribution's.
        type: str
        required: true
      content:
        description: The text of the profile; it must declare the profile O(profiles[].name) and, its child profiles aside, no other.
        type: str
      mode:
        description: V(enforce) forbids and logs what the profile does not allow, V(complain) only logs it.
        type: str
        choices: [enforce, complain]
        default: enforce
      state:
        description:
          - V(absent) unloads the profile and removes its file.
          - This is refused while a process runs under it, because that would go on unconfined.
        type: str
        choices: [present, absent]
        default: present
      force:
        description:
          - With O(profiles[].state=present), take the place of a profile that is not ours. Its file is kept in
            C(/var/lib/bulkhead/apparmor-replaced), and comes back when ours is removed.
          - With O(profiles[].state=absent), also remove a profile that is not ours, or that processes run under.
        type: bool
        default: false
attributes:
  check_mode:
    description: Compiles and compares, changes nothing.
    support: full
  diff_mode:
    description: Shows the text of each profile that changes, and how it is loaded.
    support: full
requirements:
  - AppArmor in the kernel, and C(apparmor_parser)
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Confine a web service, and watch what a new one does
  bulkhead.docker.apparmor_profile:
    profiles:
      - name: shop-web
        content: "{{ lookup('ansible.builtin.file', 'shop-web.apparmor') }}"
      - name: shop-worker
        content: "{{ lookup('ansible.builtin.file', 'shop-worker.apparmor') }}"
        mode: complain

- name: Give up a profile
  bulkhead.docker.apparmor_profile:
    profiles:
      - name: shop-old
        state: absent
"""

RETURN = r"""
profiles:
  description: What was done, or in check mode would be, for each profile of the list.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the profile.
      type: str
      sample: shop-web
    changed:
      description: Whether anything was to be done.
      type: bool
    reasons:
      description: Why, each as the end of a sentence that begins with the name.
      type: list
      elements: str
      sample: ["is in complain mode"]
    mode:
      description: The mode that the kernel has the profile in, null when it is not loaded.
      type: str
      sample: enforce
    hash:
      description: Algorithm and hash of the policy that the kernel was given; null when it is not loaded or the kernel keeps none.
      type: str
      sample: "sha256:0f343b0931126a20…"
"""

from typing import Any

from ..module_utils.apparmor import install, policy
from ..module_utils.apparmor.parameters import describe_name_problem
from ..module_utils.apparmor.parser import Parser, PolicyError
from ..module_utils.host import state
from ..module_utils.host.root import Host
from ..module_utils.module import Module

ARGUMENTS: dict[str, Any] = {
    "profiles": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "content": {"type": "str"},
            "mode": {"type": "str", "choices": ["enforce", "complain"], "default": "enforce"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "force": {"type": "bool", "default": False},
        },
        "required_if": [("state", "present", ("content",))],
    },
}


def main() -> None:
    module = Module(argument_spec=ARGUMENTS, supports_check_mode=True)
    host = Host()
    try:
        if module.check_mode:
            steps = examine(host, module.params["profiles"])
        else:
            with state.lock_host(host):
                steps = examine(host, module.params["profiles"])
                install.apply_apparmor_steps(host, Parser.find(host), [step for step in steps if step.reasons])
        kernel = {step.entry.name: policy.read_profile(host, step.entry.name) for step in steps}
    except BlockingIOError:
        module.fail_json(msg="another run is changing this host; wait for it to end, and start again")
    except (install.AppArmorConflict, PolicyError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=any(step.reasons for step in steps),
        diff=[difference(step) for step in steps if step.reasons],
        profiles=[summary(step, kernel[step.entry.name]) for step in steps],
    )


def examine(host: Host, profiles: list[dict[str, Any]]) -> list[install.AppArmorStep]:
    """Every entry against the host, before any is acted upon. Raises AppArmorConflict, PolicyError, OSError, ValueError."""
    if not policy.is_enabled(host) and any(profile["state"] == "present" for profile in profiles):
        raise install.AppArmorConflict("AppArmor is not active in this host's kernel; boot with it (kernel parameter lsm=…,apparmor)")
    ours, parser = install.memory(host), Parser.find(host)
    steps, seen = [], set()
    for index, profile in enumerate(profiles):
        name = profile["name"]
        problem = describe_name_problem(name) or (f"{name!r} stands in the list twice; write it once" if name in seen else None)
        if problem:
            raise install.AppArmorConflict(f"profiles[{index}].name: {problem}")
        seen.add(name)
        entry = install.AppArmorRequest(name, profile["content"] or "", profile["mode"], profile["state"] == "present", profile["force"])
        steps.append(install.plan_apparmor_step(host, parser, entry, ours))
    return steps


def summary(step: install.AppArmorStep, kernel: dict[str, Any] | None) -> dict[str, Any]:
    loaded = kernel or {"mode": None, "hash": None}
    return {
        "name": step.entry.name,
        "changed": bool(step.reasons),
        "reasons": step.reasons,
        "mode": loaded["mode"],
        "hash": loaded["hash"],
    }


def difference(step: install.AppArmorStep) -> dict[str, str]:
    entry, mode = step.entry, step.seen["mode"]
    before = f"# {f'loaded in {mode} mode' if mode else 'not loaded'}\n{step.before or ''}" if mode or step.before is not None else ""
    after = f"# loaded in {entry.mode} mode\n{entry.content}" if entry.present else ""
    return {"before_header": entry.path, "after_header": entry.path, "before": before, "after": after}


if __name__ == "__main__":
    main()
