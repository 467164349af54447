# SPDX-License-Identifier: GPL-3.0-or-later
"""The I/O ports are asked for by the call of the machine, or by their device where it has no such call."""

from __future__ import annotations

import os
import stat
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.attack import attacks_host
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.catalog import CALLS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import AARCH64, X86_64, load_table


@pytest.mark.parametrize(
    ("machine", "expected"),
    [(X86_64, [("iopl", (3,))]), (AARCH64, [("mknodat", (stat.S_IFCHR | 0o600, os.makedev(1, 4)))])],
)
def test_ports_are_opened(monkeypatch: pytest.MonkeyPatch, machine: str, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    made: list[tuple[str, tuple[Any, ...]]] = []
    monkeypatch.setattr(attacks_host, "numbers", load_table(machine))
    monkeypatch.setattr(attacks_host, "preparation", {"name": "bulkhead-1"})
    monkeypatch.setattr(attacks_host, "call", lambda name, *arguments, step="": made.append((name, arguments[2:] or arguments)))
    monkeypatch.setattr(attacks_host, "open_path", lambda path, flags, step="": 3)
    monkeypatch.setattr(attacks_host.os, "unlink", lambda path: None)
    assert attacks_host.io_ports() == "all I/O ports can be used"
    assert made == expected


def test_arm64_has_every_other_call() -> None:
    assert CALLS - set(load_table(AARCH64)) == {"iopl"}
