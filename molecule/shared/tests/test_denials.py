# SPDX-License-Identifier: GPL-3.0-or-later
"""Denials that are provoked by hand: their layer, their container, and the gaps of the log."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import MAKE_IMAGE, build_wait
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
STAYING, REMOVED, DENIALS = "denied-and-runs", "denied-and-removed", 40
# The shell itself creates the file, so the denied process does not end.
DENIED_COMMAND = "true > /bin/x"
FILTER = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["utimensat"], "action": "SCMP_ACT_KILL_PROCESS"}]}
RUN = "docker run -d --network none --name {name} {options} testimage sh -c '{script}; sleep infinity'"


@pytest.fixture(scope="module")
def collect(host: Host, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[float], dict[str, Any]]]:
    """Return a function that collects the denials since a time."""
    host.check_output(MAKE_IMAGE)
    host.check_output(f"cat > /root/filter.json <<'END'\n{json.dumps(FILTER)}\nEND")
    host.run(f"docker rm -f {STAYING} {REMOVED}")

    def run(since: float) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("reports")
        done = playbook("denials", "-e", f"bulkhead_since={since}", "-e", f"bulkhead_report_dir={folder}")
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        (path,) = folder.glob("denials-*.json")
        report: dict[str, Any] = json.loads(path.read_text())["denials_info"]
        assert all(str(entry["count"]) in (folder / "fleet.html").read_text() for entry in report["denials"])
        return report

    yield run
    host.run(f"docker rm -f {STAYING} {REMOVED}; rm /root/filter.json")


def read_time(host: Host) -> float:
    return float(host.check_output("date +%s.%N"))


def test_denials_have_a_container_and_gaps_are_counted(host: Host, collect: Callable[[float], dict[str, Any]]) -> None:
    since = read_time(host)
    # A container that is removed before the collection. The engine's log has its name, the journal shows that no other used its profile.
    options = "--security-opt apparmor=docker-default --security-opt seccomp=/root/filter.json"
    host.check_output(RUN.format(name=REMOVED, options=options, script="touch /x"))
    gone = host.check_output(f"docker inspect -f '{{{{.Id}}}}' {REMOVED}")
    host.check_output(f"{build_wait(f'journalctl -k --since=@{int(since)} -g type=1326', 60)}; docker rm -f {REMOVED}")
    # More denials in a row than the kernel logs, and one more when it logs again: this makes the missing messages countable.
    script = f"n=0; while [ $n -lt {DENIALS} ]; do {DENIED_COMMAND}; n=$((n+1)); done; sleep 8; {DENIED_COMMAND}; echo all"
    host.check_output(RUN.format(name=STAYING, options="--security-opt apparmor=bulkhead-web", script=script))
    host.check_output(build_wait(f"docker logs {STAYING} | grep -q all", 180))
    report = collect(since)

    (killed,) = [entry for entry in report["denials"] if entry["layer"] == "seccomp"]
    assert (killed["operation"], killed["detail"], killed["denied"], killed["count"]) == ("utimensat", "action=kill_process", True, 1)
    assert killed["container"] == {"id": gone, "name": REMOVED, "image": "testimage"}
    assert killed["by"] == "alone", "the profile of a removed container is unknown"

    (denied,) = [entry for entry in report["denials"] if entry["layer"] == "apparmor"]
    assert (denied["operation"], denied["profile"], denied["denied"]) == ("mknod", "bulkhead-web", True)
    assert "name=/bin/x" in denied["detail"]
    assert (denied["container"]["name"], denied["scope"], denied["by"]) == (STAYING, "container", "pid")

    # The serial numbers and the kernel's own count agree on how many messages are missing. No other message is lost.
    lost = {kind: sum(gap["lost"] or 0 for gap in report["gaps"] if gap["kind"] == kind) for kind in ("serials", "rate_limited")}
    assert denied["count"] < DENIALS
    assert denied["count"] + lost["serials"] == DENIALS + 1
    assert lost["rate_limited"] == lost["serials"]
    assert report["complete"] is False


def test_a_denial_is_not_assigned_to_an_unrelated_process(host: Host, collect: Callable[[float], dict[str, Any]]) -> None:
    since = read_time(host)
    host.check_output(f"docker exec {STAYING} sh -c '{DENIED_COMMAND} || true'")
    (entry,) = collect(since)["denials"]
    assert (entry["container"]["name"], entry["by"]) == (STAYING, "profile"), "the shell has ended, and no other container has this profile"
    host.check_output(f"docker rm -f {STAYING}")
    (entry,) = collect(since)["denials"]
    assert (entry["scope"], entry["by"]) == ("container", "alone")
