# SPDX-License-Identifier: GPL-3.0-or-later
"""Installation, change and removal of the pull agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.systemctl import ServiceError
from ansible_collections.bulkhead.docker.plugins.module_utils.host import files
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.pull import rendering, setup

from .test_rendering import GOOD


class Manager:
    """A fake of systemctl for one timer."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.enabled = False

    def __call__(self, *arguments: str, timeout: float = 0) -> str:
        if arguments[0] == "is-enabled" and not self.enabled:
            raise ServiceError("disabled")
        if arguments[0] in ("is-enabled", "is-active"):
            return "enabled\n" if arguments[0] == "is-enabled" else "active\n"
        self.calls.append(arguments[0])
        self.enabled = {"enable": True, "disable": False}.get(arguments[0], self.enabled)
        return ""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(files.os, "fchown", lambda *unused: None)
    return Host(tmp_path)


def snapshot(host: Host) -> dict[str, Any]:
    return {str(p.relative_to(host.root)): p.read_bytes() for p in sorted(host.root.rglob("*")) if p.is_file()}


def test_agent_is_installed_once_and_removed_completely(host: Host) -> None:
    manager = Manager()
    foreseen = setup.install_agent(host, GOOD, True, manager)
    assert snapshot(host) == {} and manager.calls == []
    done = setup.install_agent(host, GOOD, False, manager)
    assert done.steps == foreseen.steps and done.diff == foreseen.diff
    assert manager.calls == ["daemon-reload", "enable", "restart"]
    before = snapshot(host)
    assert setup.install_agent(host, GOOD, False, manager).steps == []
    assert snapshot(host) == before and len(manager.calls) == 3

    metric = host.path(f"{GOOD['metrics_dir']}/bulkhead-watch.prom")
    metric.write_text("bulkhead_host_verified 1\n")
    foreseen = setup.remove_agent(host, True, manager)
    assert metric.exists()
    assert setup.remove_agent(host, False, manager).steps == foreseen.steps
    assert snapshot(host) == {}
    assert manager.calls[3:] == ["disable", "stop", "daemon-reload"]
    assert setup.remove_agent(host, False, manager).steps == []


def test_changed_settings_remove_old_files(host: Host) -> None:
    manager = Manager()
    setup.install_agent(host, GOOD, False, manager)
    host.path(f"{GOOD['metrics_dir']}/bulkhead-pull.prom").write_text("old\n")
    pinned = {**GOOD, "allowed_signers": "", "revision": "0" * 40, "metrics_dir": "/srv/metrics", "interval": "1h"}
    done = setup.install_agent(host, pinned, False, manager)
    assert f"{rendering.SIGNERS} removed" in done.steps
    assert not host.path(f"{GOOD['metrics_dir']}/bulkhead-pull.prom").exists()
    assert manager.calls[3:] == ["daemon-reload", "enable", "restart"]


def test_stopped_timer_is_started_again(host: Host) -> None:
    manager = Manager()
    setup.install_agent(host, GOOD, False, manager)
    manager.enabled = False
    assert setup.install_agent(host, GOOD, False, manager).steps == [f"{rendering.TIMER_UNIT} enabled and started"]
