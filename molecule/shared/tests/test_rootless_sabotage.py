# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove each part by hand: the report must name it. Then one run of harden.yml restores everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conftest import Verification
from rootless import HARDENED, OPTIONS, USER, assert_all_enforced, assert_hardened
from testinfra.host import Host

RUNTIME = "/usr/local/libexec/bulkhead/rootless/runc"
# All are applied at once, because none hides another: the command, and the findings of which one must be reported.
PIECES = {
    f"rm /var/lib/systemd/linger/{USER}": {"rootless.no_linger"},
    "rm /etc/systemd/user/default.target.wants/docker.service": {"rootless.not_enabled"},
    "rm /etc/systemd/system/user@$uid.service.d/10-bulkhead-delegate.conf": {"rootless.delegation_missing"},
    "chmod 666 /run/user/$uid/docker.sock": {"rootless.socket_mode"},
    "systemctl unmask docker.service": {"rootless.rootful_not_masked"},
    "aa-complain bulkhead-rootless": {"apparmor.complain"},
    f"chmod 777 {RUNTIME}": {"rootless.runtime_writable"},
    "sysctl -qw net.ipv4.ip_unprivileged_port_start=1024": {"rootless.port"},
    # Without the drop-in, systemd's own limit remains.
    "rm /etc/systemd/user/docker-.scope.d/10-bulkhead-pids.conf": {"pids_limit.unlimited", "pids_limit.too_high"},
    "$manager daemon-reload": set(),
}
# As without Bulkhead: the request names a profile, `docker inspect` repeats it, and the kernel enforces none.
RUN_BARE_CONTAINER = f"""
su - {USER} -c 'python3 -c "
import json
path = \\".config/docker/daemon.json\\"
content = json.load(open(path))
content[\\"runtimes\\"][\\"plain\\"] = dict(path=\\"/usr/sbin/runc\\")
json.dump(content, open(path, \\"w\\"))
"'
pkill -HUP -x -u {USER} dockerd
for i in $(seq 60); do su - {USER} -c 'docker info' 2>/dev/null | grep -q plain && break; sleep 1; done
su - {USER} -c 'docker run --pull never -d --network none --name bare --runtime plain --security-opt apparmor=bulkhead-web testimage'
"""
SET_MANAGER = f'set -e; uid=$(id -u {USER}); manager="setpriv --reuid=$uid --regid=$uid --clear-groups env XDG_RUNTIME_DIR=/run/user/$uid systemctl --user"\n'


def run_as_root(host: Host, script: str) -> None:
    host.check_output(SET_MANAGER + script)


def test_without_the_runtime_no_layer_is_enforced(host: Host, verify: Callable[..., Verification]) -> None:
    run_as_root(host, f"mv {RUNTIME} /root/runc")
    verification = verify(*OPTIONS)
    run_as_root(host, f"mv /root/runc {RUNTIME}\n" + RUN_BARE_CONTAINER)
    assert "rootless.runtime_missing" in verification.findings(), verification.output
    assert "enforced" not in {verification.status()[name] for name in ("apparmor", "seccomp", "pids_limit", "rootless")}


def test_every_missing_part_and_every_bypass_is_reported(host: Host, verify: Callable[..., Verification]) -> None:
    run_as_root(host, "\n".join(PIECES))
    verification = verify(*OPTIONS)
    assert verification.code != 0
    found = set(verification.findings())
    assert [names for names in PIECES.values() if names and not names & found] == [], verification.output
    bare = verification.container("bare")
    assert any("bulkhead-web" in text and text.startswith("apparmor") for text in bare["disagreements"]), bare
    assert {v["layer"]: v["status"] for v in bare["layers"]}["apparmor"] == "absent"


def test_missing_delegation_is_reported(host: Host, verify: Callable[..., Verification]) -> None:
    run_as_root(
        host,
        f"""loginctl enable-linger {USER}  # otherwise the manager ends with the next login
su - {USER} -c 'docker rm -f bare'
mkdir -p /etc/systemd/system/user@$uid.service.d
printf '[Service]\\nDelegate=\\nDelegate=pids memory\\n' > /etc/systemd/system/user@$uid.service.d/90-mine.conf
systemctl daemon-reload; systemctl restart user@$uid.service
for i in $(seq 120); do [ -S /run/user/$uid/bus ] && break; sleep 1; done; $manager start docker.service""",
    )
    verification = verify(*OPTIONS)
    run_as_root(host, "rm /etc/systemd/system/user@$uid.service.d/90-mine.conf")
    assert "rootless.not_delegated" in verification.findings(), verification.output


def test_one_run_restores_every_part_and_all_containers_run(
    host: Host, playbook: Callable[..., Any], verify: Callable[..., Verification]
) -> None:
    done = playbook("harden", *OPTIONS, "-e", "bulkhead_verify=false", "-e", "rootless_docker_stop_containers=true")
    assert done.returncode == 0, done.stdout[-4000:]
    # runc writes the swap limit of zero without systemd, which removes it when it adds controllers to the scope.
    run_as_root(host, f"su - {USER} -c 'docker restart good'")
    verification = verify(*OPTIONS, *HARDENED)
    assert_all_enforced(verification)
    assert_hardened(verification)
