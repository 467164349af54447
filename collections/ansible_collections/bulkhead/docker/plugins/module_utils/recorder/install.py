# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs the recorder on a host as a program in one file with a unit, and removes both."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.instance import find_instance
from ..engine.systemctl import ServiceError, systemctl
from ..host import archive
from ..host.files import ensure_folder, write_atomically
from ..host.root import Host
from .folders import BACKLOG, FOLDER, PROGRAM, RUNTIME_FOLDER, SETTINGS, UNIT, UNIT_NAME, list_recorded_profiles

if TYPE_CHECKING:
    # Ansible sends the files that import statements name, and the module reads them. It does not run them.
    from . import program  # noqa: F401

Manager = Callable[..., str]
START = "recorder.program"  # the module with `main`

# Options that systemd implements by a seccomp filter are left out (RestrictAddressFamilies=, LockPersonality= and others): with a filter, the kernel
# would count the recorder's own calls. /sys has to stay writable for pins and for AppArmor's interface.
UNIT_TEXT = """\
# Written by Bulkhead (module record_containers).
[Unit]
Description=Bulkhead: record what containers do
After=sys-fs-bpf.mount apparmor.service
# Armed before containers start, so that their start is recorded after a boot too.
Before=docker.service{managers}

[Service]
Type=notify
ExecStart={python} -I {program} run
Restart=on-failure
RestartSec=2
TimeoutStartSec=180
RuntimeDirectory={runtime}
RuntimeDirectoryMode=0700
UMask=0077
MemoryMax=512M
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=read-only
ProtectSystem=strict
ReadWritePaths={state}
CapabilityBoundingSet=CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_BPF CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_MAC_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN CAP_PERFMON CAP_SETGID CAP_SETUID CAP_SYS_ADMIN CAP_SYS_PTRACE CAP_SYS_RESOURCE

[Install]
WantedBy=multi-user.target
"""


def build_program_file() -> tuple[bytes, str]:
    """Return the program as a zip archive that Python runs, and its version."""
    return archive.build_archive(START)


def render_unit(host: Host, users: Iterable[str]) -> str:
    """Return the text of the unit. users: of rootless engines, which their managers start at boot (loginctl(1))."""
    managers = "".join(f" user@{uid}.service" for uid in (find_instance(host, user).uid for user in users) if uid is not None)
    python = sys.executable if Path(sys.executable).is_absolute() else "/usr/bin/python3"
    return UNIT_TEXT.format(python=python, program=PROGRAM, runtime=RUNTIME_FOLDER, state=str(Path(FOLDER).parent), managers=managers)


def read_recorder_settings(host: Host) -> dict[str, Any]:
    """Return the settings of the installed recorder, its version included; empty without one, or if they are damaged."""
    try:
        settings = json.loads(host.read(SETTINGS) or "{}")
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


def is_installed(host: Host) -> bool:
    """Return whether the recorder has files on the host."""
    return host.path(UNIT).exists() or host.path(FOLDER).exists()


def find_changes(host: Host, settings: Mapping[str, Any], run: Manager = systemctl) -> list[str]:
    """Return what has to be done so that the host records with these settings, one message each; empty if it does."""
    if not host.path(UNIT).exists() or not host.path(PROGRAM).exists():
        return [f"install {PROGRAM} and {UNIT_NAME}", f"start {UNIT_NAME}, which arms the kernel"]
    before, found = read_recorder_settings(host), []
    if before.get("version") != settings["version"]:
        found.append(f"replace {PROGRAM} by version {settings['version']}")
    different = sorted(key for key in settings if key != "version" and before.get(key) != settings[key])
    if different:
        found.append(f"change {', '.join(different)} in {SETTINGS}")
    if host.read(UNIT) != render_unit(host, settings["users"]):
        found.append(f"replace {UNIT}")
    if found or not is_active(run):
        found.append(f"restart {UNIT_NAME}")
    return found


def is_active(run: Manager = systemctl) -> bool:
    """Return whether the unit runs, or is about to, and starts at boot."""
    try:
        shown = run("show", UNIT_NAME, "-p", "ActiveState,UnitFileState").split()
    except ServiceError:
        return False
    return "UnitFileState=enabled" in shown and any(f"ActiveState={state}" in shown for state in ("active", "activating"))


def install_recorder(host: Host, settings: Mapping[str, Any], program_file: bytes, run: Manager = systemctl) -> None:
    """Write program, settings and unit, and start the unit. Raises OSError and ServiceError."""
    ensure_folder(host)
    folder = host.path(FOLDER)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    write_atomically(host.path(PROGRAM), program_file.decode("utf-8", "surrogateescape"), 0o600)
    write_atomically(host.path(SETTINGS), json.dumps(dict(settings), sort_keys=True) + "\n", 0o600)
    write_atomically(host.path(UNIT), render_unit(host, settings["users"]), 0o644)
    run("daemon-reload")
    run("enable", UNIT_NAME)
    try:
        run("restart", UNIT_NAME, timeout=200)
    except ServiceError as error:
        raise ServiceError(f"{error}: {read_last_message()}") from error


def read_last_message() -> str:
    """Return the last message of the unit in the journal, for an error."""
    command = ["journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=20", f"_SYSTEMD_UNIT={UNIT_NAME}"]
    try:
        lines = (
            subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20, check=False).stdout.strip().splitlines()
        )
    except (OSError, subprocess.TimeoutExpired):
        lines = []
    return lines[-1] if lines else f"see journalctl -u {UNIT_NAME}"


def remove_recorder(host: Host, program_file: bytes, run: Manager = systemctl) -> tuple[list[str], list[str]]:
    """Stop the unit, restore what it changed in the kernel, and remove its files. Returns what was removed, and problems.

    program_file: a program of the present version, for a host whose own one is missing or damaged. Raises OSError and ServiceError.
    """
    folder = host.path(FOLDER)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if host.path(UNIT).exists():
        run("disable", "--now", UNIT_NAME, timeout=200)
    write_atomically(host.path(PROGRAM), program_file.decode("utf-8", "surrogateescape"), 0o600)
    command = [sys.executable or "python3", "-I", str(host.path(PROGRAM)), "stop"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise OSError(f"{PROGRAM} stop failed: {(done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]}") from error
    removed, problems = list(answer["removed"]), list(answer["problems"])
    if host.path(UNIT).exists():
        host.path(UNIT).unlink()
        run("daemon-reload")
        removed.append(UNIT)
    files = sorted(f"/{path.relative_to(host.root)}" for path in folder.rglob("*") if not path.is_dir())
    if problems:  # what is needed to try again stays
        return removed, problems
    shutil.rmtree(folder)
    return [*removed, *files, FOLDER], problems


def list_removals(host: Host) -> list[str]:
    """Return what `remove_recorder` would do, one message each."""
    found = [f"stop and remove {UNIT}"] if host.path(UNIT).exists() else []
    found += [f"load the AppArmor profile {name} without audit rules" for name in list_recorded_profiles(host)]
    if host.path(BACKLOG).exists():
        found.append("restore the audit backlog limit")
    return [*found, "unload the kernel's programs", f"remove {FOLDER}"]


def explain_settings(host: Host, settings: Mapping[str, Any]) -> str:
    """Return why these settings cannot be recorded, as one message; empty if they can. Nothing is changed."""
    if settings["state"] == "stopped":
        return ""
    if not host.path("/run/systemd/system").is_dir():
        return "this host does not run systemd, and the recorder is a unit of systemd; run record_containers on hosts with systemd"
    if not settings["calls"] and not settings["access"]:
        return "calls, access: both are false, so nothing would be recorded; set one of them to true, or state to stopped"
    unknown = [user for user in settings["users"] if find_instance(host, user).uid is None]
    if unknown:
        return f"users: {unknown[0]} does not exist on this host; write users who run a rootless engine"
    if settings["calls"] and not is_installed(host):
        from .obstacles import find_obstacle  # not needed to collect

        if obstacle := find_obstacle(host):
            return f"calls: {obstacle}; or set calls to false, to record accesses alone"
    return ""
