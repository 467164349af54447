# SPDX-License-Identifier: GPL-3.0-or-later
"""The program in one file, its unit, and what a change of settings needs."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.systemctl import ServiceError
from ansible_collections.bulkhead.docker.plugins.module_utils.host import archive
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import folders, install, obstacles

from ...builders import write_files

SETTINGS = {"calls": True, "access": True, "users": [], "socket": "/var/run/docker.sock", "version": "v1"}


class FakeManager:
    """Answers as systemctl does, and notes the commands."""

    def __init__(self, active: bool = True, fails: str = "") -> None:
        self.active, self.fails = active, fails
        self.commands: list[str] = []

    def __call__(self, *arguments: str, timeout: float = 0) -> str:
        self.commands.append(" ".join(arguments))
        if self.fails and arguments[0] == self.fails:
            raise ServiceError(f"systemctl {self.fails}: it failed")
        return f"ActiveState={'activating' if self.active else 'failed'}\nUnitFileState=enabled\n" if arguments[0] == "show" else ""


def test_the_program_runs_alone(tmp_path: Path) -> None:
    content, version = install.build_program_file()
    path = tmp_path / "recorder.pyz"
    path.write_bytes(content)
    done = subprocess.run([sys.executable, "-I", str(path), "dance"], capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stderr) == (2, "'dance' is not a command of the recorder; write run, collect or stop\n")
    assert version in (install.build_program_file()[1], version)
    assert install.build_program_file()[0] == content


def test_the_program_has_every_module_that_it_imports() -> None:
    """All that the modules of the archive import of the collection, as Python sees it after the import."""
    names = set(zipfile.ZipFile(io.BytesIO(install.build_program_file()[0])).namelist())
    above = install.__name__.rpartition(".recorder.")[0]
    script = f"import sys, {above}.recorder.program; print(*[n for n in sys.modules if n.startswith('{above}.')])"
    root = str(Path(str(importlib.import_module(above).__path__[0])).parents[4])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONPATH": root})
    imported = {name.removeprefix(f"{above}.").replace(".", "/") for name in done.stdout.split()}
    missing = [name for name in imported if not {f"bulkhead/{name}.py", f"bulkhead/{name}/__init__.py"} & names]
    assert imported
    assert missing == []


def test_the_version_follows_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    before = install.build_program_file()[1]
    sources = archive.collect_sources(install.START)
    monkeypatch.setattr(archive, "collect_sources", lambda start: {**sources, "bulkhead/recorder/store.py": "changed"})
    assert install.build_program_file()[1] != before


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from ..host.root import STATE_DIR, Host", [("host.root", ["STATE_DIR", "Host"])]),
        ("from . import a, b as c", [("recorder", ["a", "b"])]),
        ("from .store import (\n    ACCESS,\n    CALLS,\n)", [("recorder.store", ["ACCESS", "CALLS"])]),
        ("    from .. import capabilities  # late", [("", ["capabilities"])]),
        ("import json\nfrom typing import Any", []),
    ],
)
def test_imports_are_found(text: str, found: list[tuple[str, list[str]]]) -> None:
    assert archive.find_imports("recorder.program", text) == found


def test_an_installation_is_complete(host: Host) -> None:
    host.path("/etc/systemd/system").mkdir(parents=True)
    manager = FakeManager()
    assert install.find_changes(host, SETTINGS, manager) == [
        "install /var/lib/bulkhead/recorder/recorder.pyz and bulkhead-recorder.service",
        "start bulkhead-recorder.service, which arms the kernel",
    ]
    install.install_recorder(host, SETTINGS, b"PK\x03\x04\xff\x00", manager)
    assert manager.commands == ["daemon-reload", "enable bulkhead-recorder.service", "restart bulkhead-recorder.service"]
    assert host.path(folders.PROGRAM).read_bytes() == b"PK\x03\x04\xff\x00"
    assert host.path(folders.FOLDER).stat().st_mode & 0o777 == 0o700
    assert install.read_recorder_settings(host) == SETTINGS
    assert install.find_changes(host, SETTINGS, manager) == []


@pytest.mark.parametrize(
    ("changed", "active", "expected"),
    [
        ({}, False, ["restart bulkhead-recorder.service"]),
        (
            {"version": "v2"},
            True,
            ["replace /var/lib/bulkhead/recorder/recorder.pyz by version v2", "restart bulkhead-recorder.service"],
        ),
        (
            {"users": ["ci"], "calls": False},
            True,
            ["change calls, users in /var/lib/bulkhead/recorder/settings.json", "restart bulkhead-recorder.service"],
        ),
    ],
)
def test_a_difference_restarts_the_recorder(host: Host, changed: dict[str, Any], active: bool, expected: list[str]) -> None:
    host.path("/etc/systemd/system").mkdir(parents=True)
    install.install_recorder(host, SETTINGS, b"PK", FakeManager())
    assert install.find_changes(host, {**SETTINGS, **changed}, FakeManager(active)) == expected


def test_a_failed_start_has_the_message_of_the_unit(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.path("/etc/systemd/system").mkdir(parents=True)
    monkeypatch.setattr(install, "read_last_message", lambda: "no space left")
    with pytest.raises(ServiceError, match="it failed: no space left"):
        install.install_recorder(host, SETTINGS, b"PK", FakeManager(fails="restart"))


def build_stop_program(answer: dict[str, Any] | None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", f"print({json.dumps(answer)!r})" if answer is not None else "raise SystemExit('it is broken')")
    return buffer.getvalue()


def test_a_removal_lists_all_and_leaves_nothing(host: Host) -> None:
    host.path("/etc/systemd/system").mkdir(parents=True)
    install.install_recorder(host, SETTINGS, b"PK", FakeManager())
    manager = FakeManager()
    program = build_stop_program({"removed": ["/sys/fs/bpf/bulkhead/recorder/calls"], "problems": []})
    removed, problems = install.remove_recorder(host, program, manager)
    assert problems == []
    assert removed == [
        "/sys/fs/bpf/bulkhead/recorder/calls",
        folders.UNIT,
        folders.PROGRAM,
        folders.SETTINGS,
        folders.FOLDER,
    ]
    assert manager.commands == ["disable --now bulkhead-recorder.service", "daemon-reload"]
    assert not install.is_installed(host)


def test_a_problem_keeps_what_another_try_needs(host: Host) -> None:
    host.path("/etc/systemd/system").mkdir(parents=True)
    install.install_recorder(host, SETTINGS, b"PK", FakeManager())
    removed, problems = install.remove_recorder(host, build_stop_program({"removed": [], "problems": ["docker-default"]}), FakeManager())
    assert (removed, problems) == ([folders.UNIT], ["docker-default"])
    assert install.is_installed(host)
    with pytest.raises(OSError, match="it is broken"):
        install.remove_recorder(host, build_stop_program(None), FakeManager())


def test_removals_are_listed(host: Host) -> None:
    host.path(folders.PROFILES).mkdir(parents=True)
    host.path(f"{folders.PROFILES}/docker-default.original").touch()
    host.path(folders.BACKLOG).touch()
    assert install.list_removals(host) == [
        "load the AppArmor profile docker-default without audit rules",
        "restore the audit backlog limit",
        "unload the kernel's programs",
        "remove /var/lib/bulkhead/recorder",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, ""),
        ({"calls": False, "access": False}, "calls, access: both are false"),
        ({"users": []}, "calls: the kernel has no BTF; or set calls to false"),
        ({"users": [], "calls": False}, ""),
        ({"users": ["missing-user"]}, "users: missing-user does not exist"),
    ],
)
def test_settings_that_cannot_be_recorded(host: Host, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str) -> None:
    monkeypatch.setattr(obstacles, "find_obstacle", lambda unused: "the kernel has no BTF" if settings.get("users") == [] else "")
    host.path("/run/systemd/system").mkdir(parents=True)
    found = install.explain_settings(host, {"state": "recording", **SETTINGS, **settings})
    assert found.startswith(message) if message else found == ""


def test_a_host_without_systemd_is_rejected(host: Host) -> None:
    assert "does not run systemd" in install.explain_settings(host, {"state": "recording", **SETTINGS})
    assert install.explain_settings(host, {"state": "stopped", **SETTINGS}) == ""


def test_the_unit_starts_before_the_managers_of_users(host: Host) -> None:
    write_files(host, {"/etc/passwd": "web:x:1001:1001::/home/web:/bin/sh\n"})
    text = install.render_unit(host, ["web", "missing"])
    assert "\nBefore=docker.service user@1001.service\n" in text
    assert "\nBefore=docker.service\n" in install.render_unit(host, [])
