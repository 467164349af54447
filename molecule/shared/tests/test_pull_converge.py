# SPDX-License-Identifier: GPL-3.0-or-later
"""A host converges to what it pulls: its timer starts the agent, the origin is reached by SSH, and commits are signed with GPG.

No test starts the agent by hand.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

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
# The agent has only the public part of the signing key, and an SSH key that can only fetch. The host's own sshd serves the origin.
CREATE_KEYS = f"""
rm -rf /root/signer /etc/bulkhead-keys /root/deploy* && mkdir -m 700 /root/signer /etc/bulkhead-keys
gpg --homedir /root/signer --batch --quiet --passphrase '' --quick-generate-key ops@example.com ed25519 sign never
gpg --homedir /root/signer --export | gpg --homedir /etc/bulkhead-keys --batch --quiet --import
ssh-keygen -q -t ed25519 -N '' -f /root/deploy
cp -p ~/.ssh/authorized_keys /root/authorized_keys.kept
echo "restrict,command=\\"git-upload-pack {FLEET}\\" $(cat /root/deploy.pub)" >> ~/.ssh/authorized_keys
ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null > /etc/ssh/ssh_known_hosts
"""
SIGNED = ("gpg.program=/root/gpg", "user.signingkey=ops@example.com")
CREATE_GPG_WRAPPER = "printf '#!/bin/sh\\nexec gpg --homedir /root/signer \"$@\"\\n' > /root/gpg && chmod 755 /root/gpg"
REMOVE_KEYS = "gpgconf --homedir /root/signer --kill gpg-agent; mv /root/authorized_keys.kept ~/.ssh/authorized_keys; rm -rf /etc/ssh/ssh_known_hosts /root/gpg"
WAIT_FOR_RUN = r"""
import json, subprocess, sys, time
from pathlib import Path
attempts, deadline = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
state = Path("/var/lib/bulkhead/pull/state.json")
while time.monotonic() < deadline:
    seen = json.loads(state.read_text()) if state.exists() else {}
    if not seen.get("running", True) and seen["attempt"] > attempts:
        break
    time.sleep(1)
json.dump(seen, sys.stdout)
"""


@pytest.fixture(scope="module", autouse=True)
def variables(host: Host, inventory: str) -> Iterator[str]:
    """Create an origin and return the role's variables for it."""
    make_origin(host, inventory)
    host.check_output(CREATE_KEYS + CREATE_GPG_WRAPPER)
    yield render_variables(
        url=f"ssh://root@127.0.0.1{FLEET}",
        ssh_key="/root/deploy",
        gpg_home="/etc/bulkhead-keys",
        mode="converge",
        interval="1min",
        random_delay="0s",
    )
    host.check_output(REMOVE_KEYS)


def wait_for_run(host: Host, after: float) -> dict[str, Any]:
    """Return the state of the first run that started after that time (seconds since the epoch), when it has ended."""
    seen: dict[str, Any] = json.loads(host.check_output(f"python3 - {after:.0f} 900 <<'PROGRAM'\n{WAIT_FOR_RUN}\nPROGRAM"))
    assert seen and not seen["running"] and seen["attempt"] > after, seen
    return seen


def assert_restored(host: Host, good: str, revision: str) -> None:
    """The agent reports success, seccomp was verified, and the drifted file has its previous content."""
    found = read_metrics(host)
    print(host.run("journalctl -u bulkhead-pull.service -o cat | tail -n 60").stdout)
    assert format_result(found) == '""} 1'
    assert f'bulkhead_pull_revision_info{{revision="{revision}",mode="converge"}}' in found
    assert [name for name in found if name.startswith("bulkhead_layer_holds") and 'layer="seccomp"' in name and 'status="enforced"' in name]
    assert host.file(DRIFTED_FILE).sha256sum == good


def test_the_timer_restores_drift_and_verifies_every_time(playbook: Playbook, host: Host, variables: str) -> None:
    good, revision = host.file(DRIFTED_FILE).sha256sum, commit_all(host, "first", *SIGNED)
    host.check_output(MAKE_DRIFT)
    started = float(host.check_output("date +%s")) - 1
    done = playbook("pull", "-e", variables)
    assert done.returncode == 0, done.stdout + done.stderr
    first = wait_for_run(host, started)
    # The timer's next run starts at once, because its minute is over. It reads the file half a minute later.
    kept = host.check_output(f"sha256sum < {DRIFTED_FILE}; {MAKE_DRIFT}")
    assert kept.split()[0] == good, first
    second = wait_for_run(host, first["attempt"] + 1)
    assert_restored(host, good, revision)
    assert second["success"] > first["success"], "verified again, however recent the last verification was"


def test_a_run_that_is_stopped_is_a_failure(host: Host) -> None:
    # The next run starts within a minute, the accuracy of a timer (man 5 systemd.timer, AccuracySec).
    state = "[ $(systemctl show -P ActiveState bulkhead-pull.service) = activating ]"
    host.check_output(f"for unused in $(seq 150); do {state} && break; sleep 1; done; {state} && systemctl stop bulkhead-pull.timer")
    host.check_output("sleep 5; systemctl stop bulkhead-pull.service")
    found = read_metrics(host)
    assert format_result(found) == '"ended"} 0'
    assert not [name for name in found if name.startswith(("bulkhead_host", "bulkhead_layer"))], "there are no metrics of an earlier run"


def test_an_ssh_signature_is_invalid_where_gpg_is_required(host: Host) -> None:
    host.check_output("rm -f /root/other* && ssh-keygen -q -t ed25519 -N '' -f /root/other")
    run_at_origin(host, "echo 'not even yaml: [' > playbooks/harden.yml")
    commit_all(host, "other", "gpg.format=ssh", "user.signingkey=/root/other")
    started = float(host.check_output("date +%s")) - 1
    host.check_output("systemctl start bulkhead-pull.timer")
    seen = wait_for_run(host, started)
    assert seen["reason"] == "signature" and format_result(read_metrics(host)) == '"signature"} 0'


def test_removal_leaves_no_files(playbook: Playbook, host: Host) -> None:
    done = playbook("pull", "-e", "pull_agent_enabled=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run(LIST_AGENT_FILES).stdout == ""
