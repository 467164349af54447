# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for the tests of all scenarios: a container without options, and the project's own verification.

Run by Molecule, or by hand on a machine of the lab:
    pytest molecule/shared/tests --ansible-inventory .lab/NAME/inventory.yml --hosts ansible://docker_hosts
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

REPOSITORY = Path(__file__).resolve().parents[3]
PLAIN = "testinfra-plain"

# The owner that a killed run leaves in its record (module_utils/engine/records.py): a process that has ended.
DEAD_OWNER = "999999:1"
# An image of programs of the host. The tests build it with other means than the module builds the image of its probe.
MAKE_IMAGE = r"""
set -e
docker image inspect testimage >/dev/null 2>&1 && exit 0
root=$(mktemp -d)
for program in sleep sh cat touch id ls; do
  path=$(readlink -f "$(command -v $program)")
  install -D "$path" "$root/bin/$program"
  for library in $(ldd "$path" | grep -o '/[^ ]*'); do install -D "$(readlink -f "$library")" "$root$library"; done
done
mkdir -p "$root/tmp"
tar -C "$root" -c . | docker import -c 'ENV PATH=/bin' -c 'CMD ["/bin/sleep", "infinity"]' - testimage >/dev/null
rm -r "$root"
"""


@dataclass
class Verification:
    """One run of verify.yml: its exit code, its output, and its report."""

    code: int
    output: str
    report: dict[str, Any]

    def status(self) -> dict[str, str]:
        return {layer["layer"]: layer["status"] for layer in self.report["verification"]["layers"]}

    def findings(self) -> list[str]:
        """Return the IDs of the findings that make a layer of the host's defaults worse."""
        layers = self.report["verification"]["layers"]
        return [f["id"] for layer in layers for f in layer["findings"] if f["status"]] + [
            f["id"] for f in self.report["verification"]["findings"]
        ]

    def container(self, name: str) -> dict[str, Any]:
        return next(c for c in self.report["verification"]["containers"] if c["name"] == name)


def leave_killed_run(name: str, socket: str = "/var/run/docker.sock") -> str:
    """Return commands that leave an image, a container and a record, all of this name, as a killed run does."""
    record = {"token": "f00d", "owner": DEAD_OWNER, "socket": socket, "name": name, "containers": [name]}
    text = json.dumps(record)[:-1] + ', "image": "\'$(docker images -q --no-trunc ' + name + ")'\"}"
    return (
        f"tar -c -T /dev/null | docker import - {name}:1 && docker create --name {name} {name}:1 nothing &&"
        f" mkdir -p -m 700 /var/lib/bulkhead/temporary && echo '{text}' > /var/lib/bulkhead/temporary/f00d.json"
    )


@pytest.fixture(scope="session")
def inventory(request: pytest.FixtureRequest) -> str:
    return os.path.abspath(request.config.getoption("ansible_inventory"))


def playbook_command(inventories: list[str], path: Path, *arguments: str) -> list[str]:
    sources = [word for inventory in inventories for word in ("-i", inventory)]
    return [str(Path(sys.executable).parent / "ansible-playbook"), *sources, str(path), *arguments]


def playbook_environment() -> dict[str, str]:
    """Return an environment with the project's own configuration and collection instead of the scenario's."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOLOR": "1",
    }


def run_playbook(inventory: str, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run any playbook against the machine."""
    command = playbook_command([inventory], path, *arguments)
    return subprocess.run(command, cwd=REPOSITORY, env=playbook_environment(), capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def playbook(inventory: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one of the project's playbooks against the machine."""
    return lambda name, *arguments: run_playbook(inventory, REPOSITORY / f"playbooks/{name}.yml", *arguments)


@pytest.fixture(scope="session")
def verify(
    playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Verification]:
    """Run verify.yml and read its report."""

    def run(*arguments: str) -> Verification:
        folder = tmp_path_factory.mktemp("reports")
        done = playbook("verify", "-e", f"bulkhead_report_dir={folder}", *arguments)
        reports = list(folder.glob("verify-*.json"))
        assert reports, f"verify.yml wrote no report:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
        return Verification(done.returncode, done.stdout, json.loads(reports[0].read_text()))

    return run


@pytest.fixture(scope="module")
def plain(host: Host) -> Iterator[dict[str, Any]]:
    """Start a container without any security option; return its inspection."""
    host.check_output(MAKE_IMAGE)
    host.run(f"docker rm -f {PLAIN}")
    host.check_output(f"docker run -d --network none --name {PLAIN} testimage")
    try:
        yield json.loads(host.check_output(f"docker inspect {PLAIN}"))[0]
    finally:
        host.run(f"docker rm -f {PLAIN}")


@pytest.fixture(scope="module")
def pid(plain: dict[str, Any]) -> int:
    return int(plain["State"]["Pid"])


@pytest.fixture
def engine_log(host: Host) -> Iterator[None]:
    """Print the engine's log, which pytest shows if the test fails."""
    since = host.check_output("date '+%F %T'")
    yield
    print(host.run(f"journalctl -u docker --no-pager -n 40 --since '{since}'").stdout)


def build_wait(condition: str, seconds: float, pause: int = 1) -> str:
    """Return a command that ends when a shell condition is true, and fails after `seconds`. pause: seconds between two attempts.

    The attempts are made on the machine, because each connection costs processor time there.
    """
    return f"timeout {seconds:.0f} sh -c {shlex.quote(f'until {condition}; do sleep {pause}; done >/dev/null 2>&1')}"


WAIT_FOR_ENGINE = build_wait("docker info", 120)


def wait_for_engine(host: Host) -> None:
    if host.run(WAIT_FOR_ENGINE).rc != 0:
        pytest.fail("the engine does not answer:\n" + host.run("journalctl -u docker --no-pager -n 30").stdout)
