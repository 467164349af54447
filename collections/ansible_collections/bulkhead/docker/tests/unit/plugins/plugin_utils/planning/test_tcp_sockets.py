# SPDX-License-Identifier: GPL-3.0-or-later
"""A new TCP socket must verify its clients, and its certificates are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.tcp_sockets import ASKS, judge_tcp_sockets

TCP = {"hosts": ["unix:///run/docker.sock", "tcp://0.0.0.0:2376"]}
FILES = {"tlscacert": "/tls/ca.pem", "tlscert": "/tls/cert.pem", "tlskey": "/tls/key.pem"}
VERIFIED = {**TCP, "tlsverify": True, **FILES}


def judge(
    before: dict[str, Any], after: dict[str, Any], flags: dict[str, str] | None = None, answer: dict[str, Any] | None = None
) -> LayerPlan:
    result = LayerPlan("engine_config")
    observed = {
        "instance": {"user": "", "uid": 0, "gid": 0, "home": ""},
        "unit": {"flags": flags or {}},
        "daemon_json": {"path": "/etc/docker/daemon.json"},
        "certificates": answer,
    }
    judge_tcp_sockets(result, observed, before, after)
    return result


@pytest.mark.parametrize("content", [{}, {"hosts": ["unix:///run/docker.sock", "fd://"]}, {"tlsverify": True}])
def test_without_a_tcp_socket_nothing_is_judged(content: dict[str, Any]) -> None:
    assert judge({}, content) == LayerPlan("engine_config")


@pytest.mark.parametrize("entry", ["tcp://0.0.0.0:2375", "tcp://127.0.0.1:2375", "0.0.0.0:2375", ":2375"])
@pytest.mark.parametrize("more", [{}, {"tls": True}, {"tlsverify": False}])
def test_a_new_socket_without_verification_is_a_blocker(entry: str, more: dict[str, Any]) -> None:
    (blocker,) = judge({}, {"hosts": ["fd://", entry], **more}).blockers
    assert blocker.startswith(f"/etc/docker/daemon.json: hosts: {entry} would accept clients without a certificate")


def test_verification_must_not_end() -> None:
    assert judge(VERIFIED, TCP).blockers


def test_a_socket_that_is_there_is_a_warning() -> None:
    for before, after, flags in ((TCP, {**TCP, "icc": False}, {}), ({}, {"icc": False}, {"host": "fd://,tcp://0.0.0.0:2376"})):
        found = judge(before, after, flags)
        (warning,) = found.warnings
        assert found.blockers == []
        assert warning.startswith("the engine's TCP socket tcp://0.0.0.0:2376 accepts clients without a certificate")


def test_certificates_are_asked_for_and_judged() -> None:
    asked = judge(TCP, VERIFIED)
    assert (asked.asks, asked.question, asked.blockers) == (ASKS, {"files": FILES}, [])
    assert judge(TCP, VERIFIED, answer={"question": asked.question, "problems": []}).blockers == []
    found = judge(TCP, VERIFIED, answer={"question": asked.question, "problems": ["tlskey: /tls/key.pem is not a key in PEM form"]})
    assert found.blockers == ["/etc/docker/daemon.json: tlskey: /tls/key.pem is not a key in PEM form"]
    assert judge(TCP, VERIFIED, answer={"question": {"files": {}}, "problems": ["of other files"]}).blockers == []


def test_a_steady_host_is_not_asked() -> None:
    assert judge(VERIFIED, {**VERIFIED, "icc": False}).question == {}


def test_missing_files_are_named() -> None:
    found = judge({}, {**TCP, "tlsverify": True, "tlscert": "/tls/cert.pem"})
    assert found.blockers == ["/etc/docker/daemon.json: tlsverify needs tlscacert, tlskey as well; name the files in docker_daemon_options"]
    assert judge({}, {**TCP, "tlsverify": True}, FILES).question == {"files": FILES}
