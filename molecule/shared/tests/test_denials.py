# SPDX-License-Identifier: GPL-3.0-or-later
"""Who knocks on which wall: refusals that were provoked by hand, and whose they are said to be."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MAKE_IMAGE
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
NAMES = ("knocks-and-lives", "knocks-and-goes", "filtered", "bystander")
# The profile lets nothing be read but what it names; the shell opens the file itself, so that it is the shell who is refused.
KNOCK = ": < /proc/1/environ"
FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}],
}


@pytest.fixture(scope="module")
def heard(host: Host, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Provoke, listen, and give the report."""
    host.check_output(MAKE_IMAGE)
    host.run(f"docker rm -f {' '.join(NAMES)}")
    since = float(host.check_output("date +%s.%N"))
    host.check_output(f"cat > /root/filter.json <<'END'\n{json.dumps(FILTER)}\nEND")
    web, default = "--security-opt apparmor=bulkhead-web", "--security-opt seccomp=/root/filter.json"
    run = "docker run -d --network none --name {name} {options} testimage sh -c '{script}'"
    try:
        host.check_output(run.format(name=NAMES[3], options="", script="sleep 9999"))
        script = f"{KNOCK}; {KNOCK}; while :; do sleep 1; done"
        host.check_output(run.format(name=NAMES[0], options=web, script=script))
        host.check_output(run.format(name=NAMES[2], options=f"{default} --security-opt apparmor=docker-default", script="sleep 2; mkdir /x; sleep 9999"))
        time.sleep(5)
        folder = tmp_path_factory.mktemp("reports")
        done = playbook("denials", "-e", f"since={since}", "-e", f"report_dir={folder}")
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout)
        (report,) = folder.glob("denials-*.json")
        yield {"report": json.loads(report.read_text())["heard"], "page": (folder / "fleet.html").read_text(), "since": since}
    finally:
        host.run(f"docker rm -f {' '.join(NAMES)}; rm /root/filter.json")
