# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of what the layers depend on, as engines and programs report them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.versions import read_versions

# docker.io 26.1.5 of Debian 13.
ANSWER = {
    "Version": "26.1.5+dfsg1",
    "Components": [
        {"Name": "Engine", "Version": "26.1.5+dfsg1"},
        {"Name": "containerd", "Version": "1.7.24~ds1"},
        {"Name": "runc", "Version": "1.1.15+ds1"},
        {"Name": "docker-init", "Version": "0.19.0"},
    ],
}
PROGRAMS = {
    "runc": "runc version 1.1.15+ds1\nspec: 1.2.0\nlibseccomp: 2.6.0",
    "apparmor_parser": "AppArmor parser version 4.1.0\nCopyright (C) 1999-2008 Novell Inc.",
    "systemctl": "systemd 257 (257.13-1~deb13u1)\n+PAM +AUDIT",
}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, programs: dict[str, str]) -> None:
    for name, output in programs.items():
        (folder / name).write_text(f"#!/bin/sh\nprintf '%s\\n' '{output}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_versions_of_a_debian_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, PROGRAMS)
    assert read_versions(ANSWER) == {
        "engine": "26.1.5+dfsg1",
        "containerd": "1.7.24~ds1",
        "runc": "1.1.15+ds1",
        "libseccomp": "2.6.0",
        "apparmor": "4.1.0",
        "systemd": "257 (257.13-1~deb13u1)",
        "kernel": os.uname().release,
    }


@pytest.mark.parametrize(
    ("name", "runtime"), [("crun", "crun"), ("io.containerd.runc.v2", "runc"), ("bulkhead", "runc"), ("my-crun", "crun")]
)
def test_default_runtime_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, runtime: str) -> None:
    install(tmp_path, monkeypatch, {})
    assert read_versions({"Components": [{"Name": name, "Version": "1.21"}]}) == {runtime: "1.21", "kernel": os.uname().release}


def test_what_cannot_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, {"systemctl": "no such line"})
    assert read_versions({}) == read_versions({"Version": None, "Components": None}) == {"kernel": os.uname().release}
