# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx, a Python HTTP server, Node and Redis, from the distribution's packages, on a hardened host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

FILES = Path(__file__).resolve().parents[2] / "services/files"
SERVICES = ("nginx", "python", "node", "redis")
WEB = "--security-opt seccomp=/etc/docker/seccomp/bulkhead-web.json --security-opt apparmor=bulkhead-web"
OPTIONS = {
    "the host's defaults": "",
    "the web profiles": WEB,
    # Without no-new-privileges the filter is loaded earlier, and it must allow the system calls of the runtime too.
    "the web profiles without no-new-privileges": f"{WEB} --security-opt no-new-privileges=false",
}


@pytest.fixture(scope="module")
def images(host: Host) -> None:
    host.check_output("rm -rf /root/services && mkdir -p /root/services")
    for path in sorted(FILES.glob("*.py")):
        host.check_output(f"cat > /root/services/{path.name} <<'END_OF_FILE'\n{path.read_text()}\nEND_OF_FILE")
    inspected = host.run(f"docker image inspect {' '.join(f'bulkhead-test/{name}:1' for name in SERVICES)}")
    if inspected.rc:
        host.check_output(f"python3 /root/services/build_service_image.py {' '.join(SERVICES)}")


@pytest.mark.parametrize(
    "options", OPTIONS.values(), ids=lambda text: next(key for key, value in OPTIONS.items() if value == text).replace(" ", "-")
)
def test_services_work_under_every_set_of_options(host: Host, images: None, options: str) -> None:
    done = host.run(f"cd /root/services && python3 try_services.py {' '.join(SERVICES)} -- {options}")
    results: dict[str, Any] = {entry["service"]: entry for entry in map(json.loads, done.stdout.splitlines())}
    assert set(results) == set(SERVICES), done.stdout + done.stderr
    assert {name: entry["problem"] for name, entry in results.items() if not entry["ok"]} == {}
    for entry in results.values():
        assert "Seccomp:\t2" in entry["exec"], entry
        assert f"NoNewPrivs:\t{0 if 'no-new-privileges=false' in options else 1}" in entry["exec"], entry


@pytest.fixture(scope="module", autouse=True)
def since(host: Host) -> str:
    """Return the start of these tests. Attacks that ran earlier on this machine were denied as they should be."""
    return str(host.check_output("date '+%F %T'"))


def test_apparmor_denies_nothing_that_a_service_needs(host: Host, images: None, since: str) -> None:
    log = host.run(f"journalctl -k --since '{since}' --no-pager -g 'apparmor=\"DENIED\".*profile=\"bulkhead-web\"'").stdout
    # Python tries to write compiled modules next to their source, and works without them. Folders of programs are read-only.
    denied = [line for line in log.splitlines() if "bulkhead-web" in line and "/__pycache__/" not in line]
    assert denied == []


def test_a_denial_is_logged_with_profile_pid_and_operation(host: Host, images: None) -> None:
    host.run("docker run --rm --network none --security-opt apparmor=bulkhead-web bulkhead-test/nginx:1 sh -c 'echo x > /etc/hostile'")
    line = host.run('journalctl -k -b --no-pager -g \'apparmor="DENIED".*profile="bulkhead-web".*hostile\'').stdout
    for word in ("operation=", "pid=", "comm=", 'name="/etc/hostile"'):
        assert word in line, line or "no denial in the kernel's log"
