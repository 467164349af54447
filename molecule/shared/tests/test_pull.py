# SPDX-License-Identifier: GPL-3.0-or-later
"""A hardened host that pulls its own configuration: a good signature, drift, a wrong signature, an origin that is away; and the agent taken back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from pulling import DRIFT, DRIFTS, FLEET, LEFT, at_origin, commit, make_origin, metrics, ok, wish
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
TRAP = "- {hosts: docker_hosts, gather_facts: false, tasks: [{ansible.builtin.command: touch /var/lib/bulkhead/pull/owned}]}"


def signed_by(who: str) -> tuple[str, str]:
    return "gpg.format=ssh", f"user.signingkey=/srv/{who}"


@pytest.fixture(scope="module", autouse=True)
def _agent(playbook: Playbook, host: Host, inventory: str) -> None:
    make_origin(host, inventory)
    host.check_output("rm -f /srv/ops* /srv/eve* /var/lib/bulkhead/pull/owned")
    host.check_output("for who in ops eve; do ssh-keygen -q -t ed25519 -N '' -C $who -f /srv/$who; done")
    commit(host, "first", *signed_by("ops"))
    wanted = wish(
        url=FLEET,
        allowed_signers=f"ops@example.com {host.check_output('cat /srv/ops.pub')}",
        random_delay="1d",  # the tests start it by hand
    )
    foreseen = playbook("pull", "--check", "-e", wanted)
    assert foreseen.returncode == 0, foreseen.stdout + foreseen.stderr
    assert " changed=1 " in foreseen.stdout
    assert host.run(LEFT).stdout == "", "check mode touched the host"
    done = playbook("pull", "-e", wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    again = playbook("pull", "-e", wanted)
    assert " changed=0 " in again.stdout, again.stdout + again.stderr
    assert host.check_output("systemctl is-enabled bulkhead-pull.timer") == "enabled"
    assert "bulkhead-pull.service" in host.check_output("systemctl list-timers --no-pager")
    host.check_output("systemctl stop bulkhead-pull.timer")


def pull(host: Host) -> tuple[int, str, dict[str, str]]:
    """Start the unit as its timer would; its exit code, what it said, and the metrics."""
    since = host.check_output("date +%s.%N")
    code = host.run("systemctl start bulkhead-pull.service").rc
    said = host.check_output(f"journalctl -u bulkhead-pull.service -o cat --since @{since}")
    print(said[-6000:])
    return code, said, metrics(host)


def test_what_ops_signed_is_run_and_drift_made_by_hand_is_noticed_and_left_alone(host: Host) -> None:
    host.check_output(f"cp -p {DRIFTS} /root/kept && {DRIFT}")
    drifted = host.file(DRIFTS).sha256sum
    try:
        code, said, found = pull(host)
        assert host.file(DRIFTS).sha256sum == drifted, "who only watches changes nothing"
    finally:
        host.check_output(f"cp -p /root/kept {DRIFTS}")
    assert code != 0
    assert "has drifted from what the inventory wants" in said and DRIFTS in said
    assert ok(found) == '"run"} 0'
    changes = {name: float(value) for name, value in found.items() if name.startswith("bulkhead_drift_changes")}
    changed = {name.partition('layer="')[2].partition('"')[0] for name, value in changes.items() if value}
    assert changed == {"seccomp", "engine_config"}, "the file, and the engine that would have to read it anew"
    # The unit's own sandbox must not blind it: the filters of containers are shown to unfiltered processes alone.
    assert [name for name in found if name.startswith("bulkhead_layer_holds") and 'layer="userns"' in name and 'status="enforced"' in name]
    assert not [name for name in found if name.startswith("bulkhead_layer_holds") and 'status="unknown"' in name]


def test_what_somebody_else_signed_is_not_run(host: Host) -> None:
    good = at_origin(host, "git rev-parse HEAD")
    at_origin(host, f"echo '{TRAP}' > playbooks/watch.yml")
    commit(host, "evil", *signed_by("eve"))
    code, said, found = pull(host)
    at_origin(host, f"git reset -q --hard {good}")
    assert code != 0 and not host.file("/var/lib/bulkhead/pull/owned").exists
    assert "is not signed by anybody whom this host trusts" in said
    assert ok(found) == '"signature"} 0'
    assert not [name for name in found if name.startswith(("bulkhead_host", "bulkhead_layer"))], (
        "the last good state is not passed off as fresh"
    )
    assert host.check_output("systemctl is-failed bulkhead-pull.service || true") == "failed"


def test_an_origin_that_is_away(host: Host) -> None:
    host.check_output(f"mv {FLEET} /srv/away")
    code, said, found = pull(host)
    host.check_output(f"mv /srv/away {FLEET}")
    assert code != 0
    assert "the origin /srv/fleet can't be fetched" in said
    assert ok(found) == '"unreachable"} 0'
    assert not [name for name in found if name.startswith(("bulkhead_host", "bulkhead_layer"))]
    assert "bulkhead_pull_last_attempt_timestamp_seconds" in found


def test_what_ops_sign_next_is_run_and_all_is_well(host: Host) -> None:
    at_origin(host, f"echo '{TRAP}' > playbooks/watch.yml")
    second = commit(host, "second", *signed_by("ops"))
    code, said, found = pull(host)
    assert code == 0, said[-3000:]
    assert ok(found) == '""} 1'
    assert host.file("/var/lib/bulkhead/pull/owned").exists
    assert second in next(name for name in found if name.startswith("bulkhead_pull_revision_info"))


def test_it_goes_without_a_trace(playbook: Playbook, host: Host) -> None:
    done = playbook("pull", "-e", "pull_agent_enabled=false")
    assert done.returncode == 0 and " changed=1 " in done.stdout, done.stdout + done.stderr
    assert host.run(LEFT).stdout == ""
    assert host.run("systemctl status bulkhead-pull.timer").rc == 4, "no such unit"
