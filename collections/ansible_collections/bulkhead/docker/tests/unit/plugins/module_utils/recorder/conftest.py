# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of all tests of the recorder."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import recorder

from ...builders import write_files
from .fake_host import FakeHost, FakeKernel


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    files = {
        "/proc/sys/kernel/random/boot_id": "first\n",
        "/proc/stat": "btime 500\n",
        "/sys/module/apparmor/parameters/enabled": "Y\n",
        "/var/lib/bulkhead/recorder/settings.json": "{}",
    }
    host = write_files(tmp_path, files)
    made = FakeHost(host, FakeKernel(host))
    monkeypatch.setattr(recorder, "AuditStream", lambda: made.audit)
    monkeypatch.setattr(recorder, "raise_backlog_limit", lambda host, boot: made.problem)
    monkeypatch.setattr(recorder, "request_status", lambda: {"lost": made.lost})
    return made
