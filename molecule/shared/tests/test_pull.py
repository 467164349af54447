# SPDX-License-Identifier: GPL-3.0-or-later
"""A hardened host that pulls its own configuration: a good signature, drift, a wrong signature, an origin that is away; and the agent taken back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
METRICS = "/var/lib/prometheus/node-exporter"
DRIFTS = "/etc/docker/seccomp/bulkhead-default.json"
# What a clone of the project holds and a host needs; a fleet's repository has its own inventory beside it.
PACKED = ("ansible.cfg", "playbooks", "roles", "collections/ansible_collections/bulkhead/docker")
COMMIT = "git -c user.name=x -c user.email=x@example.com -c gpg.format=ssh -c user.signingkey=/srv/{signer} commit -q -S -a -m {message}"
TRAP = "- {hosts: docker_hosts, gather_facts: false, tasks: [{ansible.builtin.command: touch /var/lib/bulkhead/pull/owned}]}"
# All that is the agent's on a host.
LEFT = (
    "ls -d /etc/bulkhead/pull-agent* /etc/systemd/system/*bulkhead-pull* /usr/local/libexec/bulkhead/* /var/lib/bulkhead/pull"
    f" /var/lib/bulkhead/pull-agent* {METRICS}/bulkhead* 2>/dev/null"
)


def at_origin(host: Host, command: str) -> str:
    return host.check_output(f"cd /srv/fleet && {command}")


@pytest.fixture(scope="module")
def origin(host: Host, inventory: str) -> str:
    """A repository on the host itself, signed by ops; gives ops' public key."""
    with open(inventory, encoding="utf-8") as handle:
        ((name, reach),) = yaml.safe_load(handle)["all"]["children"]["docker_hosts"]["hosts"].items()
    host.check_output("rm -rf /srv/fleet /srv/ops* /srv/eve* && mkdir -p /srv/fleet/inventory && rm -f /var/lib/bulkhead/pull/owned")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PACKED], cwd=REPOSITORY, capture_output=True, check=True
    )
    packed = subprocess.run(["tar", "-cz", "--null", "-T", "-"], cwd=REPOSITORY, input=listed.stdout, capture_output=True, check=True)
    ssh = [
        "ssh",
        *str(reach["ansible_ssh_common_args"]).split(),
        "-i",
        reach["ansible_ssh_private_key_file"],
        "-p",
        str(reach["ansible_port"]),
    ]
    subprocess.run([*ssh, f"root@{reach['ansible_host']}", "tar -xz -C /srv/fleet"], input=packed.stdout, check=True)
    hosts = yaml.safe_dump({"docker_hosts": {"hosts": {name: {}}}})
    at_origin(host, f"cat > inventory/hosts.yml <<'END'\n{hosts}END")
    host.check_output("for who in ops eve; do ssh-keygen -q -t ed25519 -N '' -C $who -f /srv/$who; done")
    at_origin(host, "git init -q -b main && git add -A && " + COMMIT.format(signer="ops", message="first"))
    return host.check_output("cat /srv/ops.pub")


@pytest.fixture(scope="module", autouse=True)
def _agent(playbook: Playbook, host: Host, origin: str) -> None:
    wish = yaml.safe_dump(
        {
            "pull_agent_url": "/srv/fleet",
            "pull_agent_allowed_signers": f"ops@example.com {origin}",
            "pull_agent_random_delay": "1d",  # the tests start it by hand
        },
        default_flow_style=True,
        width=10_000,
    ).strip()
    foreseen = playbook("pull", "--check", "-e", wish)
    assert foreseen.returncode == 0, foreseen.stdout + foreseen.stderr
    assert " changed=1 " in foreseen.stdout
    assert host.run(LEFT).stdout == "", "check mode touched the host"
    done = playbook("pull", "-e", wish)
    assert done.returncode == 0, done.stdout + done.stderr
    again = playbook("pull", "-e", wish)
    assert " changed=0 " in again.stdout, again.stdout + again.stderr
    assert host.check_output("systemctl is-enabled bulkhead-pull.timer") == "enabled"
    assert "bulkhead-pull.service" in host.check_output("systemctl list-timers --no-pager")
    host.check_output("systemctl stop bulkhead-pull.timer")


def pull(host: Host) -> tuple[int, str, dict[str, str]]:
    """Start the unit as its timer would; its exit code, what it said, and the metrics."""
    since = host.check_output("date +%s.%N")
    code = host.run("systemctl start bulkhead-pull.service").rc
    said = host.check_output(f"journalctl -u bulkhead-pull.service -o cat --since @{since}")
    text = host.run(f"cat {METRICS}/*.prom").stdout
    metrics = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    print(said[-6000:])
    return code, said, metrics


def ok(metrics: dict[str, Any]) -> str:
    (name,) = [name for name in metrics if name.startswith("bulkhead_pull_ok")]
    return f"{name.partition('reason=')[2]} {metrics[name]}"


def test_what_ops_signed_is_run_and_drift_made_by_hand_is_noticed_and_left_alone(host: Host) -> None:
    host.check_output(f"cp -p {DRIFTS} /root/kept && sed -i '0,/SCMP_ACT_ERRNO/s//SCMP_ACT_LOG/' {DRIFTS}")
    drifted = host.file(DRIFTS).sha256sum
    try:
        code, said, metrics = pull(host)
        assert host.file(DRIFTS).sha256sum == drifted, "who only watches changes nothing"
    finally:
        host.check_output(f"cp -p /root/kept {DRIFTS}")
    assert code != 0
    assert "has drifted from what the inventory wants" in said and DRIFTS in said
    assert ok(metrics) == '"run"} 0'
    changes = {name: float(value) for name, value in metrics.items() if name.startswith("bulkhead_drift_changes")}
    changed = {name.partition('layer="')[2].partition('"')[0] for name, value in changes.items() if value}
    assert changed == {"seccomp", "engine_config"}, "the file, and the engine that would have to read it anew"
    # The unit's own sandbox must not blind it: the filters of containers are shown to unfiltered processes alone.
    assert [
        name for name in metrics if name.startswith("bulkhead_layer_holds") and 'layer="userns"' in name and 'status="enforced"' in name
    ]
    assert not [name for name in metrics if name.startswith("bulkhead_layer_holds") and 'status="unknown"' in name]


def test_what_somebody_else_signed_is_not_run(host: Host) -> None:
    good = at_origin(host, "git rev-parse HEAD")
    at_origin(host, f"echo '{TRAP}' > playbooks/watch.yml && " + COMMIT.format(signer="eve", message="evil"))
    code, said, metrics = pull(host)
    at_origin(host, f"git reset -q --hard {good}")
    assert code != 0 and not host.file("/var/lib/bulkhead/pull/owned").exists
    assert "is not signed by anybody whom this host trusts" in said
    assert ok(metrics) == '"signature"} 0'
    assert not [name for name in metrics if name.startswith(("bulkhead_host", "bulkhead_layer"))], (
        "the last good state is not passed off as fresh"
    )
    assert host.check_output("systemctl is-failed bulkhead-pull.service || true") == "failed"


def test_an_origin_that_is_away(host: Host) -> None:
    host.check_output("mv /srv/fleet /srv/away")
    code, said, metrics = pull(host)
    host.check_output("mv /srv/away /srv/fleet")
    assert code != 0
    assert "the origin /srv/fleet can't be fetched" in said
    assert ok(metrics) == '"unreachable"} 0'
    assert not [name for name in metrics if name.startswith(("bulkhead_host", "bulkhead_layer"))]
    assert "bulkhead_pull_last_attempt_timestamp_seconds" in metrics


def test_what_ops_sign_next_is_run_and_all_is_well(host: Host) -> None:
    at_origin(host, f"echo '{TRAP}' > playbooks/watch.yml && " + COMMIT.format(signer="ops", message="second"))
    code, said, metrics = pull(host)
    assert code == 0, said[-3000:]
    assert ok(metrics) == '""} 1'
    assert host.file("/var/lib/bulkhead/pull/owned").exists
    assert at_origin(host, "git rev-parse HEAD") in next(name for name in metrics if name.startswith("bulkhead_pull_revision_info"))


def test_it_goes_without_a_trace(playbook: Playbook, host: Host) -> None:
    done = playbook("pull", "-e", "pull_agent_enabled=false")
    assert done.returncode == 0 and " changed=1 " in done.stdout, done.stdout + done.stderr
    assert host.run(LEFT).stdout == ""
    assert host.run("systemctl status bulkhead-pull.timer").rc == 4, "no such unit"
