# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of all tests of the recorder."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import recorder

from .fake_host import FakeHost, FakeKernel


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    host = Host(tmp_path)
    for path, text in (
        ("/proc/sys/kernel/random/boot_id", "first\n"),
        ("/proc/stat", "btime 500\n"),
        ("/sys/module/apparmor/parameters/enabled", "Y\n"),
        ("/var/lib/bulkhead/recorder/settings.json", "{}"),
    ):
        host.path(path).parent.mkdir(parents=True, exist_ok=True)
        host.path(path).write_text(text)
    made = FakeHost(host, FakeKernel(host))
    monkeypatch.setattr(recorder, "AuditStream", lambda: made.audit)
    monkeypatch.setattr(recorder, "raise_backlog_limit", lambda host, boot: made.problem)
    monkeypatch.setattr(recorder, "request_status", lambda: {"lost": made.lost})
    return made
