# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors in the journal of docker.service, with lines of real engines."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import service

STARTING = 'Starting docker.service - Docker Application Container Engine...\ntime="x" level=info msg="Starting up"\n'
GONE = "docker.service: Main process exited, code=exited, status=1/FAILURE\nFailed to start docker.service.\n"


@pytest.mark.parametrize(
    ("journal", "reason"),
    [
        (
            f"{STARTING}failed to start daemon: error initializing graphdriver: driver not supported: bogus\n{GONE}",
            "failed to start daemon: error initializing graphdriver: driver not supported: bogus",
        ),
        (
            f"{STARTING}unable to configure the Docker daemon with file /etc/docker/daemon.json: invalid JSON\n{GONE}",
            "unable to configure the Docker daemon with file /etc/docker/daemon.json: invalid JSON",
        ),
        (
            f'{STARTING}time="x" level=error msg="some container failed"\nfailed to start daemon: no space\n',
            "failed to start daemon: no space",
        ),
        (f'{STARTING}time="x" level=fatal msg="Error starting: \\"x\\""\n', 'Error starting: "x"'),
        (f'{STARTING}time="x" level=error msg="only an error"\n', "only an error"),
        (STARTING + GONE, ""),
        ("", ""),
    ],
)
def test_find_failure(monkeypatch: pytest.MonkeyPatch, journal: str, reason: str) -> None:
    monkeypatch.setattr(service.EngineService, "read_journal", lambda *_: journal)
    assert service.EngineService().find_failure(0) == reason


@pytest.mark.parametrize(
    ("journal", "error"),
    [
        ('time="x" level=info msg="Reloaded configuration: {\\"mtu\\":1500}"\n', None),
        ('level=info msg="Got signal to reload configuration"\nlevel=info msg="Reloaded configuration" config="{}"\n', None),
        (
            'level=error msg="Error reconfiguring the daemon" error="x"\nlevel=info msg="Reloaded configuration"\n',
            "Error reconfiguring the daemon: x",
        ),
        ('level=error msg="Error reconfiguring the daemon: bad runtime"\n', "Error reconfiguring the daemon: bad runtime"),
        ('level=error msg="unable to configure the Docker daemon with file x"\n', "unable to configure the Docker daemon with file x"),
        ('level=error msg="attach: stdout broken"\nlevel=info msg="Reloaded configuration"\n', None),
    ],
)
def test_find_reload_error(monkeypatch: pytest.MonkeyPatch, journal: str, error: str | None) -> None:
    monkeypatch.setattr(service.EngineService, "read_journal", lambda *_: journal)
    assert service.EngineService().find_reload_error(0) == error
