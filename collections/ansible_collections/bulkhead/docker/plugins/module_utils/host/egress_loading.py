# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads Bulkhead's egress rules into the kernel, installs the unit that loads them at boot, and removes all."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import state
from .egress import (
    DROP_IN,
    FILES,
    RULES,
    TABLE,
    UNIT,
    UNIT_NAME,
    UNITS,
    USED,
    WANTED_BY,
    NftError,
    find_nft,
    read_table,
    read_used,
    run_nft,
)
from .files import ensure_folder, fsync_folder, write_atomically
from .root import Host

_MODES = {RULES: 0o600, UNIT: 0o644, DROP_IN: 0o644}


@dataclass
class EgressLoading:
    """The texts of all files by path, before and after (empty: no file). loaded: whether the kernel's table was replaced, or removed."""

    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    loaded: bool = False

    @property
    def changed(self) -> bool:
        return self.loaded or self.before != self.after


def apply_rules(host: Host, texts: tuple[str, str, str], check: bool) -> EgressLoading:
    """Make these the rules of the host; remove them if the texts are empty. texts: of FILES. check: change nothing.

    Raises BlockingIOError, OSError. If the kernel does not accept the rules, the files are as before.
    """
    loading = EgressLoading({path: host.read(path) or "" for path in FILES}, dict(zip(FILES, texts, strict=True)), True)
    nft, rules = find_nft(host), loading.after[RULES]
    if rules:
        if nft is None:
            raise NftError("nft is not installed; install the package nftables")
        run_nft(nft, "-c", "-f", "-", text=rules)
    if check:
        return loading
    with state.lock_host(host):
        if rules and nft:
            used = _render_used(nft, rules)
            _load(host, loading)
            if used:
                run_nft(nft, "-f", "-", text=used)
        else:
            _remove(host, nft)
    return loading


def _render_used(nft: str, rules: str) -> str:
    """Return nft's commands that add again what the present table recorded of destinations; empty without any, or if the new rules record none."""
    if f"set {USED}4 " not in rules:
        return ""
    try:
        used = read_used(read_table(run_nft(nft, "-j", "list", "table", "inet", TABLE)))
    except (NftError, ValueError):  # no table yet, or one that others changed
        return ""
    lines = []
    for version, sign in ((4, "."), (6, ":")):
        elements = [
            each for each in used if sign in each["destination"] and bool(each["bridge"]) == (f"type ifname . ipv{version}" in rules)
        ]
        texts = [" . ".join(filter(None, (_quote(e["bridge"]), e["destination"], e["protocol"], str(e["port"])))) for e in elements]
        if texts:
            lines.append(f"add element inet {TABLE} {USED}{version} {{ {', '.join(texts)} }}\n")
    return "".join(lines)


def _quote(name: str) -> str:
    return f'"{name}"' if name else ""


def _load(host: Host, loading: EgressLoading) -> None:
    """Write the files first: after a power cut, the unit loads the new rules at boot."""
    ensure_folder(host)
    try:
        for path, text in loading.after.items():
            _write(host, path, text)
        # The unit itself loads them, so that what happens at boot was seen to work.
        run_systemctl("daemon-reload")
        run_systemctl("reenable", UNIT_NAME)
        run_systemctl("restart", UNIT_NAME)
    except OSError:
        if not loading.before[UNIT]:
            _disable(host)
        for path, text in loading.before.items():
            _write(host, path, text)
        run_systemctl("daemon-reload")
        raise


def _remove(host: Host, nft: str | None) -> None:
    """Remove the table first: after a power cut, a file without a table is found again by the next run."""
    _disable(host)
    if nft:
        # Adding it first makes the removal of a missing table no error (man 8 nft).
        run_nft(nft, "-f", "-", text=f"add table inet {TABLE}\ndelete table inet {TABLE}\n")
    for path in reversed(FILES):
        _write(host, path, "")
    with suppress(OSError):  # a folder with other drop-ins stays
        host.path(DROP_IN).parent.rmdir()
    run_systemctl("daemon-reload")


def _disable(host: Host) -> None:
    """Remove the links that start the unit, without systemctl, which needs its file."""
    for unit in WANTED_BY:
        _unlink(host.path(f"{UNITS}/{unit}.wants/{UNIT_NAME}"))


def _write(host: Host, path: str, text: str) -> None:
    if text:
        host.path(path).parent.mkdir(exist_ok=True)
        write_atomically(host.path(path), text, _MODES[path])
    else:
        _unlink(host.path(path))


def _unlink(place: Path) -> None:
    if os.path.lexists(place):
        place.unlink()
        fsync_folder(place.parent)


def run_systemctl(*arguments: str) -> None:
    """Run systemctl. Raises OSError with its message."""
    command = ["systemctl", "--no-ask-password", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"systemctl {' '.join(arguments)} did not end within 120 s") from error
    if done.returncode:
        raise OSError(f"systemctl {' '.join(arguments)}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
