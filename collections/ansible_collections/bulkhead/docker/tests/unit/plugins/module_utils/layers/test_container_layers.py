# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the layers that each container sets: capabilities, read-only root, non-root user."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.capabilities import ENGINE_DEFAULT, decode_capabilities
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.capabilities import judge as capabilities
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.non_root_user import judge as non_root_user
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.read_only_root import judge as read_only_root

DEFAULT = 0xA80425FB  # CapBnd of a plain container, as the kernel shows it
EVERYTHING = 0x1FFFFFFFFFF


def container(kernel: dict[str, Any] | None = None, config: dict[str, Any] | None = None, user: str = "") -> dict[str, Any]:
    return {"name": "web", "kernel": {"pid": 7, **(kernel or {})}, "inspect": {"HostConfig": config or {}, "User": user, "Mounts": []}}


def caps(bits: int) -> dict[str, Any]:
    return {"cap": {"bnd": bits, "eff": bits}}


def test_engine_default_matches_the_kernel() -> None:
    assert set(decode_capabilities(DEFAULT)) == ENGINE_DEFAULT


@pytest.mark.parametrize(
    ("bits", "status"), [(DEFAULT, "enforced"), (0, "enforced"), (DEFAULT | 1 << 12, "degraded"), (EVERYTHING, "absent")]
)
def test_probe_capabilities(bits: int, status: str) -> None:
    assert capabilities.judge({"probe": container(caps(bits))}, {}).status == status


@pytest.mark.parametrize("probe", [None, container()])
def test_unread_capabilities_are_unknown(probe: dict[str, Any] | None) -> None:
    assert capabilities.judge({"probe": probe}, {}).status == "unknown"


def test_unlisted_capability_is_a_surplus() -> None:
    assert "CAP_60" in capabilities.judge({"probe": container(caps(DEFAULT | 1 << 60))}, {}).findings[0].text


def test_privileged_opts_out_of_capabilities() -> None:
    verdict = capabilities.judge_container(container(caps(EVERYTHING), {"Privileged": True}), {}, {})
    assert (verdict.status, verdict.opted_out, verdict.disagreements) == ("absent", True, [])


def test_more_than_inspect_shows_is_a_disagreement() -> None:
    verdict = capabilities.judge_container(container(caps(DEFAULT | 1 << 12), {"CapAdd": None}), {}, {})
    assert verdict.disagreements == [
        "docker inspect grants AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_BIND_SERVICE, NET_RAW, SETFCAP, SETGID, SETPCAP, "
        "SETUID, SYS_CHROOT, the kernel's bounding set also has NET_ADMIN"
    ]


def test_dropped_and_still_granted_is_a_disagreement() -> None:
    verdict = capabilities.judge_container(container(caps(DEFAULT), {"CapDrop": ["ALL"], "CapAdd": ["CAP_KILL"]}), {}, {})
    assert verdict.disagreements and verdict.status == "degraded"


@pytest.mark.parametrize(
    ("read_only", "asked", "status", "disagrees"),
    [
        (True, True, "enforced", False),
        (True, False, "enforced", False),
        (False, False, "absent", False),
        (False, True, "absent", True),
        (None, True, "unknown", False),
    ],
)
def test_read_only_root(read_only: bool | None, asked: bool, status: str, disagrees: bool) -> None:
    verdict = read_only_root.judge_container(container({"root_read_only": read_only}, {"ReadonlyRootfs": asked}), {}, {})
    assert (verdict.status, bool(verdict.disagreements)) == (status, disagrees)


@pytest.mark.parametrize(
    ("uid", "id_map", "user", "status", "disagrees"),
    [
        (0, [[0, 0, 4294967295]], "", "absent", False),
        (231072, [[0, 231072, 65536]], "", "absent", False),
        (231072 + 33, [[0, 231072, 65536]], "www-data", "enforced", False),
        (33, [[0, 0, 4294967295]], "33:33", "enforced", False),
        (0, [[0, 0, 4294967295]], "www-data", "absent", True),
        (5, [], "", "unknown", False),
    ],
)
def test_non_root_user(uid: int, id_map: list[list[int]], user: str, status: str, disagrees: bool) -> None:
    verdict = non_root_user.judge_container(container({"uid": [uid] * 4, "uid_map": id_map}, user=user), {}, {})
    assert (verdict.status, bool(verdict.disagreements)) == (status, disagrees)
