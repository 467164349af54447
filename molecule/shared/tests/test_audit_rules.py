# SPDX-License-Identifier: GPL-3.0-or-later
"""Start auditd: harden.yml loads audit rules, verification names one that is deleted by hand, and rollback.yml removes only Bulkhead's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from conftest import run_playbook
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
FOREIGN = "-w /etc/docker -p wa -k mine"
DOCKERD = "-w /usr/sbin/dockerd -p wa -k bulkhead-docker"
LIST = (
    "auditctl -l; cd /etc && find audit tmpfiles.d -type f -exec sha256sum {} + | sort -k 2; stat -c '%n %a %U:%G' audit/rules.d tmpfiles.d"
)
# What starting auditd changes in the kernel.
START = f"systemctl start auditd && auditctl {FOREIGN}"
STOP = f"auditctl -W {FOREIGN[3:]}; systemctl stop auditd; auditctl -b 64; auditctl --backlog_wait_time 15000; auditctl -e 0"
RECORDS = "ausearch --input-logs -k bulkhead-docker --raw | grep -c 'name=\"/usr/sbin/dockerd\"'"
VERIFY = """
- hosts: docker_hosts
  gather_facts: false
  become: true
  tasks:
    - bulkhead.docker.verify_layers: {probe: false, layers: [audit_rules], expect: {audit_rules: {requirement: required}}}
      register: verification
    - ansible.builtin.copy: {content: "{{ verification.layers | to_json }}", dest: ANSWER, mode: "0644"}
      become: false
      delegate_to: localhost
"""


@pytest.fixture(scope="module")
def states(host: Host, inventory: str, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the rules and files before, hardened and restored, the verdicts, the outputs, and how many records a change of dockerd makes."""
    folder = tmp_path_factory.mktemp("audit_rules")
    arguments = ("--tags", "audit_rules", "-e", f"bulkhead_report_dir={folder}")

    def verify() -> dict[str, Any]:
        (folder / "book.yml").write_text(VERIFY.replace("ANSWER", str(folder / "answer.json")))
        done = run_playbook(inventory, folder / "book.yml")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        return dict(json.loads((folder / "answer.json").read_text())[0])

    def run(name: str, *more: str) -> str:
        done = playbook(name, *arguments, *more)
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    not_verified = ("-e", "bulkhead_verify=false", "-e", "bulkhead_resume=false")
    found: dict[str, Any] = {"without": verify()}
    host.check_output(START)
    try:
        found |= {"before": host.check_output(LIST), "first": run("harden", *not_verified), "hardened": host.check_output(LIST)}
        host.check_output("chmod 0755 /usr/sbin/dockerd; sleep 1")
        found |= {"records": int(host.check_output(RECORDS)), "verdict": verify()}
        host.check_output(f"auditctl -W {DOCKERD[3:]}")
        found |= {"sabotaged": verify(), "second": run("harden", *not_verified), "repaired": host.check_output(LIST)}
        found |= {"third": run("harden", "--check", *not_verified), "rollback": run("rollback"), "restored": host.check_output(LIST)}
        return found
    finally:
        host.run(STOP)


def test_without_auditd_the_layer_is_absent(states: dict[str, Any]) -> None:
    assert states["without"]["status"] == "absent"
    assert [finding["id"] for finding in states["without"]["findings"]] == ["audit_rules.not_running"]


def test_rules_are_in_the_kernel_and_in_the_file(host: Host, states: dict[str, Any]) -> None:
    rules = states["hardened"].splitlines()
    assert DOCKERD in rules and FOREIGN in rules
    assert "-w /etc/docker -p wa -k bulkhead-docker" not in rules
    assert "audit/rules.d/99-bulkhead-docker.rules" in states["hardened"]
    assert states["records"] > 0
    assert (states["verdict"]["status"], states["verdict"]["findings"]) == ("enforced", [])


def test_a_rule_deleted_by_hand_is_named_and_loaded_again(states: dict[str, Any]) -> None:
    (finding,) = states["sabotaged"]["findings"]
    assert (finding["id"], states["sabotaged"]["status"]) == ("audit_rules.dockerd", "degraded")
    assert "watch /usr/sbin/dockerd" in states["second"]
    assert sorted(states["repaired"].splitlines()) == sorted(states["hardened"].splitlines())
    assert "changed=0" in states["third"]


def test_rollback_leaves_the_rules_of_others(states: dict[str, Any]) -> None:
    assert FOREIGN in states["restored"]
    assert states["restored"] == states["before"]
