# SPDX-License-Identifier: GPL-3.0-or-later
"""execution-environment.yml: ansible-builder makes its build context, and what the context installs is this collection. No image is built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent


def run(tool: str, *arguments: object, cwd: Path = REPOSITORY) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment["ANSIBLE_HOME"] = str(cwd / ".ansible")
    command = [str(TOOLS / tool), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    run("ansible-builder", "create", "--context", folder, "--output-filename", "Containerfile")  # the definition under its usual name
    return folder


def test_the_image_gets_the_ansible_that_the_project_declares(context: Path) -> None:
    requirement = next(line for line in (REPOSITORY / "pyproject.toml").read_text().splitlines() if '"ansible-core' in line).strip(' ",')
    assert f'ARG ANSIBLE_INSTALL_REFS="{requirement} ansible-runner' in (context / "Containerfile").read_text()


def test_the_context_installs_the_collection_without_a_server(context: Path, tmp_path: Path) -> None:
    build = context / "_build"
    run("ansible-galaxy", "collection", "install", "--offline", "--no-deps", "-r", "requirements.yml", "-p", tmp_path, cwd=build)
    installed = tmp_path / "ansible_collections" / "bulkhead" / "docker"
    source = REPOSITORY / "collections" / "ansible_collections" / "bulkhead" / "docker"
    for needed in ("playbooks/harden.yml", "plugins/modules/verify_layers.py", "roles/docker_daemon/meta/argument_specs.yml"):
        assert (installed / needed).read_bytes() == (source / needed).read_bytes()


def test_hosts_are_reached_by_ssh(context: Path) -> None:
    assert "openssh-clients [platform:rpm]" in (context / "_build" / "bindep.txt").read_text().splitlines()


def test_awx_requires_what_the_collection_declares() -> None:
    """AWX installs what a project's requirements.yml names at each update of the project; the image gets what galaxy.yml names."""
    asked = yaml.safe_load((REPOSITORY / "requirements.yml").read_text())["collections"]
    declared = yaml.safe_load((REPOSITORY / "collections/ansible_collections/bulkhead/docker/galaxy.yml").read_text())["dependencies"]
    assert {entry["name"]: entry["version"] for entry in asked} == declared
