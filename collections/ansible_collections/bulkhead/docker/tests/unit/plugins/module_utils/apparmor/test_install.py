# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs and removes profiles on a host in a folder, with a replaced parser and kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import changes, install, policy
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.install import AppArmorConflict, AppArmorRequest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.parser import Parser, PolicyError
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import APPARMOR, Host, load_managed_profiles

from ...builders import write_files
from .machine import load, machine

TEXT = "include <tunables/global>\nprofile web {\n  /a r,\n}\n"
FILE = "/etc/apparmor.d/web"


@pytest.fixture(autouse=True)
def as_any_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fchown", lambda *_: None)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = machine(tmp_path)
    monkeypatch.setattr(changes, "unload_profile", unload)
    return host


def unload(host: Host, name: str) -> None:
    folder = host.path(f"/sys/kernel/security/apparmor/policy/profiles/{name}.3")
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()


def parser(host: Host) -> Parser:
    return Parser(str(host.path("/usr/sbin/apparmor_parser")))


def examine(host: Host, *entries: AppArmorRequest) -> list[install.AppArmorStep]:
    managed = load_managed_profiles(host, APPARMOR)
    return [install.plan_apparmor_step(host, parser(host), entry, managed) for entry in entries]


def apply(host: Host, *entries: AppArmorRequest) -> list[list[str]]:
    steps = examine(host, *entries)
    install.apply_apparmor_steps(host, parser(host), [step for step in steps if step.reasons])
    return [step.reasons for step in steps]


def everything(host: Host) -> dict[str, str]:
    """Return each file and link of the host."""
    found = {}
    for path in sorted(host.root.rglob("*")):
        if path.is_symlink() or path.is_file():
            found[str(path)] = os.readlink(path) if path.is_symlink() else path.read_text()
    return found


@pytest.mark.parametrize("mode", ["enforce", "complain"])
def test_install_and_again(host: Host, mode: str) -> None:
    entry = AppArmorRequest("web", TEXT, mode)
    assert apply(host, entry) == [["is new"]]
    kernel = policy.read_profile(host, "web")
    assert kernel and kernel["mode"] == mode
    assert host.read(FILE) == TEXT
    remembered = load_managed_profiles(host, APPARMOR)["web"]
    assert (remembered["mode"], remembered["hashes"]) == (mode, kernel["hashes"])
    before = everything(host)
    assert apply(host, entry) == [[]]
    assert everything(host) == before


def test_kill_mode_is_installed_once(host: Host) -> None:
    entry = AppArmorRequest("web", TEXT.replace("profile web", "profile web flags=(kill)"))
    assert apply(host, entry) == [["is new"]]
    kernel = policy.read_profile(host, "web")
    assert kernel and kernel["mode"] == "kill"
    assert apply(host, entry) == [[]]


def test_a_child_that_only_logs_is_rejected(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT.replace("}", "}\nprofile web//sub {\n}")
    monkeypatch.setattr(Parser, "check", lambda *_: None)
    monkeypatch.setattr(policy, "read_profile", lambda *_: {"mode": "enforce", "hash": None, "hashes": {"web": None, "web//sub": None}})
    host.path("/sys/kernel/security/apparmor/profiles").write_text("web (enforce)\nweb//sub (complain)\n")
    with pytest.raises(
        PolicyError, match="profile web//sub: was loaded in complain mode, not in enforce mode; correct the flags in its text"
    ):
        apply(host, AppArmorRequest("web", text, force=True))


def test_mode_changes_without_changing_the_text(host: Host) -> None:
    apply(host, AppArmorRequest("web", TEXT))
    apply(host, AppArmorRequest("web", TEXT, "complain"))
    assert host.path("/etc/apparmor.d/force-complain/web").is_symlink()
    apply(host, AppArmorRequest("web", TEXT))
    assert not host.path("/etc/apparmor.d/force-complain/web").is_symlink()
    assert host.read(FILE) == TEXT
    kernel = policy.read_profile(host, "web")
    assert kernel and kernel["mode"] == "enforce"


def test_removed_child_is_unloaded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(host, AppArmorRequest("web", TEXT))
    path = "/sys/kernel/security/apparmor/policy/profiles/web.3/profiles/sub.4"
    child = write_files(host, {f"{path}/name": "sub\n", f"{path}/raw_sha256": "0\n"}).path(path)
    removed = []

    def remove(host: Host, name: str) -> None:
        removed.append(name)
        for entry in child.iterdir():
            entry.unlink()
        child.rmdir()

    monkeypatch.setattr(changes, "unload_profile", remove)
    assert apply(host, AppArmorRequest("web", TEXT)) == [["is loaded with a policy that differs from its file"]]
    assert removed == ["web//sub"]


def test_drift_is_corrected(host: Host) -> None:
    entry = AppArmorRequest("web", TEXT)
    apply(host, entry)
    good = everything(host)
    load(host, "web", "enforce", b"enforce\nprofile web { /** rwx, }")
    assert apply(host, entry) == [["is loaded with a policy that differs from its file"]]
    host.path(FILE).write_text(TEXT.replace("/a", "/b"))
    assert apply(host, entry) == [["has another text"]]
    host.path("/etc/apparmor.d/disable/web").symlink_to(FILE)
    assert apply(host, entry) == [["is not loaded at boot because of /etc/apparmor.d/disable"]]
    unload(host, "web")
    assert apply(host, entry) == [["is not loaded"]]
    host.path(FILE).unlink()
    assert apply(host, entry) == [["has no file"]]
    # apart from line ends, which differ by the writer of the "kernel" files
    assert {path: text.strip() for path, text in everything(host).items()} == {path: text.strip() for path, text in good.items()}


def test_syntax_error_leaves_everything_unchanged(host: Host) -> None:
    before = everything(host)
    with pytest.raises(PolicyError, match="profile bad, line 2: syntax error"):
        apply(host, AppArmorRequest("web", TEXT), AppArmorRequest("bad", "profile bad {\nsyntax error\n}\n"))
    assert everything(host) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profile late {\n refused by the kernel\n}\n", "Unable to replace"),
        ("profile late flags=(complain) {\n}\n", "was loaded in complain mode, not in enforce mode"),
    ],
)
def test_late_failure_restores_everything(host: Host, text: str, message: str) -> None:
    apply(host, AppArmorRequest("old", TEXT.replace("web", "old"), "complain"), AppArmorRequest("web", TEXT))
    before = everything(host)
    changed = (
        AppArmorRequest("old", state_of("old")),
        AppArmorRequest("web", TEXT.replace("/a", "/b")),
        AppArmorRequest("new", state_of("new")),
        AppArmorRequest("late", text),
    )
    with pytest.raises(PolicyError, match=message) as caught:
        apply(host, *changed)
    assert "all profiles are as before" in str(caught.value)
    assert everything(host) == before


def state_of(name: str) -> str:
    return TEXT.replace("web", name).replace("/a", "/c")


def test_unmanaged_file_is_rejected_and_kept_with_force(host: Host) -> None:
    host.path(FILE).write_text("profile web {\n}\n")
    with pytest.raises(AppArmorConflict, match="is unmanaged and has another text"):
        examine(host, AppArmorRequest("web", TEXT))
    apply(host, AppArmorRequest("web", TEXT, force=True))
    assert host.read("/var/lib/bulkhead/apparmor-replaced/web") == "profile web {\n}\n"
    apply(host, AppArmorRequest("web", TEXT, "complain"))
    apply(host, AppArmorRequest("web", present=False))
    assert host.read(FILE) == "profile web {\n}\n"
    kernel = policy.read_profile(host, "web")
    assert kernel and kernel["mode"] == "enforce"
    assert load_managed_profiles(host, APPARMOR) == {}


@pytest.mark.parametrize(("kind", "mode"), [("disable", None), ("force-complain", "complain")])
def test_unmanaged_file_is_restored_with_its_link(host: Host, kind: str, mode: str | None) -> None:
    host.path(FILE).write_text("profile web {\n}\n")
    link = host.path(f"/etc/apparmor.d/{kind}/web")
    link.symlink_to(FILE)
    apply(host, AppArmorRequest("web", TEXT, force=True))
    apply(host, AppArmorRequest("web", TEXT.replace("/a", "/b")))
    assert not link.is_symlink()
    apply(host, AppArmorRequest("web", present=False))
    assert host.read(FILE) == "profile web {\n}\n" and os.readlink(link) == FILE
    kernel = policy.read_profile(host, "web")
    assert (kernel and kernel["mode"]) == mode
    assert load_managed_profiles(host, APPARMOR) == {}


@pytest.mark.parametrize("dies_at", ["write", "load"])
def test_interrupted_run_keeps_the_unmanaged_file(host: Host, monkeypatch: pytest.MonkeyPatch, dies_at: str) -> None:
    class Death(BaseException):
        pass

    def die(*_: object) -> None:
        raise Death

    host.path(FILE).write_text("profile web {\n}\n")
    with monkeypatch.context() as patch, pytest.raises(Death):
        if dies_at == "load":
            patch.setattr(Parser, "load", die)
        else:
            patch.setattr(install, "_install", die)
        apply(host, AppArmorRequest("web", TEXT, force=True))
    assert (host.read(FILE) == TEXT) == (dies_at == "load")
    if dies_at == "write":
        host.path(FILE).write_text("profile web {\n /changed r,\n}\n")
    kept = "profile web {\n /changed r,\n}\n" if dies_at == "write" else "profile web {\n}\n"
    assert apply(host, AppArmorRequest("web", TEXT, force=True))[0]
    assert load_managed_profiles(host, APPARMOR)["web"]["sha256"]
    apply(host, AppArmorRequest("web", present=False))
    assert host.read(FILE) == kept
    assert load_managed_profiles(host, APPARMOR) == {}


def test_profile_of_an_interrupted_run_can_be_removed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Parser, "load", die)
        apply(host, AppArmorRequest("web", TEXT))
    assert host.read(FILE) == TEXT
    apply(host, AppArmorRequest("web", present=False))
    assert host.read(FILE) is None
    assert load_managed_profiles(host, APPARMOR) == {}


def test_unmanaged_file_of_equal_text_becomes_managed(host: Host) -> None:
    host.path(FILE).write_text(TEXT)
    parser(host).load(str(host.path(FILE)))
    assert apply(host, AppArmorRequest("web", TEXT)) == [["exists and becomes managed"]]
    assert "web" in load_managed_profiles(host, APPARMOR)


def test_unmanaged_policy_without_a_file_is_rejected(host: Host) -> None:
    load(host, "web", "enforce", b"x")
    with pytest.raises(AppArmorConflict, match="is loaded, but not from"):
        examine(host, AppArmorRequest("web", TEXT))


def test_remove(host: Host) -> None:
    bare = everything(host)
    apply(host, AppArmorRequest("web", TEXT, "complain"))
    write_files(host, {"/var/cache/apparmor/0a1b.0/web": "compiled"})
    assert apply(host, AppArmorRequest("web", present=False)) == [["is no longer desired"]]
    assert policy.read_profile(host, "web") is None
    assert everything(host) == bare
    assert apply(host, AppArmorRequest("web", present=False)) == [[]]


def test_unmanaged_profile_is_not_removed(host: Host) -> None:
    host.path(FILE).write_text(TEXT)
    with pytest.raises(AppArmorConflict, match="is unmanaged and not removed"):
        examine(host, AppArmorRequest("web", present=False))
    apply(host, AppArmorRequest("web", present=False, force=True))
    assert host.read(FILE) is None


def test_profile_in_use_is_not_removed(host: Host) -> None:
    apply(host, AppArmorRequest("web", TEXT))
    write_files(host, {"/proc/12/attr/apparmor/current": "web (enforce)\n", "/proc/12/comm": "nginx\n"})
    with pytest.raises(AppArmorConflict, match=r"is in use by nginx \(pid 12\), which would run unconfined without it"):
        examine(host, AppArmorRequest("web", present=False))
    apply(host, AppArmorRequest("web", present=False, force=True))
    assert policy.read_profile(host, "web") is None


def test_without_a_parser(host: Host) -> None:
    with pytest.raises(AppArmorConflict, match="install the package apparmor"):
        install.plan_apparmor_step(host, None, AppArmorRequest("web", TEXT), {})
