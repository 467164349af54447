# SPDX-License-Identifier: GPL-3.0-or-later
"""Open the engine's files by hand: verification names each of them, harden.yml closes them, rollback.yml restores them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import run_playbook
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
CERTS = "/etc/docker/certs.d/registry.example"
SOCKETS = "/run/docker.sock /run/containerd/containerd.sock /run/containerd/containerd.sock.ttrpc"
UNITS = "/usr/lib/systemd/system/docker.service /usr/lib/systemd/system/docker.socket /usr/lib/systemd/system/containerd.service"
# Path -> what is done by hand, the finding that names it, and owner, group and mode afterwards.
SABOTAGES = {
    "/usr/lib/systemd/system/docker.service": ("chmod 664", "unit_mode", "root:root 644"),
    "/usr/lib/systemd/system/docker.socket": ("chown games:games", "socket_unit_owner", "root:root 644"),
    "/usr/lib/systemd/system/containerd.service": ("chmod 646", "containerd_unit_mode", "root:root 644"),
    "/etc/docker": ("chmod 1777", "folder_mode", "root:root 1755"),
    "/etc/docker/daemon.json": ("chmod 666", "config_mode", "root:root 644"),
    "/etc/default/docker": ("chown games", "defaults_owner", "root:root 644"),
    f"{CERTS}/ca.crt": ("chmod 644", "registry_certificate_mode", "root:root 444"),
    f"{CERTS}/client.key": ("chmod 640", "registry_key_mode", "root:root 400"),
    "/run/docker.sock": ("chmod 666", "socket_mode", "root:docker 660"),
    "/run/containerd/containerd.sock": ("chgrp games", "containerd_socket_owner", "root:root 660"),
}
STRICTER, LINKED, TARGET = f"{CERTS}/client.cert", f"{CERTS}/linked.crt", "/srv/linked.crt"
# A socket whose group containerd sets at each start, and a bit of a socket that opens nothing.
SETTLED, CONTAINERD = "/run/containerd/containerd.sock.ttrpc", "/etc/containerd/config.toml"
SETTING = f'[ttrpc]\\naddress = "{SETTLED}"\\ngid = 9\\n'
LIST = f"stat -c '%n %U:%G %a' {' '.join(SABOTAGES)} {STRICTER} {TARGET} {SETTLED}"
VERIFY = """
- hosts: docker_hosts
  gather_facts: false
  become: true
  tasks:
    - bulkhead.docker.verify_layers: {probe: false, layers: [files], expect: {files: {requirement: required, group: docker}}}
      register: verification
    - ansible.builtin.copy: {content: "{{ verification.layers | to_json }}", dest: ANSWER, mode: "0644"}
      become: false
      delegate_to: localhost
"""


def read_verdict(inventory: str, folder: Path) -> dict[str, Any]:
    """Return what verification says of the layer."""
    (folder / "book.yml").write_text(VERIFY.replace("ANSWER", str(folder / "answer.json")))
    done = run_playbook(inventory, folder / "book.yml")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    (layer,) = json.loads((folder / "answer.json").read_text())
    return dict(layer)


@pytest.fixture(scope="module")
def states(host: Host, inventory: str, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the states before, hardened and restored, the verdicts before and hardened, and the output of harden.yml."""
    folder = tmp_path_factory.mktemp("files")
    arguments = ("--tags", "files", "-e", f"bulkhead_report_dir={folder}")
    as_it_was = host.check_output(
        f"stat -c 'chown %u:%g %n; chmod %a %n' {UNITS} {SOCKETS} /etc/docker /etc/docker/daemon.json /etc/default/docker"
    )
    by_hand = [
        f"cp -p {CONTAINERD} /srv/config.toml && printf '{SETTING}' >> {CONTAINERD} && chgrp news {SETTLED} && chmod 1660 {SETTLED}",
        f"mkdir -p {CERTS} && touch {CERTS}/ca.crt {CERTS}/client.key {STRICTER} {TARGET}",
        f"ln -sfn {TARGET} {LINKED} && chmod 400 {STRICTER} && chmod 666 {TARGET}",
        *(f"{command} {path}" for path, (command, _finding, _state) in SABOTAGES.items()),
    ]
    try:
        found: dict[str, Any] = {"before": host.check_output(" && ".join([*by_hand, LIST])), "verdict": read_verdict(inventory, folder)}
        hardened = playbook("harden", *arguments, "-e", "bulkhead_verify=false", "-e", "bulkhead_resume=false")
        assert hardened.returncode == 0, hardened.stdout[-4000:]
        found |= {"hardened": host.check_output(LIST), "output": hardened.stdout, "verdict_hardened": read_verdict(inventory, folder)}
        restored = playbook("rollback", *arguments)
        assert restored.returncode == 0, restored.stdout[-4000:]
        return {**found, "restored": host.check_output(LIST), "memory": host.file("/var/lib/bulkhead/files.json").exists}
    finally:
        host.check_output(f"{as_it_was}\nrm -r {CERTS} {TARGET}; mv /srv/config.toml {CONTAINERD}")


def test_verification_names_each_file(states: dict[str, Any]) -> None:
    findings = {(finding["id"], finding["text"].split()[0].rstrip(",")) for finding in states["verdict"]["findings"]}
    expected = {(f"files.{finding}", path) for path, (_command, finding, _state) in SABOTAGES.items()}
    assert findings == expected | {("files.registry_certificate_mode", LINKED), ("files.containerd_socket_owner", SETTLED)}
    assert states["verdict"]["status"] == "degraded"


def test_each_file_is_closed(states: dict[str, Any]) -> None:
    lines = dict(line.split(" ", 1) for line in states["hardened"].splitlines())
    assert {path: lines[path] for path in SABOTAGES} == {path: state for path, (_command, _finding, state) in SABOTAGES.items()}


def test_a_stricter_mode_and_the_target_of_a_link_stay(states: dict[str, Any]) -> None:
    lines = dict(line.split(" ", 1) for line in states["hardened"].splitlines())
    assert (lines[STRICTER], lines[TARGET]) == ("root:root 400", "root:root 666")
    assert f"{LINKED} (registry certificate) stays" in states["output"]
    assert [finding["remedy"] for finding in states["verdict_hardened"]["findings"] if LINKED in finding["text"]] == [
        f"chmod 0444 {TARGET}"
    ]


def test_what_the_next_start_sets_again_stays(states: dict[str, Any]) -> None:
    lines = dict(line.split(" ", 1) for line in states["hardened"].splitlines())
    assert lines[SETTLED] == "root:news 1660"
    assert f"{SETTLED} keeps group news, which gid in {CONTAINERD} sets at each start" in " ".join(states["output"].split())
    remedies = {finding["id"]: finding["remedy"] for finding in states["verdict_hardened"]["findings"]}
    assert set(remedies) == {"files.registry_certificate_mode", "files.containerd_socket_owner"}
    assert remedies["files.containerd_socket_owner"].startswith(
        f"correct gid in {CONTAINERD}, which is applied at each start, then: chown root:root"
    )


def test_rollback_restores_each_file(states: dict[str, Any]) -> None:
    assert (states["restored"], states["memory"]) == (states["before"], False)
