# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs the denial counters on a host, as a program in one file with a unit, and removes both."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.systemctl import ServiceError, systemctl
from ..host.files import ensure_folder, write_atomically
from ..host.root import Host
from .folders import FOLDER, PROGRAM, UNIT, UNIT_NAME, VERSION
from .kernel import is_counting, unload_counters
from .pins import PINS

if TYPE_CHECKING:
    # Ansible sends the files that import statements name, and the module reads them. It does not run them.
    from . import program  # noqa: F401

Manager = Callable[..., str]
START = "denial_counters.program"  # the module with `main`

UNIT_TEXT = """\
# Written by Bulkhead (module denial_counters).
[Unit]
Description=Bulkhead: count what the kernel denies to containers
After=sys-fs-bpf.mount
# Loaded before containers start, so that denials at their start are counted after a boot too.
Before=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} -I {program} arm
TimeoutStartSec=180
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=strict
CapabilityBoundingSet=CAP_BPF CAP_DAC_OVERRIDE CAP_PERFMON CAP_SETUID CAP_SYS_ADMIN CAP_SYS_RESOURCE

[Install]
WantedBy=multi-user.target
"""


def render_unit() -> str:
    """Return the text of the unit."""
    python = sys.executable if Path(sys.executable).is_absolute() else "/usr/bin/python3"
    return UNIT_TEXT.format(python=python, program=PROGRAM)


def find_changes(host: Host, version: str, run: Manager = systemctl) -> list[str]:
    """Return what has to be done so that the host counts with this version, one message each; empty if it does."""
    found = []
    if not host.path(UNIT).exists() or not host.path(PROGRAM).exists():
        found += [f"install {PROGRAM} and {UNIT_NAME}"]
    else:
        if (host.read(VERSION) or "").strip() != version:
            found.append(f"replace {PROGRAM} by version {version}")
        if host.read(UNIT) != render_unit():
            found.append(f"replace {UNIT}")
        if not _is_enabled(run):
            found.append(f"enable {UNIT_NAME}")
    if found or not is_counting():
        found.append("load the programs that count denials")
    return found


def _is_enabled(run: Manager) -> bool:
    try:
        return "UnitFileState=enabled" in run("show", UNIT_NAME, "-p", "UnitFileState").split()
    except ServiceError:
        return False


def install_counters(host: Host, version: str, program_file: bytes, run: Manager = systemctl) -> None:
    """Write the program and the unit, and start the unit. Raises OSError and ServiceError."""
    ensure_folder(host)
    folder = host.path(FOLDER)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    write_atomically(host.path(PROGRAM), program_file.decode("utf-8", "surrogateescape"), 0o600)
    write_atomically(host.path(UNIT), render_unit(), 0o644)
    run("daemon-reload")
    run("enable", UNIT_NAME)
    run("restart", UNIT_NAME, timeout=200)
    write_atomically(host.path(VERSION), f"{version}\n", 0o600)


def list_removals(host: Host) -> list[str]:
    """Return what `remove_counters` would do, one message each; empty if nothing is installed."""
    found = [f"stop and remove {UNIT}"] if host.path(UNIT).exists() else []
    found += ["unload the programs that count denials"] if host.path(PINS).exists() else []
    return found + ([f"remove {FOLDER}"] if host.path(FOLDER).exists() else [])


def remove_counters(host: Host, run: Manager = systemctl) -> None:
    """Stop the unit, unload the programs, and remove the files. Raises OSError, ServiceError and CountersError."""
    if host.path(UNIT).exists():
        run("disable", "--now", UNIT_NAME, timeout=200)
    unload_counters()
    if host.path(UNIT).exists():
        host.path(UNIT).unlink()
        run("daemon-reload")
    if host.path(FOLDER).exists():
        shutil.rmtree(host.path(FOLDER))
