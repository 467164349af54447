# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import install
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile

from ...builders import write_files

FOLDER = "/etc/docker/seccomp"
WEB, GENERAL = format_profile(compose_profile(PRESETS["web"])), format_profile(compose_profile(PRESETS["general"]))


@pytest.fixture
def host(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    host.path("/proc").mkdir()
    monkeypatch.setattr(
        install, "_has_loose_permissions", lambda path: bool(path.stat().st_mode & 0o022)
    )  # the owner is who runs the tests
    return host


def present(name: str = "web", content: str = WEB, **more: Any) -> dict[str, Any]:
    return {"name": name, "content": content, "state": "present", "force": False, **more}


def absent(name: str = "web", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": "absent", "force": False, **more}


def run(host: Host, *profiles: dict[str, Any]) -> list[str]:
    steps = install.plan_seccomp_steps(host, profiles, FOLDER)
    install.apply_seccomp_steps(host, steps)
    return [step.reason for step in steps]


def test_install_change_and_remove(host: Host) -> None:
    path = host.path(f"{FOLDER}/web.json")
    assert run(host, present()) == ["is new"]
    assert path.read_text() == WEB and path.stat().st_mode & 0o777 == 0o644
    assert run(host, present()) == [""]
    assert run(host, present(content=GENERAL)) == ["has another text"]
    path.chmod(0o666)
    assert run(host, present(content=GENERAL)) == ["is writable by users other than root"]
    assert path.stat().st_mode & 0o777 == 0o644
    assert run(host, absent()) == ["would be removed"]
    assert not path.parent.exists() and state.load(host, "seccomp") == {}
    assert run(host, absent()) == [""]


def test_one_bad_profile_leaves_everything_unchanged(host: Host) -> None:
    with pytest.raises(install.SeccompInstallError) as caught:
        run(host, present(), present("bad", "{}"), present("a/b"), present())
    assert [p.split(":")[0] for p in caught.value.problems][:1] == [f"{FOLDER}/bad.json"]
    assert any("is not a file name" in p for p in caught.value.problems)
    assert any("is listed twice" in p for p in caught.value.problems)
    assert not host.path(FOLDER).exists()


def test_unmanaged_file_is_rejected_or_kept_and_restored(host: Host) -> None:
    path = host.path(f"{FOLDER}/web.json")
    write_files(host, {f"{FOLDER}/web.json": "{}"})
    with pytest.raises(install.SeccompInstallError, match="is unmanaged and has another text"):
        run(host, present())
    with pytest.raises(install.SeccompInstallError, match="is unmanaged and would be removed"):
        run(host, absent())
    run(host, present(force=True))
    assert path.read_text() == WEB
    run(host, present(content=GENERAL))
    run(host, absent())
    assert path.read_text() == "{}"


def test_permissive_profile_must_be_allowed(host: Host) -> None:
    text = '{"defaultAction": "SCMP_ACT_LOG"}'
    with pytest.raises(install.SeccompInstallError, match="allows every call"):
        run(host, present(content=text))
    assert run(host, present(content=text, permissive=True)) == ["is new"]


@pytest.mark.parametrize("how", ["daemon.json", "flag", "other config file", "damaged daemon.json"])
def test_file_that_the_engine_names_stays(host: Host, how: str) -> None:
    run(host, present())
    path = f"{FOLDER}/web.json"
    command = f"dockerd\0--seccomp-profile={path}\0" if how == "flag" else "dockerd\0--config-file=/etc/other.json\0"
    files = {"comm": "dockerd\n", "status": "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n", "cmdline": command}
    process = write_files(host.path("/proc/7"), files).root
    text = json.dumps({"seccomp-profile": path})
    host.path("/etc/docker/daemon.json").write_text({"daemon.json": text, "damaged daemon.json": text + "}"}.get(how, "{}"))
    host.path("/etc/other.json").write_text(text if how == "other config file" else "{}")
    (step,) = install.plan_seccomp_steps(host, [absent()], FOLDER)
    assert step.postponed
    install.apply_seccomp_steps(host, [step])
    assert host.path(path).exists() and path in state.load(host, "seccomp")["profiles"]
    (process / "cmdline").write_text("dockerd\0")
    host.path("/etc/docker/daemon.json").write_text("{}")
    assert run(host, absent()) == ["would be removed"]


@pytest.mark.parametrize(
    ("how", "stays"), [("running", True), ("remembered", True), ("neither", False), ("unreadable", True), ("flag", True), ("xdg", True)]
)
def test_file_that_a_rootless_engine_names_stays(host: Host, how: str, stays: bool) -> None:
    run(host, present())
    path, me = f"{FOLDER}/web.json", os.geteuid()
    host.path("/etc/passwd").write_text(f"u:x:{me}:{os.getegid()}::/home/u:/bin/sh\n")
    folder = host.path("/home/u/.config/docker")
    folder.mkdir(parents=True)
    (folder / "daemon.json").write_text(json.dumps({"seccomp-profile": path} if how not in ("unreadable", "flag", "xdg") else {}))
    if how == "unreadable":
        (folder / "daemon.json").unlink()
        (folder / "daemon.json").symlink_to("elsewhere")
    if how == "remembered":
        state.save(host, "daemon-u", {"files": {}})
    elif how != "neither":
        command = f"dockerd\0--seccomp-profile\0{path}\0" if how == "flag" else "dockerd\0"
        status = f"Uid:\t{me}\t{me}\t{me}\t{me}\nGid:\t0\t0\t0\t0\n"
        write_files(host.path("/proc/7"), {"comm": "dockerd\n", "status": status, "uid_map": "0 1000 1\n", "cmdline": command})
    if how == "xdg":
        text = json.dumps({"seccomp-profile": path})
        write_files(host, {"/home/u/conf/docker/daemon.json": text, "/proc/7/environ": "XDG_CONFIG_HOME=/home/u/conf\0"})
    (step,) = install.plan_seccomp_steps(host, [absent()], FOLDER)
    assert step.postponed is stays


def test_failure_of_one_file_restores_the_others(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    run(host, present("one"))
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        if str(target).endswith("two.json"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr("os.replace", replace)
    with pytest.raises(OSError, match="No space left"):
        run(host, present("one", GENERAL), present("two"))
    assert host.path(f"{FOLDER}/one.json").read_text() == WEB
    assert not host.path(f"{FOLDER}/two.json").exists()
    assert list(state.load(host, "seccomp")["profiles"]) == [f"{FOLDER}/one.json"]


@pytest.mark.parametrize("unmanaged", [None, GENERAL])
def test_file_of_an_interrupted_run_is_managed(host: Host, monkeypatch: pytest.MonkeyPatch, unmanaged: str | None) -> None:
    path = host.path(f"{FOLDER}/web.json")
    if unmanaged:
        write_files(host, {f"{FOLDER}/web.json": unmanaged})
    real = install._write_file

    def put(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(install, "_write_file", put)
        run(host, present(force=True))
    assert path.read_text() == WEB
    run(host, absent())
    assert (path.read_text() if unmanaged else path.exists()) == (unmanaged or False)


def test_concurrent_run_is_an_error(host: Host) -> None:
    with state.lock_host(host), pytest.raises(BlockingIOError):
        run(host, present())
