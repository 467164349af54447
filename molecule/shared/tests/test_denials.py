# SPDX-License-Identifier: GPL-3.0-or-later
"""Who knocks on which wall: refusals that were provoked by hand, and whose they are said to be."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import MAKE_IMAGE
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
LIVES, GOES, KNOCKS = "knocks-and-lives", "knocks-and-is-gone", 40
# The shell itself makes the file, and no program that ends: it is the shell who is refused, and it lives.
KNOCK = "true > /bin/x"
FILTER = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["utimensat"], "action": "SCMP_ACT_KILL_PROCESS"}]}
RUN = "docker run -d --network none --name {name} {options} testimage sh -c '{script}; while :; do sleep 1; done'"


@pytest.fixture(scope="module")
def told(host: Host, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[float], dict[str, Any]]]:
    """What the project says of refusals since then."""
    host.check_output(MAKE_IMAGE)
    host.check_output(f"cat > /root/filter.json <<'END'\n{json.dumps(FILTER)}\nEND")
    host.run(f"docker rm -f {LIVES} {GOES}")

    def tell(since: float) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("reports")
        done = playbook("denials", "-e", f"bulkhead_since={since}", "-e", f"bulkhead_report_dir={folder}")
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        (report,) = folder.glob("denials-*.json")
        heard: dict[str, Any] = json.loads(report.read_text())["heard"]
        assert all(str(entry["count"]) in (folder / "fleet.html").read_text() for entry in heard["denials"])
        return heard

    yield tell
    host.run(f"docker rm -f {LIVES} {GOES}; rm /root/filter.json")


def now(host: Host) -> float:
    return float(host.check_output("date +%s.%N"))


def test_whose_refusals_they_are_and_what_is_missing(host: Host, told: Callable[[float], dict[str, Any]]) -> None:
    since = now(host)
    # One that is removed before anybody looks: its name is the engine's memory, and that it alone had run under the profile the journal's.
    options = "--security-opt apparmor=docker-default --security-opt seccomp=/root/filter.json"
    host.check_output(RUN.format(name=GOES, options=options, script="touch /x"))
    gone = host.check_output(f"docker inspect -f '{{{{.Id}}}}' {GOES}")
    host.check_output(f"timeout 60 sh -c 'until journalctl -k --since=@{int(since)} -g type=1326; do sleep 1; done'; docker rm -f {GOES}")
    # One that knocks more often than the kernel's log takes in a row, and once more when it takes again: then the log can be counted.
    script = f"n=0; while [ $n -lt {KNOCKS} ]; do {KNOCK}; n=$((n+1)); done; sleep 8; {KNOCK}; echo all"
    host.check_output(RUN.format(name=LIVES, options="--security-opt apparmor=bulkhead-web", script=script))
    host.check_output(f"timeout 180 sh -c 'until docker logs {LIVES} 2>/dev/null | grep -q all; do sleep 1; done'")
    heard = told(since)

    (killed,) = [entry for entry in heard["denials"] if entry["layer"] == "seccomp"]
    assert (killed["operation"], killed["detail"], killed["refused"], killed["count"]) == ("utimensat", "action=kill_process", True, 1)
    assert killed["container"] == {"id": gone, "name": GOES, "image": "testimage"}
    assert killed["by"] == "alone", "nobody knows the profile of a container that is gone"

    (knocked,) = [entry for entry in heard["denials"] if entry["layer"] == "apparmor"]
    assert (knocked["operation"], knocked["profile"], knocked["refused"]) == ("mknod", "bulkhead-web", True)
    assert "name=/bin/x" in knocked["detail"]
    assert (knocked["container"]["name"], knocked["scope"], knocked["by"]) == (LIVES, "container", "pid")

    # The numbers of the messages and the kernel's own word agree on how many are missing, and nothing is lost beside them.
    lost = {kind: sum(gap["lost"] or 0 for gap in heard["gaps"] if gap["kind"] == kind) for kind in ("serials", "rate_limited")}
    assert knocked["count"] < KNOCKS
    assert knocked["count"] + lost["serials"] == KNOCKS + 1
    assert lost["rate_limited"] == lost["serials"]
    assert heard["complete"] is False


def test_a_process_that_took_over_nothing_is_not_accused(host: Host, told: Callable[[float], dict[str, Any]]) -> None:
    since = now(host)
    host.check_output(f"docker exec {LIVES} sh -c '{KNOCK} || true'")
    (entry,) = told(since)["denials"]
    assert (entry["container"]["name"], entry["by"]) == (LIVES, "profile"), "the shell is gone, and no other container has this profile"
    host.check_output(f"docker rm -f {LIVES}")
    (entry,) = told(since)["denials"]
    assert (entry["scope"], entry["by"]) == ("container", "alone")
