# SPDX-License-Identifier: GPL-3.0-or-later
"""Take each piece away by hand: the verdict has to name it. Then one run of harden.yml puts everything back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conftest import Proof
from rootless import USER, VARIABLES, User, assert_all_hold
from testinfra.host import Host

# Done at once, as none hides another: what is done, and what has to be found.
PIECES = {
    f"rm /var/lib/systemd/linger/{USER}": "rootless.no_linger",
    "rm /etc/systemd/user/default.target.wants/docker.service": "rootless.not_enabled",
    "rm /etc/systemd/system/user@UID.service.d/10-bulkhead-delegate.conf": "rootless.delegation_missing",
    "chmod 666 /run/user/UID/docker.sock": "rootless.socket_mode",
    "systemctl unmask docker.service": "rootless.rootful_not_masked",
    "rm /etc/systemd/user/docker-.scope.d/10-bulkhead-pids.conf": "pids_limit.unlimited",
    "aa-complain bulkhead-rootless": "apparmor.complain",
    "chmod 777 /usr/local/libexec/bulkhead/rootless/runc": "rootless.runtime_writable",
}


def test_every_piece_that_is_taken_away_is_named(host: Host, prove: Callable[..., Proof]) -> None:
    user = User(host)
    for command in PIECES:
        host.check_output(command.replace("UID", str(user.uid)))
    user.systemctl("daemon-reload")
    proof = prove(*VARIABLES)
    assert proof.code != 0
    found = set(proof.findings())
    # Without the drop-in systemd's own limit for the user's scopes is what is left.
    either = {"pids_limit.unlimited": {"pids_limit.unlimited", "pids_limit.too_high"}}
    missing = [name for name in PIECES.values() if not either.get(name, {name}) & found]
    assert missing == [], proof.output


def test_without_the_runtime_no_container_starts_and_nothing_is_enforced(host: Host, prove: Callable[..., Proof]) -> None:
    host.check_output("mv /usr/local/libexec/bulkhead/rootless/runc /root/runc")
    proof = prove(*VARIABLES)
    host.check_output("mv /root/runc /usr/local/libexec/bulkhead/rootless/runc")
    assert "rootless.runtime_missing" in proof.findings(), proof.output
    assert "enforced" not in {proof.status()[name] for name in ("apparmor", "seccomp", "pids_limit", "rootless")}


def test_a_container_that_another_runtime_started_is_named_where_its_words_and_the_kernels_differ(
    host: Host, prove: Callable[..., Proof]
) -> None:
    """As upstream does it: the request names a profile, `docker inspect` repeats it, and the kernel has none."""
    user = User(host)
    settings = f"/home/{USER}/.config/docker/daemon.json"
    other = """python3 -c 'import json; p="SETTINGS"; d=json.load(open(p)); d["runtimes"]["plain"]={"path": "/usr/sbin/runc"}
json.dump(d, open(p, "w"))'""".replace("SETTINGS", settings)
    host.check_output(other)
    host.check_output(f"pkill -HUP -x -u {USER} dockerd")
    user.output("for i in $(seq 60); do docker info 2>/dev/null | grep -q plain && break; sleep 1; done; docker info | grep plain")
    user.output("docker run -d --network none --name bare --runtime plain --security-opt apparmor=bulkhead-web testimage")
    try:
        seen = prove(*VARIABLES).container("bare")
        assert any("bulkhead-web" in text and text.startswith("apparmor") for text in seen["disagreements"]), seen
        assert {v["layer"]: v["status"] for v in seen["layers"]}["apparmor"] == "absent"
    finally:
        user.output("docker rm -f bare")


def test_one_run_puts_everything_back(host: Host, playbook: Callable[..., Any]) -> None:
    done = playbook("harden", *VARIABLES)
    assert done.returncode == 0, done.stdout[-4000:]


def test_undelegated_controllers_are_named_and_come_back(host: Host, prove: Callable[..., Proof], playbook: Callable[..., Any]) -> None:
    uid = User(host).uid
    host.check_output(f"printf '[Service]\\nDelegate=\\nDelegate=pids memory\\n' > /etc/systemd/system/user@{uid}.service.d/90-mine.conf")
    host.check_output(f"systemctl daemon-reload && systemctl restart user@{uid}.service")
    proof = prove(*VARIABLES)
    host.check_output(f"rm /etc/systemd/system/user@{uid}.service.d/90-mine.conf && systemctl daemon-reload")
    assert "rootless.not_delegated" in proof.findings(), proof.output
    done = playbook("harden", *VARIABLES)
    assert done.returncode == 0, done.stdout[-4000:]
    assert_all_hold(prove(*VARIABLES))
