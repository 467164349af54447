# SPDX-License-Identifier: GPL-3.0-or-later
"""Observation and evidence of AppArmor on a host in a folder; nothing is compiled if nothing has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import install, parser
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import APPARMOR, Host, load_managed_profiles
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.apparmor import observe as apparmor
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.apparmor.gather import gather_evidence
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.reload import record_profile

from ...builders import write_files
from ..apparmor.machine import load, machine

TEXT = "include <tunables/global>\nprofile web {\n  /a r,\n}\n"
EXPECT = {"profiles": [{"name": "web", "path": "/etc/apparmor.d/web", "mode": "enforce", "sha256": "a"}]}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    host = machine(tmp_path, files={"foreign": "profile foreign {\n}\n"})
    host.path("/sys/kernel/security/apparmor/profiles").write_text("docker-default (enforce)\nweb (enforce)\nweb//sub (complain)\n")
    program = parser.Parser(str(host.path("/usr/sbin/apparmor_parser")))
    install.apply_apparmor_steps(host, program, [install.plan_apparmor_step(host, program, install.AppArmorRequest("web", TEXT), {})])
    return host


def observe(host: Host) -> dict[str, Any]:
    """Return the state with what planning adds."""
    found = apparmor.observe(host)
    apparmor.add_managed(host, found)
    return found


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the files that were compiled."""
    files: list[str] = []
    compile = parser.Compiler.compile

    def noted(self: parser.Compiler, file: str) -> bytes:
        files.append(os.path.basename(file))
        return compile(self, file)

    monkeypatch.setattr(parser.Compiler, "compile", noted)
    return files


def test_nothing_changed(host: Host, compiled: list[str]) -> None:
    seen = observe(host)
    assert seen["managed"]["web"]["current"] is True
    assert seen["managed"]["web"]["text"] == TEXT
    assert sorted(seen["files"]) == ["foreign", "web"]
    assert (seen["enabled"], seen["error"], compiled) == (True, None, [])
    json.dumps(seen)


def test_recording_changes_nothing(host: Host, compiled: list[str]) -> None:
    before = gather_evidence(host, None, EXPECT)["profiles"]["web"]
    assert record_profile(host, "web").problem == ""
    compiled.clear()
    seen = observe(host)
    assert (seen["recording"], seen["managed"]["web"]["current"], compiled) == (["web"], True, [])
    found = gather_evidence(host, None, EXPECT)["profiles"]["web"]
    assert (found["agrees"], found["original"], before["original"]) == (True, before["hash"], None)
    step = install.plan_apparmor_step(
        host, parser.Parser.find_installed(host), install.AppArmorRequest("web", TEXT), load_managed_profiles(host, APPARMOR)
    )
    assert step.reasons == []


def test_a_profile_loosened_while_recording_is_found(host: Host) -> None:
    record_profile(host, "web")
    load(host, "web", "enforce", host.path("/var/lib/bulkhead/recorder/profiles/web.recording").read_bytes() + b"# looser\n")
    seen = observe(host)
    assert (seen["recording"], seen["managed"]["web"]["current"]) == ([], False)
    assert gather_evidence(host, None, EXPECT)["profiles"]["web"]["agrees"] is False


def test_a_file_changed_while_recording_is_found(host: Host) -> None:
    record_profile(host, "web")
    host.path("/etc/apparmor.d/web").write_text(TEXT.replace("/a r", "/** rw"))
    seen = observe(host)
    assert (seen["recording"], seen["managed"]["web"]["current"]) == (["web"], False)
    assert gather_evidence(host, None, EXPECT)["profiles"]["web"]["agrees"] is False


def test_a_damaged_memory_of_the_recorder_is_unknown(host: Host) -> None:
    record_profile(host, "web")
    host.path("/var/lib/bulkhead/recorder/profiles/loaded.json").write_text("{")
    assert "not valid JSON" in observe(host)["error"]
    assert "not valid JSON" in gather_evidence(host, None, EXPECT)["error"]


@pytest.mark.parametrize("path", ["tunables/global", "web"])
def test_change_without_effect_is_current(host: Host, compiled: list[str], path: str) -> None:
    """The replaced parser ignores includes, like the real one comments; only the hash decides."""
    file = host.path(f"/etc/apparmor.d/{path}")
    file.write_text(file.read_text() if path == "web" else "# other\n")
    assert observe(host)["managed"]["web"]["current"] is True
    assert compiled == ([] if path == "web" else ["web"])


def test_edited_file(host: Host, compiled: list[str]) -> None:
    host.path("/etc/apparmor.d/web").write_text(TEXT.replace("/a", "/b"))
    assert observe(host)["managed"]["web"]["current"] is False
    assert compiled == ["web"]


def test_other_policy_in_the_kernel(host: Host) -> None:
    load(host, "web", "complain", b"other")
    seen = observe(host)["managed"]["web"]
    assert (seen["mode"], seen["current"]) == ("complain", False)


def test_file_that_no_longer_compiles(host: Host) -> None:
    host.path("/etc/apparmor.d/web").write_text("profile web {\n syntax error\n}\n")
    seen = observe(host)["managed"]["web"]
    assert (seen["current"], seen["error"]) == (None, "profile web, line 2: syntax error, unexpected TOK_ID")


def test_host_without_apparmor(tmp_path: Path) -> None:
    seen = observe(Host(tmp_path))
    assert (seen["enabled"], seen["parser"], seen["at_boot"], seen["managed"], seen["error"]) == (False, None, None, {}, None)
    assert gather_evidence(Host(tmp_path), None, EXPECT) == {"profiles": {}, "error": None}


def test_damaged_state_file(host: Host) -> None:
    host.path("/var/lib/bulkhead/apparmor.json").write_text("{")
    assert "apparmor.json: not valid JSON" in observe(host)["error"]


def test_evidence(host: Host, compiled: list[str]) -> None:
    evidence = gather_evidence(host, None, EXPECT)["profiles"]["web"]
    assert (evidence["mode"], evidence["agrees"], evidence["error"], compiled) == ("enforce", True, None, ["web"])
    assert evidence["children"] == {"web//sub": "complain"}
    assert evidence["hash"].startswith("sha256:")


def test_evidence_of_other_policy(host: Host) -> None:
    load(host, "web", "enforce", b"other")
    assert gather_evidence(host, None, EXPECT)["profiles"]["web"]["agrees"] is False


def test_evidence_without_file_and_without_policy(host: Host) -> None:
    host.path("/etc/apparmor.d/web").unlink()
    evidence = gather_evidence(host, None, EXPECT)["profiles"]["web"]
    assert (evidence["sha256"], evidence["agrees"]) == (None, None)
    absent = {"profiles": [{"name": "none", "path": "/etc/apparmor.d/none", "mode": "enforce", "sha256": "a"}]}
    evidence = gather_evidence(host, None, absent)["profiles"]["none"]
    assert (evidence["mode"], evidence["hash"]) == (None, None)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        ("/sys/kernel/security/apparmor/policy/profiles/web.3/raw_sha256", "the kernel keeps no hash"),
        ("/usr/sbin/apparmor_parser", "apparmor_parser does not exist"),
    ],
)
def test_missing_evidence_is_explained(host: Host, break_it: str, message: str) -> None:
    host.path(break_it).unlink()
    evidence = gather_evidence(host, None, EXPECT)["profiles"]["web"]
    assert evidence["agrees"] is None
    assert message in evidence["error"]


def test_securityfs_that_is_not_mounted(host: Host) -> None:
    host.path("/sys/kernel/security/apparmor").rename(host.path("/sys/kernel/elsewhere"))
    seen = observe(host)
    assert (seen["enabled"], seen["securityfs"], seen["modes"], seen["error"]) == (True, False, {}, None)
    assert "securityfs is not mounted" in gather_evidence(host, None, EXPECT)["error"]


def test_large_file_does_not_hide_the_others(host: Host) -> None:
    with open(host.path("/etc/apparmor.d/large"), "wb") as file:
        file.truncate(40 << 20)
    assert sorted(observe(host)["files"]) == ["foreign", "large", "web"]


@pytest.mark.parametrize(
    ("text", "found"), [("# Complain\nwrite-cache\n", False), ("quiet\n  Complain\n", True), ("Complainant\n", False), (None, False)]
)
def test_options_of_the_parser(host: Host, text: str | None, found: bool) -> None:
    if text is not None:
        write_files(host, {"/etc/apparmor/parser.conf": text})
    assert observe(host)["complain_option"] is found
