# SPDX-License-Identifier: GPL-3.0-or-later
"""What anybody can see on the host, read without the project's own modules."""

from __future__ import annotations

from testinfra.host import Host


def test_engine_answers(host: Host) -> None:
    """The engine is up and talks to its client."""
    version = host.run("docker version --format '{{.Server.Version}}' || journalctl --no-pager -u docker -n 50")
    assert version.rc == 0 and version.stdout[0].isdigit(), version.stdout
