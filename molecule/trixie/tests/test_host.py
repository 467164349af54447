# SPDX-License-Identifier: GPL-3.0-or-later
"""What anybody can see on the host, read without the project's own modules."""

from __future__ import annotations

from testinfra.host import Host


def test_engine_answers(host: Host) -> None:
    """The engine is up and talks to its client."""
    assert host.run("docker version --format '{{.Server.Version}}'").rc == 0, host.run(
        "journalctl -u docker -n 50"
    ).stdout
