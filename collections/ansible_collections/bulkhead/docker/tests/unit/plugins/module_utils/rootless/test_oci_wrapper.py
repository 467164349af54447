# SPDX-License-Identifier: GPL-3.0-or-later
"""The OCI runtime between a rootless engine and runc, on bundles as dockerd 26.1 writes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.rootless import oci_wrapper, rendering

ID = "5ab61dac" * 8
GLOBAL = ["--root", "/run/user/990/docker/runtime-runc/moby", "--log", "/tmp/log.json", "--log-format", "json", "--systemd-cgroup"]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([*GLOBAL, "create", "--bundle", "/b", ID], "create"),
        ([*GLOBAL, "exec", "--process", "/p", "--detach", ID], "exec"),
        (["--root=/create", "--debug", "start", ID], "start"),
        (["--log", "create", "state", ID], "state"),
        (["--version"], ""),
        ([], ""),
    ],
)
def test_the_command_is_found(words: list[str], command: str) -> None:
    assert oci_wrapper.find_command(words) == command


@pytest.mark.parametrize(
    ("request_", "profile"),
    [
        ({}, "default"),
        ({"SecurityOpt": None}, "default"),
        ({"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]}, "default"),
        ({"SecurityOpt": ["apparmor=web"]}, "web"),
        ({"SecurityOpt": ["apparmor:web"]}, "web"),
        ({"SecurityOpt": ["apparmor=a:b"]}, "a:b"),
        ({"SecurityOpt": ["apparmor=unconfined"]}, "unconfined"),
        ({"Privileged": True}, "unconfined"),
        ({"Privileged": True, "SecurityOpt": ["apparmor=web"]}, "web"),
        ({"SecurityOpt": ["label=apparmor=web"]}, "default"),
    ],
)
def test_profile_equals_that_of_a_rootful_engine(request_: dict[str, Any], profile: str) -> None:
    assert oci_wrapper.select_profile(request_, "default") == profile


def bundle(folder: Path, request_: dict[str, Any] | None, mounts: bool = True, root: str = "overlay2/859b/merged") -> Path:
    """A bundle, and the data root that it comes from with the container's request in it."""
    data = folder / "data"
    (data / "containers" / ID).mkdir(parents=True)
    if request_ is not None:
        (data / "containers" / ID / "hostconfig.json").write_text(json.dumps(request_))
    sources = [{"source": f"{data}/containers/{ID}/hosts", "destination": "/etc/hosts"}, {"source": "proc", "destination": "/proc"}]
    config = {"process": {"args": ["true"]}, "root": {"path": f"{data}/{root}"}, "mounts": sources if mounts else []}
    there = folder / "bundle"
    there.mkdir()
    (there / "config.json").write_text(json.dumps(config))
    return there


def written(there: Path) -> str | None:
    return json.loads((there / "config.json").read_text())["process"].get("apparmorProfile")


def test_container_gets_requested_profile(tmp_path: Path) -> None:
    there = bundle(tmp_path, {"SecurityOpt": ["apparmor=web"]})
    oci_wrapper.confine_bundle(str(there), ID, "default")
    assert written(there) == "web"
    assert os.listdir(there) == ["config.json"]


def test_request_is_found_by_root_path(tmp_path: Path) -> None:
    there = bundle(tmp_path, {"Privileged": True}, mounts=False)
    oci_wrapper.confine_bundle(str(there), ID, "default")
    assert written(there) == "unconfined"


def test_container_without_request_does_not_start(tmp_path: Path) -> None:
    there = bundle(tmp_path, None)
    with pytest.raises(OSError, match="its settings are not known"):
        oci_wrapper.confine_bundle(str(there), ID, "default")
    assert written(there) is None


def test_build_step_gets_default_profile(tmp_path: Path) -> None:
    there = bundle(tmp_path, None, mounts=False)
    oci_wrapper.confine_bundle(str(there), "buildkit-step", "default")
    assert written(there) == "default"


def test_exec_gets_the_containers_own_profile(tmp_path: Path) -> None:
    (tmp_path / ID).mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"process": {"apparmorProfile": "web"}}))
    (tmp_path / ID / "state.json").write_text(json.dumps({"config": {"labels": ["other=x", f"bundle={tmp_path}"]}}))
    process = tmp_path / "runc-process1"
    process.write_text(json.dumps({"args": ["cat"], "env": ["A=" + "x" * 100]}))
    oci_wrapper.confine_exec(["--root", str(tmp_path), "exec", "--process", str(process), ID], "default")
    assert json.loads(process.read_text()) == {"args": ["cat"], "env": ["A=" + "x" * 100], "apparmorProfile": "web"}
    (tmp_path / ID / "state.json").write_text(json.dumps({"config": {"labels": []}}))
    with pytest.raises(ValueError, match="does not name its bundle"):
        oci_wrapper.confine_exec(["--root", str(tmp_path), "exec", "--process", str(process), ID], "default")


def program(folder: Path) -> Path:
    """The wrapper as it is installed, with a runc that says what it is called with."""
    runc = folder / "runc-stand-in"
    runc.write_text('#!/bin/sh\necho "$0 $*"\n')
    source = Path(oci_wrapper.__file__).read_text()
    text = (
        rendering.render_wrapper(source, "default")
        .replace('"/usr/bin/runc"', f'"{runc}"')
        .replace("#!/usr/bin/python3", f"#!{sys.executable}")
    )
    path = folder / "wrapper"
    path.write_text(text)
    for file in (runc, path):
        file.chmod(0o755)
    return path


def test_runc_gets_the_same_arguments(tmp_path: Path) -> None:
    there = bundle(tmp_path, {})
    words = ["--root", "/r", "create", "--bundle", str(there), ID]
    done = subprocess.run([program(tmp_path), *words], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1:] == words
    assert written(there) == "default"


def test_failure_starts_nothing_and_is_reported(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    words = ["--log", str(log), "create", "--bundle", str(tmp_path / "none"), ID]
    done = subprocess.run([program(tmp_path), *words], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and done.stdout == ""
    assert "the AppArmor profile could not be set" in done.stderr
    said = json.loads(log.read_text())
    assert said["level"] == "error" and "config.json" in said["msg"]


def test_invalid_bundle_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[]")
    done = subprocess.run([program(tmp_path), "create", "--bundle", str(tmp_path), ID], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and done.stdout == ""
