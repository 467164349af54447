# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that converges by what it pulls: its timer starts it, the origin is behind ssh, and the signature is GPG's. Nothing here starts it by hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pulling import DRIFT, DRIFTS, FLEET, LEFT, at_origin, commit, make_origin, metrics, ok, wish
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
# A key whose public half alone is where the agent looks; and a key that may do nothing but fetch. The host's own sshd is the origin's.
KEYS = f"""
rm -rf /root/signer /etc/bulkhead-keys /root/deploy* && mkdir -m 700 /root/signer /etc/bulkhead-keys
gpg --homedir /root/signer --batch --quiet --passphrase '' --quick-generate-key ops@example.com ed25519 sign never
gpg --homedir /root/signer --export | gpg --homedir /etc/bulkhead-keys --batch --quiet --import
ssh-keygen -q -t ed25519 -N '' -f /root/deploy
cp -p ~/.ssh/authorized_keys /root/authorized_keys.kept
echo "restrict,command=\\"git-upload-pack {FLEET}\\" $(cat /root/deploy.pub)" >> ~/.ssh/authorized_keys
ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null > /etc/ssh/ssh_known_hosts
"""
SIGNED = ("gpg.program=/root/gpg", "user.signingkey=ops@example.com")
PROGRAM = "printf '#!/bin/sh\\nexec gpg --homedir /root/signer \"$@\"\\n' > /root/gpg && chmod 755 /root/gpg"
AGAIN = "gpgconf --homedir /root/signer --kill gpg-agent; mv /root/authorized_keys.kept ~/.ssh/authorized_keys; rm -rf /etc/ssh/ssh_known_hosts /root/gpg"
LOOK = r"""
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
def wanted(host: Host, inventory: str) -> Iterator[str]:
    """The role's variables, for an origin that is ready to be pulled from."""
    make_origin(host, inventory)
    host.check_output(KEYS + PROGRAM)
    yield wish(
        url=f"ssh://root@127.0.0.1{FLEET}",
        ssh_key="/root/deploy",
        gpg_home="/etc/bulkhead-keys",
        mode="converge",
        interval="1min",
        random_delay="0s",
    )
    host.check_output(AGAIN)


def ended(host: Host, after: float) -> dict[str, Any]:
    """What is known of the first run that began after that time (seconds since the epoch) and has ended."""
    seen: dict[str, Any] = json.loads(host.check_output(f"python3 - {after:.0f} 900 <<'LOOK'\n{LOOK}\nLOOK"))
    assert seen and not seen["running"] and seen["attempt"] > after, seen
    return seen


def assert_mended(host: Host, good: str, revision: str) -> None:
    """All is well by what the agent says, the kernel was asked, and what drifted is as it was."""
    found = metrics(host)
    print(host.run("journalctl -u bulkhead-pull.service -o cat | tail -n 60").stdout)
    assert ok(found) == '""} 1'
    assert f'bulkhead_pull_revision_info{{revision="{revision}",mode="converge"}}' in found
    assert [name for name in found if name.startswith("bulkhead_layer_holds") and 'layer="seccomp"' in name and 'status="enforced"' in name]
    assert host.file(DRIFTS).sha256sum == good


def test_its_timer_puts_back_what_drifted_and_proves_it_again_and_again(playbook: Playbook, host: Host, wanted: str) -> None:
    good, revision = host.file(DRIFTS).sha256sum, commit(host, "first", *SIGNED)
    host.check_output(DRIFT)
    begun = float(host.check_output("date +%s")) - 1
    done = playbook("pull", "-e", wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    first = ended(host, begun)
    # The timer's next run begins at once, as its minute is over, and is half a minute away from looking at the file.
    kept = host.check_output(f"sha256sum < {DRIFTS}; {DRIFT}")
    assert kept.split()[0] == good, first
    second = ended(host, first["attempt"] + 1)
    assert_mended(host, good, revision)
    assert second["success"] > first["success"], "proven anew, however fresh the last proof was"


def test_a_run_that_is_ended_is_no_good_one(host: Host) -> None:
    # The next one begins within a minute: so exact is a timer (man 5 systemd.timer, AccuracySec).
    state = "[ $(systemctl show -P ActiveState bulkhead-pull.service) = activating ]"
    host.check_output(f"for unused in $(seq 150); do {state} && break; sleep 1; done; {state} && systemctl stop bulkhead-pull.timer")
    host.check_output("sleep 5; systemctl stop bulkhead-pull.service")
    found = metrics(host)
    assert ok(found) == '"ended"} 0'
    assert not [name for name in found if name.startswith(("bulkhead_host", "bulkhead_layer"))], "of the last run, which is not this one"


def test_a_commit_that_a_key_of_ssh_signed_is_not_run_where_only_gpg_counts(host: Host) -> None:
    host.check_output("rm -f /root/other* && ssh-keygen -q -t ed25519 -N '' -f /root/other")
    at_origin(host, "echo 'not even yaml: [' > playbooks/harden.yml")
    commit(host, "other", "gpg.format=ssh", "user.signingkey=/root/other")
    begun = float(host.check_output("date +%s")) - 1
    host.check_output("systemctl start bulkhead-pull.timer")
    seen = ended(host, begun)
    assert seen["reason"] == "signature" and ok(metrics(host)) == '"signature"} 0'


def test_it_goes_without_a_trace(playbook: Playbook, host: Host) -> None:
    done = playbook("pull", "-e", "pull_agent_enabled=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run(LEFT).stdout == ""
