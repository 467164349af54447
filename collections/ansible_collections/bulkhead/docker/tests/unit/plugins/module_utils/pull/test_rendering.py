# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the pull agent, and its files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.pull import rendering, setup

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample12"
GOOD: dict[str, Any] = {
    "url": "ssh://git@git.example.com/fleet.git", "branch": "main", "revision": "", "allowed_signers": f"ops@example.com ssh-ed25519 {KEY}",
    "gpg_home": "", "rewind": False, "mode": "check", "playbook": "playbooks/watch.yml", "inventory": "inventory/hosts.yml", "host": "web1",
    "interval": "5min", "random_delay": "1min", "since": "24h", "metrics_dir": "/var/lib/prometheus/node-exporter", "ssh_key": "",
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"url": "/srv/fleet.git"},
        {"url": "git@git.example.com:fleet.git"},
        {"allowed_signers": "", "revision": "0" * 40},
        {"allowed_signers": "", "gpg_home": "/etc/bulkhead/gnupg"},
        {"allowed_signers": f'# ops\nops@example.com,*@ops.example.com namespaces="git" sk-ssh-ed25519@openssh.com {KEY} me\n'},
        {"interval": "1h 30min", "random_delay": "0s"},
        {"branch": "release/1.2"},
    ],
)
def test_valid_settings(change: dict[str, Any]) -> None:
    assert rendering.find_setting_problems({**GOOD, **change}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": ""}, "pull_agent_url: '' is not an address; write where"),
        ({"url": "ext::sh -c id"}, "pull_agent_url"),
        ({"url": "--upload-pack=id"}, "pull_agent_url"),
        ({"allowed_signers": " "}, "neither is set, so the host would run anything"),
        ({"revision": "main"}, "pull_agent_revision: 'main' is not the full hash"),
        ({"revision": "abc123"}, "git rev-parse"),
        ({"gpg_home": "/etc/gpg"}, "both are set"),
        ({"allowed_signers": "ops@example.com"}, "'ops@example.com' has no key"),
        ({"allowed_signers": "ssh-ed25519 " + KEY}, "has no key"),
        ({"branch": "a..b"}, "pull_agent_branch: 'a..b' is not the name of a branch"),
        ({"branch": "-x"}, "pull_agent_branch"),
        ({"host": "web1,web2"}, "pull_agent_host: 'web1,web2'"),
        ({"inventory": "../hosts"}, "pull_agent_inventory: '../hosts' is not a path in the repository"),
        ({"playbook": "/etc/x.yml"}, "pull_agent_playbook"),
        ({"metrics_dir": "node"}, "pull_agent_metrics_dir: 'node' is not a plain absolute path"),
        ({"ssh_key": "/k'; id"}, "pull_agent_ssh_key"),
        ({"interval": "5"}, "pull_agent_interval: '5' is not a time span of 60 s or more"),
        ({"interval": "30s"}, "pull_agent_interval"),
        ({"random_delay": "soon"}, "pull_agent_random_delay: 'soon' is not a time span; write"),
        ({"since": "yesterday"}, "pull_agent_since: 'yesterday' is not an age"),
    ],
)
def test_invalid_settings(change: dict[str, Any], words: str) -> None:
    (problem,) = rendering.find_setting_problems({**GOOD, **change})
    assert words in problem


def test_files_follow_the_settings() -> None:
    source = setup.read_agent_source()
    made = rendering.render_agent_files(GOOD, source)
    assert made[rendering.PROGRAM] == (f"#!/usr/bin/python3 -I\n{source}", 0o755)
    config = json.loads(made[rendering.CONFIG][0])
    assert (config["signed"], config["playbook"], config["host"]) == (True, "playbooks/watch.yml", "web1")
    assert "ReadWritePaths=/var/lib/bulkhead /var/lib/prometheus/node-exporter" in made[rendering.SERVICE][0]
    assert "OnUnitActiveSec=5min" in made[rendering.TIMER][0]
    pinned = rendering.render_agent_files({**GOOD, "allowed_signers": "", "revision": "0" * 40, "mode": "converge"}, source)
    assert rendering.SIGNERS not in pinned
    assert "ProtectSystem" not in pinned[rendering.SERVICE][0]
    assert json.loads(pinned[rendering.CONFIG][0])["signed"] is False


def test_unit_has_no_option_with_a_seccomp_filter() -> None:
    """Or the kernel would not show the filters of containers: the layer would be unknown."""
    for option in (
        "SystemCall",
        "RestrictA",
        "RestrictN",
        "RestrictR",
        "RestrictS",
        "LockP",
        "MemoryDeny",
        "PrivateDev",
        "ProtectKernel",
        "ProtectC1",
    ):
        assert f"\n{option}" not in rendering.render_service(GOOD)
    assert "ProtectClock" not in rendering.render_service(GOOD) and "ProtectHostname" not in rendering.render_service(GOOD)


def test_other_kinds_of_signature_are_disabled() -> None:
    assert rendering.render_git_config(True, False).count("/bin/false") == 2
    assert "allowedSignersFile" not in rendering.render_git_config(False, True)
    assert rendering.render_git_config(False, False).count("/bin/false") == 3
