#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: apparmor_profile
short_description: Install, load and remove AppArmor profiles, and check that the kernel has them
version_added: 0.1.0
description:
  - Compiles every profile of the list before it installs any of them. An error has the parser's message, the profile and the line.
  - Installs each profile as C(/etc/apparmor.d/NAME) and loads it. Then it reads from the kernel that the profile is loaded in the desired
    mode, and that the hash of the kernel's policy is that of the compiled file. If one profile fails, the files, links and kernel policies
    of all of them are restored.
  - The file has the name of the profile. The mode is not in the file, but in the link C(/etc/apparmor.d/force-complain/NAME), which
    C(apparmor_parser) and C(aa-enforce) use too. So the text stays as given, and the mode survives a reboot.
  - A profile is loaded again if its text, its mode, an included file or the kernel's policy differs from the desired state.
  - Managed profiles are remembered in C(/var/lib/bulkhead/apparmor.json). The module fails if an unmanaged file or loaded profile has the
    same name.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  profiles:
    description: The profiles to install or to remove. Others are not changed.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the profile, as in C(docker run --security-opt apparmor=NAME), and of its file.
          - A letter, then letters, digits, C(.), C(_) or C(-), 64 at most. Names that the engine or the distribution uses are invalid.
        type: str
        required: true
      content:
        description: The text of the profile. It must declare the profile O(profiles[].name) and no other, except child profiles.
        type: str
      mode:
        description: V(enforce) forbids and logs what the profile does not allow, V(complain) only logs it.
        type: str
        choices: [enforce, complain]
        default: enforce
      state:
        description:
          - V(absent) unloads the profile and removes its file.
          - The module fails while a process runs under the profile, because the process would become unconfined.
        type: str
        choices: [present, absent]
        default: present
      force:
        description:
          - With O(profiles[].state=present), replace an unmanaged profile. A copy of its file is kept in
            C(/var/lib/bulkhead/apparmor-replaced) and restored when the managed profile is removed.
          - With O(profiles[].state=absent), also remove an unmanaged profile, or one that processes run under.
        type: bool
        default: false
attributes:
  check_mode:
    description: Compiles and compares the profiles, and changes nothing.
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
- name: Install a profile of a web service, and one that only logs
  bulkhead.docker.apparmor_profile:
    profiles:
      - name: shop-web
        content: "{{ lookup('ansible.builtin.file', 'shop-web.apparmor') }}"
      - name: shop-worker
        content: "{{ lookup('ansible.builtin.file', 'shop-worker.apparmor') }}"
        mode: complain

- name: Remove a profile
  bulkhead.docker.apparmor_profile:
    profiles:
      - name: shop-old
        state: absent
"""

RETURN = r"""
profiles:
  description: What was done for each profile of the list. In check mode, what would be done.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the profile.
      type: str
      sample: shop-web
    changed:
      description: Whether the profile had to change.
      type: bool
    reasons:
      description: Why it had to change. Each reason completes a sentence that begins with the name.
      type: list
      elements: str
      sample: ["is in complain mode"]
    mode:
      description: The mode of the profile in the kernel; null if it is not loaded.
      type: str
      sample: enforce
    hash:
      description: Algorithm and hash of the loaded policy; null if the profile is not loaded or the kernel keeps no hash.
      type: str
      sample: "sha256:0f343b0931126a20…"
"""

from typing import Any

from ..module_utils.apparmor import install, policy
from ..module_utils.apparmor.names import describe_name_problem
from ..module_utils.apparmor.parser import Parser, PolicyError
from ..module_utils.host import state
from ..module_utils.host.root import APPARMOR, Host, load_managed_profiles
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
            steps = plan_steps(host, module.params["profiles"])
        else:
            with state.lock_host(host):
                steps = plan_steps(host, module.params["profiles"])
                install.apply_apparmor_steps(host, Parser.find_installed(host), [step for step in steps if step.reasons])
        kernel = {step.request.name: policy.read_profile(host, step.request.name) for step in steps}
    except (install.AppArmorConflict, PolicyError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=any(step.reasons for step in steps),
        diff=[render_diff(step) for step in steps if step.reasons],
        profiles=[summarize_step(step, kernel[step.request.name]) for step in steps],
    )


def plan_steps(host: Host, profiles: list[dict[str, Any]]) -> list[install.AppArmorStep]:
    """Return a step per entry, before any is applied. Raises AppArmorConflict, PolicyError, OSError, ValueError."""
    if not policy.is_enabled(host) and any(profile["state"] == "present" for profile in profiles):
        raise install.AppArmorConflict("AppArmor is not active in this host's kernel; boot it with the kernel parameter lsm=…,apparmor")
    managed, parser = load_managed_profiles(host, APPARMOR), Parser.find_installed(host)
    steps, names = [], set()
    for index, profile in enumerate(profiles):
        name = profile["name"]
        problem = describe_name_problem(name) or (f"{name!r} is in the list twice; write it once" if name in names else None)
        if problem:
            raise install.AppArmorConflict(f"profiles[{index}].name: {problem}")
        names.add(name)
        request = install.AppArmorRequest(name, profile["content"] or "", profile["mode"], profile["state"] == "present", profile["force"])
        steps.append(install.plan_apparmor_step(host, parser, request, managed))
    return steps


def summarize_step(step: install.AppArmorStep, kernel: dict[str, Any] | None) -> dict[str, Any]:
    loaded = kernel or {"mode": None, "hash": None}
    return {
        "name": step.request.name,
        "changed": bool(step.reasons),
        "reasons": step.reasons,
        "mode": loaded["mode"],
        "hash": loaded["hash"],
    }


def render_diff(step: install.AppArmorStep) -> dict[str, str]:
    request, mode = step.request, step.observed["mode"]
    before = f"# {f'loaded in {mode} mode' if mode else 'not loaded'}\n{step.before or ''}" if mode or step.before is not None else ""
    after = f"# loaded in {request.mode} mode\n{request.content}" if request.present else ""
    return {"before_header": request.path, "after_header": request.path, "before": before, "after": after}


if __name__ == "__main__":
    main()
