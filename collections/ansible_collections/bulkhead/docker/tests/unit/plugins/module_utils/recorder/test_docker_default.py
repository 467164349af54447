# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of docker-default. That they compile to what engines load is tried on virtual machines (molecule)."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.docker_default import list_candidates

from ...builders import write_files
from ..apparmor.machine import machine


def test_releases_differ(tmp_path: Path) -> None:
    texts = list(list_candidates(machine(tmp_path)))
    assert len(texts) == len(set(texts)) == 5
    assert ['peer="runc"' in text for text in texts] == [True, True, False, False, False]
    assert ["powercap" in text for text in texts] == [True, True, True, False, False]
    assert ["deny network alg," in text for text in texts] == [False, True, False, False, False]
    assert all(text.endswith("}\n") and "profile docker-default flags=(attach_disconnected,mediate_deleted) {" in text for text in texts)


def test_only_files_that_exist_are_included(tmp_path: Path) -> None:
    host = machine(tmp_path)
    assert "include <tunables/global>" in next(list_candidates(host))
    host.path("/etc/apparmor.d/tunables/global").unlink()
    assert "@{PROC}=/proc/\n" in next(list_candidates(host))
    assert not any("abi <" in text or "abstractions/base" in text for text in list_candidates(host))
    write_files(host, {"/etc/apparmor.d/abi/3.0": "", "/etc/apparmor.d/abstractions/base": ""})
    texts = list(list_candidates(host))
    assert all("include <abstractions/base>" in text for text in texts)
    assert [text.startswith("abi <abi/3.0>,") for text in texts] == [False, True, False, False, False]


def test_the_label_of_the_engine(tmp_path: Path) -> None:
    host = machine(tmp_path)
    write_files(host, {"/run/docker.pid": "7\n", "/proc/7/attr/current": "dockerd (enforce)\n"})
    texts = list(list_candidates(host))
    assert len(texts) == 10
    assert ['peer="dockerd"' in text for text in texts[:2]] == [True, False]
