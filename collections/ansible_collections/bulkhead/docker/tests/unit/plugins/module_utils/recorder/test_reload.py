# SPDX-License-Identifier: GPL-3.0-or-later
"""Reloads profiles on a host in a folder, with a replaced parser and kernel."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import policy
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.changes import read_raw_data
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.parser import Parser
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import docker_default, reload
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.reload import (
    Reload,
    find_replaced,
    record_profile,
    refresh_profiles,
    restore_profiles,
)

from ..apparmor.machine import load, machine

TEXT = "include <tunables/global>\nprofile web {\n  /a r,\n  deny /b w,\n}\n"


@pytest.fixture(autouse=True)
def as_any_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fchown", lambda *_: None)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = machine(tmp_path, files={"web": TEXT})
    parser(host).load(str(host.path("/etc/apparmor.d/web")))
    return host


def parser(host: Host) -> Parser:
    return Parser(str(host.path("/usr/sbin/apparmor_parser")))


def kept(host: Host) -> list[str]:
    folder = host.path(reload.FOLDER)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_profile_is_recorded_and_restored(host: Host) -> None:
    original = read_raw_data(host, "web")
    assert record_profile(host, "web") == Reload("web", "")
    [loaded] = read_raw_data(host, "web")
    assert b"audit /a r," in loaded
    assert b"\n  deny /b w," in loaded
    folder = host.path(reload.FOLDER)
    assert [(folder / "web.original").read_bytes()] == original
    assert (folder / "web.recording").read_bytes() == loaded
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    assert restore_profiles(host) == []
    assert read_raw_data(host, "web") == original
    assert kept(host) == []
    assert restore_profiles(host) == []


def test_the_original_data_count_as_loaded(host: Host) -> None:
    before = policy.read_profile(host, "web")
    record_profile(host, "web")
    now = policy.read_profile(host, "web")
    assert before and now
    assert (before["recording"], now["recording"]) == (False, True)
    assert now["hashes"] == before["hashes"]
    assert now["hash"] != before["hash"]
    assert find_replaced(host) == []


def test_a_profile_that_is_recorded_stays(host: Host) -> None:
    record_profile(host, "web")
    loaded = read_raw_data(host, "web")
    original = host.path(f"{reload.FOLDER}/web.original").read_bytes()
    host.path("/etc/apparmor.d/web").write_text("another text")
    assert record_profile(host, "web") == Reload("web", "")
    assert (read_raw_data(host, "web"), host.path(f"{reload.FOLDER}/web.original").read_bytes()) == (loaded, original)


def test_a_profile_that_is_loosened_by_hand_is_seen(host: Host) -> None:
    record_profile(host, "web")
    [loaded] = read_raw_data(host, "web")
    load(host, "web", "enforce", loaded.replace(b"deny /b w,", b"audit /b w,"))
    found = policy.read_profile(host, "web")
    assert found
    assert found["recording"] is False
    assert policy.is_same_policy(found["hashes"], parser(host).compile(str(host.path("/etc/apparmor.d/web")))) is False
    assert find_replaced(host) == ["web"]
    changed = read_raw_data(host, "web")
    assert "its rules are unknown" in record_profile(host, "web").problem
    assert (find_replaced(host), kept(host)) == ([], [])
    assert restore_profiles(host) == []
    assert read_raw_data(host, "web") == changed


def test_a_profile_that_was_loaded_anew_is_recorded_again(host: Host) -> None:
    record_profile(host, "web")
    parser(host).load(str(host.path("/etc/apparmor.d/web")))
    assert find_replaced(host) == ["web"]
    assert record_profile(host, "web").problem == ""
    assert find_replaced(host) == []


def test_a_profile_that_others_replaced_is_not_restored(host: Host) -> None:
    record_profile(host, "web")
    host.path("/etc/apparmor.d/web").write_text(TEXT.replace("/a r", "/new r"))
    parser(host).load(str(host.path("/etc/apparmor.d/web")))
    loaded = read_raw_data(host, "web")
    assert restore_profiles(host) == []
    assert read_raw_data(host, "web") == loaded
    assert kept(host) == []


def test_an_interrupted_run_is_undone_or_repeated(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    original = read_raw_data(host, "web")
    with monkeypatch.context() as patched:
        patched.setattr(Parser, "load_compiled", stop)
        with pytest.raises(KeyboardInterrupt):
            record_profile(host, "web")
    found = policy.read_profile(host, "web")
    assert found
    assert found["recording"] is False
    assert find_replaced(host) == ["web"]
    assert record_profile(host, "web").problem == ""
    assert restore_profiles(host) == []
    assert read_raw_data(host, "web") == original


def test_data_that_the_kernel_rejects_change_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    original = read_raw_data(host, "web")
    monkeypatch.setattr(reload, "add_audit", lambda text: text.replace("/a", "refused by the kernel"))
    problem = record_profile(host, "web").problem
    assert problem.startswith("profile web is not recorded: ")
    assert problem.endswith("Permission denied; its original policy is loaded")
    assert read_raw_data(host, "web") == original
    assert kept(host) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other", "profile other is not recorded, because it is not loaded"),
        ("../web", "profile ../web is not recorded, because it is not loaded"),
        ("loose", "profile loose is not recorded, because it is in complain mode; load it in enforce mode"),
        ("no-file", "profile no-file is not recorded, because the loaded policy is not /etc/apparmor.d/no-file; its rules are unknown"),
        (
            "docker-default",
            "profile docker-default is not recorded, because the loaded policy is an unknown version of docker-default; its rules are unknown",
        ),
    ],
)
def test_what_is_not_recorded(host: Host, name: str, text: str) -> None:
    load(host, "loose", "complain", b"x")
    load(host, "no-file", "enforce", b"x")
    load(host, "docker-default", "enforce", b"x")
    assert record_profile(host, name) == Reload(name, text)
    assert kept(host) == []


def test_a_host_without_what_is_needed(host: Host) -> None:
    host.path("/usr/sbin/apparmor_parser").unlink()
    assert "install the package apparmor" in record_profile(host, "web").problem
    folder = host.path("/sys/kernel/security/apparmor/policy/profiles/web.3")
    (folder / "raw_data").unlink()
    (folder / "raw_sha256").unlink()
    parser_file = host.path("/usr/sbin/apparmor_parser")
    parser_file.write_text("")
    assert "apparmor.export_binary" in record_profile(host, "web").problem


@pytest.mark.parametrize("number", range(5))
def test_docker_default_is_recognised_by_what_it_compiles_to(host: Host, number: int) -> None:
    text = list(docker_default.list_candidates(host))[number]
    load(host, "docker-default", "enforce", parser(host).compile_text("docker-default", text))
    assert record_profile(host, "docker-default").problem == ""
    assert b"audit file,\naudit umount," in read_raw_data(host, "docker-default")[0]


@pytest.mark.parametrize(
    ("release", "differs"), [("6.1.0-49-amd64", True), ("6.12.118+deb13-amd64", True), ("6.13.1", False), ("7.2.12", False)]
)
def test_data_are_loaded_anew_before_linux_6_13(host: Host, monkeypatch: pytest.MonkeyPatch, release: str, differs: bool) -> None:
    monkeypatch.setattr(reload, "_DFA_NAMES", (b"audit /a", b"audit /A"))  # the replaced parser makes no DFA
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    original = read_raw_data(host, "web")
    record_profile(host, "web")
    first = read_raw_data(host, "web")
    assert refresh_profiles(host) == []
    second = read_raw_data(host, "web")
    assert (second != first) is differs
    found = policy.read_profile(host, "web")
    assert found
    assert found["recording"] is True
    assert (find_replaced(host), record_profile(host, "web").problem) == ([], "")
    assert refresh_profiles(host) == []
    assert read_raw_data(host, "web") == first
    refresh_profiles(host)
    assert restore_profiles(host) == []
    assert read_raw_data(host, "web") == original


def test_only_the_recorders_data_are_loaded_anew(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="6.12.1"))
    record_profile(host, "web")
    parser(host).load(str(host.path("/etc/apparmor.d/web")))
    loaded = read_raw_data(host, "web")
    assert refresh_profiles(host) == []
    assert read_raw_data(host, "web") == loaded
    record_profile(host, "web")
    loaded = read_raw_data(host, "web")
    host.path(f"{reload.FOLDER}/web.recording").write_text("looser")
    [problem] = refresh_profiles(host)
    assert problem.startswith("capabilities of containers under web can be missing: ")
    assert problem.endswith("web.recording is damaged")
    assert read_raw_data(host, "web") == loaded


def test_a_damaged_copy_is_not_loaded(host: Host) -> None:
    record_profile(host, "web")
    loaded = read_raw_data(host, "web")
    host.path(f"{reload.FOLDER}/web.original").write_bytes(b"x")
    [problem] = restore_profiles(host)
    assert problem.startswith("profile web stays loaded with audit rules: ")
    assert problem.endswith("web.original is damaged; load web from its file, or restart the engine")
    assert read_raw_data(host, "web") == loaded


def test_a_damaged_memory_is_a_problem(host: Host) -> None:
    record_profile(host, "web")
    host.path(f"{reload.FOLDER}/loaded.json").write_text("{")
    assert "not valid JSON" in restore_profiles(host)[0]
    assert "not valid JSON" in record_profile(host, "web").problem
