# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles ask the kernel to log their denials, and verification reads the flag back. Needs a runtime that supports it: runc 1.2."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import MAKE_IMAGE, Verification, build_wait
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
Verify = Callable[..., Verification]
NAME, FILE = "denied-and-logged", "/etc/docker/seccomp/bulkhead-default.json"
LIST: list[dict[str, Any]] = [
    {"name": "bulkhead-default", "extends": "general"},
    {"name": "bulkhead-web", "extends": "web"},
    {"name": "logged", "extends": "general", "deny": ["utimensat"]},
]
LOGGING = ("-e", json.dumps({"seccomp_profiles_list": LIST, "seccomp_profiles_log_denials": True}))


@pytest.fixture(scope="module")
def logging(host: Host, playbook: Playbook) -> Iterator[None]:
    host.check_output(MAKE_IMAGE)
    for changed in (True, False):
        done = playbook("harden", "--tags", "seccomp", *LOGGING, "-e", "bulkhead_verify=false")
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("changed=0" not in done.stdout) is changed, done.stdout
    yield
    host.run(f"docker rm -f {NAME}")
    done = playbook("harden", "--tags", "seccomp", "-e", "bulkhead_verify=false")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("logging")
def test_a_denial_is_in_the_report(host: Host, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> None:
    since = float(host.check_output("date +%s.%N"))
    run = f"docker run -d --name {NAME} --network none --security-opt seccomp=/etc/docker/seccomp/logged.json testimage"
    host.check_output(f"{run} sh -c 'touch /tmp/x; sleep infinity'")
    host.check_output(build_wait(f"journalctl -k --since=@{int(since)} -g type=1326", 60))
    folder = tmp_path_factory.mktemp("reports")
    done = playbook("denials", "-e", f"bulkhead_since={since}", "-e", f"bulkhead_report_dir={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("denials-*.json")
    (entry,) = [entry for entry in json.loads(path.read_text())["denials_info"]["denials"] if entry["layer"] == "seccomp"]
    assert (entry["operation"], entry["detail"], entry["container"]["name"]) == ("utimensat", "action=errno", NAME)


@pytest.mark.usefixtures("logging")
def test_a_filter_without_the_flag_is_found(host: Host, verify: Verify) -> None:
    assert verify(*LOGGING, "-e", "bulkhead_deep=profiles").status()["seccomp"] == "enforced"
    # The engine reads a file without flags at its start. Then the file is as before.
    host.check_output(
        f"cp -p {FILE} /root/kept.json && sed -i '/\"flags\"/,/\\]/d' {FILE} && systemctl restart docker && cp -p /root/kept.json {FILE} && rm /root/kept.json"
    )
    found = verify(*LOGGING)
    assert found.status()["seccomp"] == "degraded" and "seccomp.not_logged" in found.findings(), found.findings()
    host.check_output("systemctl restart docker")
    assert verify(*LOGGING).status()["seccomp"] == "enforced"
