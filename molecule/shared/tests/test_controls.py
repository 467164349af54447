# SPDX-License-Identifier: GPL-3.0-or-later
"""The controls of the CIS Docker Benchmark on a host with the defaults, and on one that was opened by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.catalog import load_controls
from conftest import Verification
from testinfra.host import Host

# Statuses that the defaults of the roles cause, by section. Rules of the audit depend on whether auditd is installed.
EXPECTED = {
    "1": {"fail": "1.1.1", "pass": "1.1.2 1.2.2", "manual": "1.2.1"},
    "2": {
        "fail": "2.1 2.9 2.13 2.14",
        "not_applicable": "2.8",
        "pass": "2.2 2.3 2.4 2.5 2.6 2.7 2.10 2.11 2.12 2.15 2.16 2.17 2.18 2.19",
    },
    "3": {
        "pass": "3.1 3.2 3.3 3.4 3.5 3.6 3.15 3.16 3.17 3.18 3.19 3.20 3.23 3.24",
        "not_applicable": "3.7 3.8 3.9 3.10 3.11 3.12 3.13 3.14 3.21 3.22",
    },
    "7": {"not_applicable": "7.1 7.2 7.3 7.4 7.5 7.6 7.7 7.8 7.9"},
}
# What is done by hand, and back -> the controls that change, with their new status.
SABOTAGES: dict[tuple[str, str], dict[str, str]] = {
    ("usermod -aG docker games", "gpasswd -d games docker"): {"1.1.2": "fail"},
    ("chmod 666 /etc/docker/daemon.json", "chmod 644 /etc/docker/daemon.json"): {"3.18": "fail"},
    ("chown games /etc/default/docker", "chown root /etc/default/docker"): {"3.19": "fail"},
    (
        "cp -a /etc/environment /root/environment; echo DOCKER_CONTENT_TRUST=1 >> /etc/environment",
        "cp -a /root/environment /etc/environment; rm /root/environment",
    ): {"4.5": "pass"},
    (
        "docker run -d --name open --network host --pid host --ipc host --uts host --userns host -v /etc:/e -v /run/docker.sock:/s"
        " --device /dev/null:/dev/other --privileged testimage",
        "docker rm -f open",
    ): dict.fromkeys(
        ("5.2", "5.4", "5.5", "5.6", "5.10", "5.16", "5.17", "5.18", "5.21", "5.22", "5.31", "5.32"), "fail"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def before(verify: Callable[..., Verification], plain: dict[str, Any]) -> Verification:
    return verify()


@pytest.fixture(scope="module")
def opened(verify: Callable[..., Verification], host: Host, before: Verification) -> Iterator[Verification]:
    """The verdict on the opened host, of which the inventory requires some controls and accepts one."""
    done = host.run("set -e; " + "; ".join(act for act, _back in SABOTAGES))
    assert done.rc == 0, done.stderr
    options = {
        "bulkhead_controls_required": ["3", "CIS-1.1.2"],
        "bulkhead_waivers": [{"finding": "CIS-1.1.2", "reason": "games is trusted", "until": str(date.today() + timedelta(30))}],
    }
    try:
        yield verify("-e", json.dumps(options))
    finally:
        host.run("; ".join(back for _act, back in SABOTAGES))


def list_statuses(verification: Verification) -> dict[str, str]:
    return {each["control"].removeprefix("CIS-"): each["status"] for each in verification.report["verification"]["controls"]}


def test_every_control_is_judged_as_expected(before: Verification) -> None:
    found = list_statuses(before)
    assert len(found) == len(load_controls())
    assert "unknown" not in found.values(), found
    expected = {number: status for section in EXPECTED.values() for status, numbers in section.items() for number in numbers.split()}
    assert {number: found[number] for number in expected} == expected
    assert before.code == 0, before.output


def test_what_is_opened_by_hand_fails_its_controls(before: Verification, opened: Verification) -> None:
    was, now = list_statuses(before), list_statuses(opened)
    expected = {number: status for change in SABOTAGES.values() for number, status in change.items()}
    assert {number: status for number, status in now.items() if status != was[number]} == expected, opened.output


def test_required_controls_fail_and_a_waiver_accepts_one(opened: Verification) -> None:
    assert opened.code != 0
    for text in ("CIS-3.18 (fail)", "CIS-3.19 (fail)"):
        assert text in opened.output
    assert "CIS-1.1.2 (fail)" not in opened.output
