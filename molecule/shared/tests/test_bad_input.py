# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input gets one clear message before anything on the host changes.

All cases of the inventory are planned in one run of Ansible, from one observation of the host. Cases of the host's own files are
created on the machine, planned, and removed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml
from conftest import run_playbook
from testinfra.host import Host


@dataclass
class BadInventory:
    """Variables with wrong values, and the words that the message must contain."""

    name: str
    variables: dict[str, Any]
    words: list[str]


@dataclass
class OnHost:
    """A file on the host with wrong content: how it is created and repaired, and the words that the message must contain."""

    name: str
    do: str
    undo: str
    words: list[str]
    variables: dict[str, Any] = field(default_factory=dict)


def seccomp(**entry: Any) -> dict[str, Any]:
    return {"seccomp_profiles_list": [{"name": "mine", **entry}], "seccomp_profiles_daemon_default": ""}


def apparmor(**entry: Any) -> dict[str, Any]:
    return {"apparmor_profiles_list": [{"name": "mine", **entry}]}


INVENTORY = [
    BadInventory(
        "typo", {"docker_daemon_default_pid_limit": 100}, ["docker_daemon_default_pid_limit", "write docker_daemon_default_pids_limit"]
    ),
    BadInventory("limit-text", {"docker_daemon_default_pids_limit": "many"}, ["docker_daemon_default_pids_limit: 'many'", "an integer"]),
    BadInventory(
        "limit-zero", {"docker_daemon_default_pids_limit": 0}, ["docker_daemon_default_pids_limit: 0 is not a limit", "1 or more"]
    ),
    BadInventory("limit-negative", {"docker_daemon_default_pids_limit": -1}, ["docker_daemon_default_pids_limit: -1", "disabled"]),
    BadInventory(
        "limit-twice",
        {"docker_daemon_default_pids_limit": 200, "docker_daemon_options": {"default-pids-limit": 300}},
        ["docker_daemon_options['default-pids-limit'] says 300", "docker_daemon_default_pids_limit says 200", "keep one"],
    ),
    BadInventory(
        "tutorial-limit", {"docker_daemon_options": {"default-pids-limit": "lots"}}, ["docker_daemon_options['default-pids-limit']: 'lots'"]
    ),
    BadInventory("switch", {"userns_remap_layer": "on"}, ["userns_remap_layer", "write required, optional or disabled"]),
    BadInventory("switch-boolean", {"apparmor_profiles_layer": False}, ["apparmor_profiles_layer", "write required, optional or disabled"]),
    BadInventory("icc", {"docker_daemon_icc": "perhaps"}, ["docker_daemon_icc: 'perhaps' is not true or false"]),
    BadInventory("icc-null", {"docker_daemon_icc": None}, ["docker_daemon_icc: has no value", "default, False", "true or false"]),
    BadInventory("options-list", {"docker_daemon_options": ["debug"]}, ["docker_daemon_options", "mapping"]),
    BadInventory(
        "option-type", {"docker_daemon_options": {"debug": "yes"}}, ["docker_daemon_options: debug:", "true or false, without quotes"]
    ),
    BadInventory(
        "option-contradicts",
        {"docker_daemon_options": {"no-new-privileges": False}},
        ["no-new-privileges", "contradicts the layer", "remove it"],
    ),
    BadInventory("option-userns", {"docker_daemon_options": {"userns-remap": "nobody"}}, ["userns-remap", "contradicts the layer userns"]),
    BadInventory(
        "option-clashes-with-flag",
        {"docker_daemon_options": {"hosts": ["tcp://127.0.0.1:2375"]}},
        ["hosts", "docker.service", "does not start"],
    ),
    BadInventory("log-option", {"docker_daemon_options": {"log-opts": {"max-sice": "1m"}}}, ["log-opts", "max-sice"]),
    BadInventory("userns-root", {"userns_remap_user": "root"}, ["userns_remap_user: root", "write default"]),
    BadInventory(
        "userns-number", {"userns_remap_user": "1000"}, ["userns_remap_user: 1000: no user has the ID 1000 on this host", "write default"]
    ),
    BadInventory("userns-name", {"userns_remap_user": "a b"}, ["userns_remap_user: 'a b' is not a user"]),
    BadInventory("range-small", {"userns_remap_range_size": 1000}, ["userns_remap_range_size: 1000 is too few", "write 65536 or more"]),
    BadInventory("range-low", {"userns_remap_range_start": 1000}, ["userns_remap_range_start: 1000 is among the host's own accounts"]),
    BadInventory("range-high", {"userns_remap_range_start": 4294950000}, ["userns_remap_range_start: 4294950000", "write a smaller one"]),
    BadInventory("apparmor-path", apparmor(readable=["var/www"]), ["apparmor_profiles_list[0].readable[0]: 'var/www' is not absolute"]),
    BadInventory(
        "apparmor-breakout", apparmor(readable=["/srv/a, /** rwx"]), ["apparmor_profiles_list[0].readable[0]", "would change the rule"]
    ),
    BadInventory(
        "apparmor-capability",
        apparmor(extends="web", capabilities=["net_admn"]),
        ["'net_admn' is not a capability", "write net_admin"],
    ),
    BadInventory("apparmor-network", apparmor(extends="web", networks=["ipv4"]), ["'ipv4' is not a network family"]),
    BadInventory("apparmor-key", apparmor(extends="web", readble=["/srv"]), ["apparmor_profiles_list[0].readble", "readable"]),
    BadInventory(
        "apparmor-name",
        {"apparmor_profiles_list": [{"name": "docker-default", "extends": "web"}]},
        ["docker-default", "is used by the system"],
    ),
    BadInventory(
        "apparmor-twice",
        {"apparmor_profiles_list": [{"name": "a", "extends": "web"}] * 2},
        ["apparmor_profiles_list[1].name", "also the name of"],
    ),
    BadInventory("apparmor-mode", apparmor(extends="web", mode="enforced"), ["apparmor_profiles_list[0].mode", "enforce or complain"]),
    BadInventory("apparmor-file", apparmor(src="nowhere.profile"), ["apparmor_profiles_list[0].src: nowhere.profile", "control node"]),
    BadInventory("seccomp-block", seccomp(blocks=["netwrk"]), ["seccomp_profiles_list[0].blocks", "netwrk"]),
    BadInventory("seccomp-syscall", seccomp(blocks=["runc", "libc"], allow=["opeen"]), ["seccomp_profiles_list[0].allow", "opeen"]),
    BadInventory("seccomp-floor", seccomp(blocks=["libc"], deny=["execve"]), ["seccomp_profiles_list[0]", "execve"]),
    BadInventory("seccomp-default", {"seccomp_profiles_daemon_default": "nowhere"}, ["seccomp_profiles_daemon_default", "nowhere"]),
    BadInventory(
        "seccomp-name", {"seccomp_profiles_list": [{"name": "../x", "blocks": ["runc"]}]}, ["seccomp_profiles_list[0].name", "../x"]
    ),
    BadInventory(
        "attack-name",
        {"attack_matrix_required": {"host_dsk": 1}},
        ["attack_matrix_required: 'host_dsk' is not an attack", "write host_disk"],
    ),
    BadInventory("attack-number", {"attack_matrix_required": {"bpf": "all"}}, ["attack_matrix_required.bpf: 'all'", "an integer from 0"]),
    BadInventory(
        "container-root",
        {"hardened_container_list": [{"name": "shop", "image": "b", "user": "root"}]},
        ["hardened_container_list[0].user: 'root' is root", "65534:65534"],
    ),
    BadInventory(
        "container-allowed",
        {"hardened_container_list": [{"name": "shop", "image": "b", "allow_exposures": ["engine_sockt"]}]},
        ["hardened_container_list[0].allow_exposures", "'engine_sockt', which is not a kind of exposure", "write engine_socket"],
    ),
    BadInventory("seccomp-file", seccomp(src="nowhere.json"), ["seccomp_profiles_list[0].src", "nowhere.json"]),
]

DAEMON = "/etc/docker/daemon.json"
SAVE = f"[ ! -e {DAEMON} ] || mv {DAEMON} /root/daemon.json; mkdir -p /etc/docker"
RESTORE = f"rm -rf {DAEMON}; [ ! -e /root/daemon.json ] || mv /root/daemon.json {DAEMON}"

ON_HOST = [
    OnHost("comment", f"{SAVE}; printf '{{\\n // no\\n}}' > {DAEMON}", RESTORE, [f"{DAEMON}: line 2", "comment"]),
    OnHost("duplicate-key", f'{SAVE}; echo \'{{"icc": true, "icc": false}}\' > {DAEMON}', RESTORE, [DAEMON, "icc", "twice"]),
    OnHost("byte-order-mark", f"{SAVE}; printf '\\357\\273\\277{{}}' > {DAEMON}", RESTORE, [DAEMON, "byte order mark"]),
    OnHost("truncated", f"{SAVE}; echo '{{\"icc\": ' > {DAEMON}", RESTORE, [f"{DAEMON}: line"]),
    OnHost("list", f"{SAVE}; echo '[]' > {DAEMON}", RESTORE, [DAEMON, "object"]),
    OnHost("directory", f"{SAVE}; mkdir {DAEMON}", RESTORE, [DAEMON, "directory"]),
    OnHost(
        "overlap",
        "printf 'dockremap:400000:65536\\nbob:420000:65536\\n' >> /etc/subuid",
        "sed -i '/^dockremap:400000:/d; /^bob:/d' /etc/subuid",
        ["/etc/subuid:", "dockremap:400000:65536", "bob:420000:65536", "overlap"],
    ),
]


def _plan_tasks(name: str, variables: dict[str, Any], refresh: bool) -> list[dict[str, Any]]:
    # Copied through JSON: a list that two cases share would become a YAML alias.
    plan: dict[str, Any] = {
        "name": f"Plan {name}",
        "bulkhead.docker.plan_layers": {"refresh": refresh},
        "vars": json.loads(json.dumps(variables)),
        "check_mode": True,
        "register": "answer",
        "failed_when": False,
    }
    remember = {
        "name": f"Remember {name}",
        "ansible.builtin.set_fact": {
            "answers": f"{{{{ answers | default({{}}) | combine({{'{name}': answer.blockers | default(['no blockers'])}}) }}}}"
        },
    }
    return [plan, remember]


@pytest.fixture(scope="module")
def answers(host: Host, inventory: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return the blockers of each case."""
    folder = tmp_path_factory.mktemp("bad_input")
    tasks: list[dict[str, Any]] = []
    for case in INVENTORY:
        tasks += _plan_tasks(case.name, case.variables, refresh=False)
    for broken in ON_HOST:
        tasks.append({"name": f"Break: {broken.name}", "ansible.builtin.raw": broken.do})
        tasks += _plan_tasks(broken.name, broken.variables, refresh=True)
        tasks.append({"name": f"Repair: {broken.name}", "ansible.builtin.raw": broken.undo})
    result = folder / "answers.json"
    tasks.append(
        {
            "name": "Write the answers",
            "ansible.builtin.copy": {"content": "{{ answers | to_json }}", "dest": str(result), "mode": "0644"},
            "delegate_to": "localhost",
        }
    )
    play = [{"name": "Plan bad input", "hosts": "docker_hosts", "gather_facts": False, "tasks": tasks}]
    book = folder / "book.yml"
    book.write_text(yaml.safe_dump(play, sort_keys=False))
    before = host.check_output(
        "sha256sum /etc/subuid /etc/subgid /etc/passwd; cat /etc/docker/daemon.json 2>/dev/null; docker ps -aq; ls /var/lib"
    )
    done = run_playbook(inventory, book)
    assert result.exists(), done.stdout[-4000:] + done.stderr[-2000:]
    after = host.check_output(
        "sha256sum /etc/subuid /etc/subgid /etc/passwd; cat /etc/docker/daemon.json 2>/dev/null; docker ps -aq; ls /var/lib"
    )
    assert after == before, "planning changed the host"
    return dict(json.loads(result.read_text()))


@pytest.mark.parametrize("case", INVENTORY, ids=lambda c: c.name)
def test_blockers_of_inventories(answers: dict[str, list[str]], case: BadInventory) -> None:
    assert any(all(word in message for word in case.words) for message in answers[case.name]), answers[case.name]


@pytest.mark.parametrize("case", ON_HOST, ids=lambda c: c.name)
def test_blockers_of_hosts(answers: dict[str, list[str]], case: OnHost) -> None:
    assert any(all(word in message for word in case.words) for message in answers[case.name]), answers[case.name]


# Extra variables of the policy, and the message of each.
POLICY = {
    "bulkhead_containers_forbid": (
        ["engine_sockt"],
        "bulkhead_containers_forbid[0]: 'engine_sockt' is not a kind of exposure; write engine_socket",
    ),
    "bulkhead_waivers": (
        [{"finding": "container.engine_socket", "reason": "it is needed", "until": "soon"}],
        "bulkhead_waivers[0].until: 'soon' is not a date; write the last day as YYYY-MM-DD, such as 2027-03-31",
    ),
}


@pytest.mark.parametrize("name", ["harden", "verify"])
def test_a_wrong_policy_is_rejected_first(playbook: Callable[..., CompletedProcess[str]], tmp_path: Path, name: str) -> None:
    variables = json.dumps({variable: value for variable, (value, unused) in POLICY.items()})
    done = playbook(name, "-e", f"bulkhead_report_dir={tmp_path}/reports", "-e", variables)
    assert done.returncode == 2, done.stdout[-4000:] + done.stderr[-2000:]
    for unused, message in POLICY.values():
        assert message in done.stdout + done.stderr
    assert not (tmp_path / "reports").exists(), "nothing was planned or verified"
