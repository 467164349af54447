# SPDX-License-Identifier: GPL-3.0-or-later
"""The attack on I/O ports uses iopl, or /dev/mem on a machine without that call."""

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
    [(X86_64, [("iopl", (3,))]), (AARCH64, [("mknodat", (stat.S_IFCHR | 0o600, os.makedev(1, 1)))])],
)
def test_ports_are_opened(monkeypatch: pytest.MonkeyPatch, machine: str, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    made: list[tuple[str, tuple[Any, ...]]] = []
    monkeypatch.setattr(attacks_host, "numbers", load_table(machine))
    monkeypatch.setattr(attacks_host, "preparation", {"name": "bulkhead-1"})
    monkeypatch.setattr(attacks_host, "call", lambda name, *arguments, step="": made.append((name, arguments[2:] or arguments)))
    monkeypatch.setattr(attacks_host, "open_path", lambda path, flags, step="": 3)
    monkeypatch.setattr(attacks_host.os, "unlink", lambda path: None)
    assert attacks_host.io_ports().endswith("can be used")
    assert made == expected


def test_arm64_has_every_other_call() -> None:
    assert CALLS - set(load_table(AARCH64)) == {"iopl"}
