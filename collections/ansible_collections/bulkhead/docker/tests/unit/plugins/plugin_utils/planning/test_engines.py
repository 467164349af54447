# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that cannot be configured, or that do not answer: nothing is planned, and no other engine is installed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import engines, plan

SOCKET = "/var/run/docker.sock"
INSTALL = {"docker_engine_install": True, "docker_engine_package": "docker.io"}


def make_daemon(exe: str = "/usr/sbin/dockerd", unit: str = "docker.service", **more: Any) -> dict[str, Any]:
    return {"pid": 7, "uid": 0, "rootless": False, "argv": [exe], "exe": exe, "unit": unit, **more}


def make_observed(daemons: list[dict[str, Any]] | None = None, **engine: Any) -> dict[str, Any]:
    base = {"installed": True, "running": True, "socket": SOCKET, "error": None, "pid": 7 if daemons else None, "daemons": daemons or []}
    return {"engine": {**base, **engine}, "unit": {}}


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (
            make_observed([make_daemon()], running=False, error="no engine answers"),
            f"dockerd runs (pid 7) but does not answer on {SOCKET} (no engine answers); set its socket: write its path into docker_engine_socket",
        ),
        (make_observed([make_daemon("/snap/docker/2915/bin/dockerd", "snap.docker.dockerd.service")], installed=False), "snap's Docker is not"),
        (make_observed([make_daemon("/snap/docker/2915/bin/dockerd", "snap.docker.dockerd.service")]), "(pid 7, /snap/docker/2915/bin/dockerd)"),
        (make_observed([make_daemon(), make_daemon("/snap/docker/1/bin/dockerd", "snap.docker.dockerd.service", pid=9)]), "both use"),
        (make_observed(installed=False, running=False, others=["/snap/docker"]), "/snap/docker: snap's Docker is not supported"),
        (make_observed(installed=False, running=False, others=["/var/lib/dpkg/info/podman-docker.list"]), "whose docker is Podman"),
        (make_observed(installed=False, running=False, others=["/opt/docker/dockerd"]), "/opt/docker/dockerd is an engine that no docker.service"),
        (make_observed([make_daemon("/opt/x/dockerd", "")], installed=False), "(pid 7, /opt/x/dockerd) in no unit"),
        (make_observed([make_daemon("/home/u/bin/dockerd", rootless=True)], installed=False, pid=None), "/home/u/bin/dockerd"),
        (make_observed(installed=False), f"an engine answers on {SOCKET}, but dockerd is neither installed"),
        (
            {**make_observed([make_daemon()], running=False), "unit": {"flags": {"host": "tcp://127.0.0.1:2375"}}},
            "it listens on tcp://127.0.0.1:2375 only, so add a unix socket to it",
        ),
        (
            {**make_observed(installed=False, running=False, others=["/snap/docker"]), "instance": {"user": "u", "uid": 1000}},
            "/snap/docker: snap's Docker is not supported",
        ),
        (make_observed(info={"BuildahVersion": "1.39.3"}), f"Podman answers on {SOCKET}"),
        (make_observed([make_daemon("/opt/x/dockerd", "session-3.scope")]), "(pid 7, /opt/x/dockerd) in session-3.scope, and only an engine"),
        (make_observed([make_daemon(unit="dockerd.service")], installed=False), "in dockerd.service, and only an engine that docker.service runs"),
    ],
)  # fmt: skip
def test_nothing_is_planned_for_such_an_engine(observed: dict[str, Any], message: str) -> None:
    found = plan.plan_host(observed, INSTALL, {"userns", "seccomp"})
    assert [text for text in found.blockers if message in text], found.blockers
    assert len(found.blockers) == 1 and not found.changed and not found.layers


@pytest.mark.parametrize(
    "observed",
    [
        make_observed([make_daemon()]),
        make_observed([make_daemon("/opt/docker/dockerd")]),
        make_observed([make_daemon(unit="")]),  # a host without systemd, which has messages of its own
        make_observed([make_daemon(), make_daemon("/usr/bin/dockerd", "test.service", pid=9)]),  # another socket
        make_observed(running=False),
        make_observed(installed=False, running=False, others=[]),
        {**make_observed([make_daemon(rootless=True, uid=1000, unit="session-2.scope")]), "instance": {"user": "u", "uid": 1000}},
    ],
)
def test_other_engines_are_no_blocker(observed: dict[str, Any]) -> None:
    assert engines.find_blockers(observed) == []


def test_an_engine_is_installed_only_where_there_is_none() -> None:
    found = plan.plan_host(make_observed(installed=False, running=False, others=[]), INSTALL, set())
    assert (found.blockers, [change.summary for change in found.layers["engine"].changes]) == ([], ["install docker.io"])


def test_skipped_text_and_unknown_flags_are_warnings() -> None:
    docker_unit = {"problems": ["/etc/default/docker: line 2: it is not a variable"], "unknown": "it starts dockerd by /x", "files": ["/u"]}
    found = engines.find_warnings({"unit": docker_unit})
    assert found[0] == "/etc/default/docker: line 2: it is not a variable"
    assert found[1].startswith("/u: it starts dockerd by /x; start the engine")
