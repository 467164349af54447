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
UNMANAGED = "-w /etc/docker -p wa -k mine"
DOCKERD = "-w /usr/sbin/dockerd -p wa -k bulkhead-docker"
LIST = (
    "auditctl -l; cd /etc && find audit tmpfiles.d -type f -exec sha256sum {} + | sort -k 2; stat -c '%n %a %U:%G' audit/rules.d tmpfiles.d"
)
# What starting auditd changes in the kernel.
START = f"systemctl start auditd && auditctl {UNMANAGED}"
STOP = f"auditctl -W {UNMANAGED[3:]}; systemctl stop auditd; auditctl -b 64; auditctl --backlog_wait_time 15000; auditctl -e 0"
RECORDS = "ausearch --input-logs -k bulkhead-docker --raw | grep -c 'name=\"/usr/sbin/dockerd\"'"
# Verifies the sabotaged host, runs the role, verifies again, and plans again.
BOOK = """
- hosts: docker_hosts
  gather_facts: false
  become: true
  tasks:
    - bulkhead.docker.verify_layers: &verify {probe: false, layers: [audit_rules], expect: {audit_rules: {requirement: required}}}
      register: sabotaged
    - ansible.builtin.include_role: {name: bulkhead.docker.docker_audit_rules}
    - bulkhead.docker.verify_layers: *verify
      register: repaired
    - bulkhead.docker.plan_layers: {layers: [audit_rules], refresh: true}
      register: planned
    - ansible.builtin.copy:
        content: "{{ {'sabotaged': sabotaged.layers[0], 'repaired': repaired.layers[0], 'changes': planned.layers.audit_rules.changes} | to_json }}"
        dest: ANSWER
        mode: "0644"
      become: false
      delegate_to: localhost
"""


@pytest.fixture(scope="module")
def states(host: Host, inventory: str, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return rules and files before, hardened, repaired and restored, the verdicts, and how many records a change of dockerd makes."""
    folder = tmp_path_factory.mktemp("audit_rules")
    arguments = ("--tags", "audit_rules", "-e", f"bulkhead_report_dir={folder}")
    (folder / "book.yml").write_text(BOOK.replace("ANSWER", str(folder / "answer.json")))
    host.check_output(START)
    try:
        found: dict[str, Any] = {"before": host.check_output(LIST)}
        done = playbook("harden", *arguments, "-e", "bulkhead_verify=false", "-e", "bulkhead_resume=false")
        assert done.returncode == 0, done.stdout[-4000:]
        found["hardened"] = host.check_output(LIST)
        found["records"] = int(host.check_output(f"chmod 0755 /usr/sbin/dockerd; sleep 2; {RECORDS}; auditctl -W {DOCKERD[3:]}"))
        done = run_playbook(inventory, folder / "book.yml")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        found |= {**json.loads((folder / "answer.json").read_text()), "loaded": host.check_output(LIST)}
        done = playbook("rollback", *arguments)
        assert done.returncode == 0, done.stdout[-4000:]
        return {**found, "restored": host.check_output(LIST)}
    finally:
        host.run(STOP)


def test_rules_are_in_the_kernel_and_in_the_file(states: dict[str, Any]) -> None:
    lines = states["hardened"].splitlines()
    assert DOCKERD in lines and UNMANAGED in lines
    assert "-w /etc/docker -p wa -k bulkhead-docker" not in lines
    assert "audit/rules.d/99-bulkhead-docker.rules" in states["hardened"]
    assert states["records"] > 0


def test_a_rule_deleted_by_hand_is_named(states: dict[str, Any]) -> None:
    (finding,) = states["sabotaged"]["findings"]
    assert (finding["id"], states["sabotaged"]["status"]) == ("audit_rules.dockerd", "degraded")
    assert "/usr/sbin/dockerd" in finding["text"]


def test_it_is_loaded_again_and_then_nothing_changes(states: dict[str, Any]) -> None:
    assert sorted(states["loaded"].splitlines()) == sorted(states["hardened"].splitlines())
    assert (states["repaired"]["status"], states["repaired"]["findings"], states["changes"]) == ("enforced", [], [])


def test_rollback_leaves_the_rules_of_others(states: dict[str, Any]) -> None:
    assert UNMANAGED in states["restored"]
    assert states["restored"] == states["before"]
