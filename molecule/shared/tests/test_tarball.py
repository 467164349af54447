# SPDX-License-Identifier: GPL-3.0-or-later
"""The Galaxy tarball, installed without a network into an empty folder, has playbooks that do what those of a clone do.

It hardens from this control node and verifies from a newer one: Debian 13's Python 3.13 with the newest supported ansible-core.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import control_node
import pytest
from conftest import REPOSITORY

TOOLS = Path(sys.executable).parent
# Code that is not Python: a tarball without it fails only at run time.
NEEDED = {
    "playbooks/harden.yml",
    "playbooks/tasks/verify.yml",
    "plugins/plugin_utils/report/controls.yml",
    "plugins/plugin_utils/report/page.css",
    "plugins/plugin_utils/report/page.html.j2",
    "plugins/plugin_utils/report/page.js",
    "roles/userns_remap/meta/argument_specs.yml",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, inventory: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Build and install the tarball. Return a function that runs its playbooks from a folder outside of the repository."""
    home = tmp_path_factory.mktemp("tarball")
    built = subprocess.run(["make", "build", f"DIST={home}/dist"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (tarball,) = (home / "dist").glob("bulkhead-docker-*.tar.gz")
    with tarfile.open(tarball) as content:
        names = set(content.getnames())
    assert names >= NEEDED
    assert not {name for name in names if "__pycache__" in name or name.startswith("tests/output")}
    (home / "ansible.cfg").write_text("[defaults]\ncollections_path = collections\n[ssh_connection]\npipelining = True\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_CONFIG": str(home / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}

    def run(command: list[str], variables: dict[str, str] = environment) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=home, env=variables, capture_output=True, text=True, check=False)

    done = run([str(TOOLS / "ansible-galaxy"), "collection", "install", "--offline", "-p", "collections", str(tarball)])
    assert done.returncode == 0, done.stdout + done.stderr

    def run_playbook(name: str, *more: str, newer: bool = False) -> subprocess.CompletedProcess[str]:
        arguments = ["-i", inventory, f"bulkhead.docker.{name}", *more]
        if newer:
            command = control_node.build_command(["python3", "-m", "ansible", "playbook", *arguments])
            return run(command, control_node.build_environment(environment))
        return run([str(TOOLS / "ansible-playbook"), *arguments])

    return run_playbook


def test_it_changes_nothing_on_a_hardened_host_and_verifies_it(
    installed: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    # verify.yml verifies the host below.
    done = installed("harden", "-e", "bulkhead_verify=false")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " changed=0 " in done.stdout
    done = installed("verify", "-e", f"bulkhead_report_dir={tmp_path}", newer=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "WARNING" not in done.stdout + done.stderr  # such as a deprecation
    (report,) = tmp_path.glob("verify-*.json")
    assert json.loads(report.read_text())["enforced"] is True
    assert "<strong>1 of 1</strong> hosts verified" in (tmp_path / "fleet.html").read_text()


def test_the_newer_control_node_is_the_newest_supported() -> None:
    """`make lock` raises the locked version up to the bound of pyproject.toml."""
    command = control_node.build_command(["python3", "-m", "ansible", "playbook", "--version"])
    done = subprocess.run(command, env=control_node.build_environment(os.environ), capture_output=True, text=True, check=False)
    assert re.search(r"^ansible-playbook \[core 2\.21\.", done.stdout), done.stdout + done.stderr
    assert re.search(r"python version = 3\.13\.", done.stdout)
