# SPDX-License-Identifier: GPL-3.0-or-later
"""A hardened host pulls its own configuration: valid signature, drift, invalid signature, unreachable origin, removal of the agent."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from pulling import (
    DRIFTED_FILE,
    FLEET,
    LIST_AGENT_FILES,
    MAKE_DRIFT,
    commit_all,
    format_result,
    make_origin,
    read_metrics,
    render_variables,
    run_at_origin,
)
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
TRAP = "- {hosts: docker_hosts, gather_facts: false, tasks: [{ansible.builtin.command: touch /var/lib/bulkhead/pull/owned}]}"


def sign_as(who: str) -> tuple[str, str]:
    return "gpg.format=ssh", f"user.signingkey=/srv/{who}"


@pytest.fixture(scope="module", autouse=True)
def _agent(playbook: Playbook, host: Host, inventory: str) -> None:
    make_origin(host, inventory)
    host.check_output("rm -f /srv/ops* /srv/eve* /var/lib/bulkhead/pull/owned")
    host.check_output("for who in ops eve; do ssh-keygen -q -t ed25519 -N '' -C $who -f /srv/$who; done")
    commit_all(host, "first", *sign_as("ops"))
    variables = render_variables(
        url=FLEET,
        allowed_signers=f"ops@example.com {host.check_output('cat /srv/ops.pub')}",
        random_delay="1d",  # the tests start it by hand
    )
    planned = playbook("pull", "--check", "-e", variables)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert " changed=1 " in planned.stdout
    assert host.run(LIST_AGENT_FILES).stdout == "", "check mode touched the host"
    done = playbook("pull", "-e", variables)
    assert done.returncode == 0, done.stdout + done.stderr
    again = playbook("pull", "-e", variables)
    assert " changed=0 " in again.stdout, again.stdout + again.stderr
    assert host.check_output("systemctl is-enabled bulkhead-pull.timer") == "enabled"
    assert "bulkhead-pull.service" in host.check_output("systemctl list-timers --no-pager")
    host.check_output("systemctl stop bulkhead-pull.timer")


def run_agent(host: Host) -> tuple[int, str, dict[str, str]]:
    """Start the unit as its timer does; return its exit code, its output, and the metrics."""
    since = host.check_output("date +%s.%N")
    code = host.run("systemctl start bulkhead-pull.service").rc
    output = host.check_output(f"journalctl -u bulkhead-pull.service -o cat --since @{since}")
    print(output[-6000:])
    return code, output, read_metrics(host)


def test_a_signed_commit_runs_and_drift_is_reported_not_changed(host: Host) -> None:
    host.check_output(f"cp -p {DRIFTED_FILE} /root/kept && {MAKE_DRIFT}")
    drifted = host.file(DRIFTED_FILE).sha256sum
    try:
        code, output, found = run_agent(host)
        assert host.file(DRIFTED_FILE).sha256sum == drifted, "mode watch changes nothing"
    finally:
        host.check_output(f"cp -p /root/kept {DRIFTED_FILE}")
    assert code != 0
    assert "differs from the desired state" in output and DRIFTED_FILE in output
    assert format_result(found) == '"run"} 0'
    changes = {name: float(value) for name, value in found.items() if name.startswith("bulkhead_drift_changes")}
    changed = {name.partition('layer="')[2].partition('"')[0] for name, value in changes.items() if value}
    assert changed == {"seccomp", "engine_config"}, "the file, and the engine that has to load it again"
    # The unit's own sandbox must not hide evidence: the kernel shows filters of containers only to processes without a filter.
    assert [name for name in found if name.startswith("bulkhead_layer_holds") and 'layer="userns"' in name and 'status="enforced"' in name]
    assert not [name for name in found if name.startswith("bulkhead_layer_holds") and 'status="unknown"' in name]


def test_a_commit_with_an_untrusted_signature_does_not_run(host: Host) -> None:
    good = run_at_origin(host, "git rev-parse HEAD")
    run_at_origin(host, f"echo '{TRAP}' > playbooks/watch.yml")
    commit_all(host, "evil", *sign_as("eve"))
    code, output, found = run_agent(host)
    run_at_origin(host, f"git reset -q --hard {good}")
    assert code != 0 and not host.file("/var/lib/bulkhead/pull/owned").exists
    assert "is not signed by a signer that this host trusts" in output
    assert format_result(found) == '"signature"} 0'
    assert not [name for name in found if name.startswith(("bulkhead_host", "bulkhead_layer"))], (
        "an earlier good state is not reported as current"
    )
    assert host.check_output("systemctl is-failed bulkhead-pull.service || true") == "failed"


def test_an_unreachable_origin_runs_nothing(host: Host) -> None:
    host.check_output(f"mv {FLEET} /srv/away")
    code, output, found = run_agent(host)
    host.check_output(f"mv /srv/away {FLEET}")
    assert code != 0
    assert "the origin /srv/fleet cannot be fetched" in output
    assert format_result(found) == '"unreachable"} 0'
    assert not [name for name in found if name.startswith(("bulkhead_host", "bulkhead_layer"))]
    assert "bulkhead_pull_last_attempt_timestamp_seconds" in found


def test_the_next_signed_commit_runs_and_succeeds(host: Host) -> None:
    run_at_origin(host, f"echo '{TRAP}' > playbooks/watch.yml")
    second = commit_all(host, "second", *sign_as("ops"))
    code, output, found = run_agent(host)
    assert code == 0, output[-3000:]
    assert format_result(found) == '""} 1'
    assert host.file("/var/lib/bulkhead/pull/owned").exists
    assert second in next(name for name in found if name.startswith("bulkhead_pull_revision_info"))


def test_removal_leaves_no_files(playbook: Playbook, host: Host) -> None:
    done = playbook("pull", "-e", "pull_agent_enabled=false")
    assert done.returncode == 0 and " changed=1 " in done.stdout, done.stdout + done.stderr
    assert host.run(LIST_AGENT_FILES).stdout == ""
    assert host.run("systemctl status bulkhead-pull.timer").rc == 4, "no such unit"
