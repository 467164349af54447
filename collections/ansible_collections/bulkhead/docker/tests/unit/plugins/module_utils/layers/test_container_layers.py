# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the layers that each container sets: capabilities, read-only root, non-root user."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.capabilities import ENGINE_DEFAULT, decode_capabilities
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.capabilities import judge as capabilities
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.non_root_user import judge as non_root_user
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.read_only_root import judge as read_only_root

from ...builders import build_container, build_evidence

DEFAULT = 0xA80425FB  # CapBnd of a plain container, as the kernel shows it
EVERYTHING = 0x1FFFFFFFFFF
HOST_MAP = [[0, 0, 4294967295]]
REMAP = [[0, 231072, 65536]]


def container(kernel: dict[str, Any] | None = None, config: dict[str, Any] | None = None, user: str = "") -> dict[str, Any]:
    return build_container(kernel, host_config=config, inspect={"User": user})


def caps(bits: int) -> dict[str, Any]:
    return {"cap": {"bnd": bits, "eff": bits}}


def test_engine_default_matches_the_kernel() -> None:
    assert set(decode_capabilities(DEFAULT)) == ENGINE_DEFAULT


@pytest.mark.parametrize(
    ("bits", "status"), [(DEFAULT, "enforced"), (0, "enforced"), (DEFAULT | 1 << 12, "degraded"), (EVERYTHING, "absent")]
)
def test_probe_capabilities(bits: int, status: str) -> None:
    assert capabilities.judge(build_evidence(probe=container(caps(bits))), {}).status == status


@pytest.mark.parametrize("probe", [None, container()])
def test_unread_capabilities_are_unknown(probe: dict[str, Any] | None) -> None:
    assert capabilities.judge(build_evidence(probe=probe), {}).status == "unknown"


def test_unlisted_capability_is_a_surplus() -> None:
    assert "CAP_60" in capabilities.judge(build_evidence(probe=container(caps(DEFAULT | 1 << 60))), {}).findings[0].text


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


def ids(uid: list[int], gid: list[int] | None = None, groups: list[int] | None = None, rows: Any = None, **more: Any) -> dict[str, Any]:
    """Return a state with the host's IDs; without a map of its own, that of the host."""
    rows = HOST_MAP if rows is None else rows
    return {"uid": uid, "gid": gid or uid, "groups": groups or [], "uid_map": rows, "gid_map": rows, **more}


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
    verdict = non_root_user.judge_container(container(ids([uid] * 4, rows=id_map), user=user), {}, {})
    assert (verdict.status, bool(verdict.disagreements)) == (status, disagrees)


@pytest.mark.parametrize(
    ("kernel", "status", "finding", "named"),
    [
        (ids([1000] * 4), "enforced", None, ""),
        # what `docker run -u 1000` gives where the image has no such user: group 0 (moby oci/oci.go, WithUser)
        (ids([1000] * 4, [0] * 4), "degraded", "root_group", "real GID, effective GID, saved GID, file system GID"),
        (ids([1000] * 4, groups=[10, 0]), "degraded", "root_group", "supplementary group 0"),
        (ids([1000] * 4, [1000, 1000, 0, 1000]), "degraded", "root_group", "saved GID"),
        (ids([1000, 0, 0, 0]), "absent", "root", "effective UID, saved UID, file system UID 0"),
        (ids([1000, 1000, 0, 1000]), "absent", "root", "saved UID 0"),
        (ids([232072] * 4, [231072] * 4, rows=REMAP), "degraded", "root_group", "real GID"),
        (ids([232072] * 4, groups=[231072], rows=REMAP), "degraded", "root_group", "supplementary group 231072"),
        (ids([232072, 231072, 232072, 232072], rows=REMAP), "absent", "root", "effective UID 0"),
        # the host's root has no ID inside, and stays root outside
        (ids([0] * 4, [232072] * 4, rows=REMAP), "absent", None, ""),
        (ids([65534] * 4, rows=REMAP), "unknown", "unread", "is 65534 on the host, which the uid_map does not contain"),
        (ids([232072] * 4, groups=[100], rows=REMAP), "unknown", "unread", "supplementary group 100 is 100 on the host"),
        (ids([1000] * 4, rows=[[0, 0]]), "unknown", "unread", "the uid_map is not known"),
        (ids([1000] * 4, rows=[["0", "0", "1"]]), "unknown", "unread", "the uid_map is not known"),
        (ids([1000]), "unknown", "unread", "its UIDs were not read"),
        ({"uid": [1000] * 4, "uid_map": HOST_MAP}, "unknown", "unread", "its GIDs were not read"),
        ({**ids([1000] * 4), "groups": None}, "unknown", "unread", "its supplementary groups were not read"),
        ({}, "unknown", "unread", "its UIDs were not read"),
    ],
)
def test_all_users_and_groups_count(kernel: dict[str, Any], status: str, finding: str | None, named: str) -> None:
    verdict = non_root_user.judge_container(container(kernel), {}, {})
    assert (verdict.status, [found.id for found in verdict.findings]) == (status, [f"non_root_user.{finding}"] if finding else [])
    assert all(named in found.text for found in verdict.findings)


HOST = build_evidence({"layers": {"userns": {"host_namespace": "user:[1]"}}})


def with_process(first: dict[str, Any], other: dict[str, Any], config: dict[str, Any] | None = None) -> dict[str, Any]:
    return build_container(first, {"pid": 77, "command": "sh", **other}, host_config=config)


@pytest.mark.parametrize(
    ("judge", "first", "other", "status", "text"),
    [
        (non_root_user, ids([1000] * 4), ids([0] * 4), "absent", "process 77 (sh) of container web is root: real UID"),
        (non_root_user, ids([1000] * 4), ids([1000] * 4, [0] * 4), "degraded", "process 77 (sh) of container web is in group 0"),
        (non_root_user, ids([1000] * 4), {}, "unknown", "the user of process 77 (sh) of container web is not known"),
        (capabilities, caps(0), caps(EVERYTHING), "absent", "process 77 (sh) of container web can get AUDIT_CONTROL"),
        (capabilities, caps(DEFAULT), {}, "unknown", "the capabilities of process 77 (sh) of container web could not be read"),
        (
            read_only_root,
            {"root_read_only": True},
            {"root_read_only": False},
            "absent",
            "process 77 (sh) of container web has a writable root",
        ),
        (read_only_root, {"root_read_only": True}, {}, "unknown", "the mounts of process 77 (sh) of container web could not be read"),
    ],
)
def test_every_process_counts(judge: Any, first: dict[str, Any], other: dict[str, Any], status: str, text: str) -> None:
    verdict = judge.judge_container(with_process(first, other), HOST, {})
    assert verdict.status == status
    assert [finding.text for finding in verdict.findings if text in finding.text]
    assert [entry for entry in verdict.evidence if entry["source"].startswith("/proc/7/")]


def test_capabilities_in_a_nested_user_namespace_stay_there() -> None:
    """A browser's sandbox, for example: root with all capabilities in a namespace that the program made itself."""
    own, nested, host = ({"namespaces": {"user": f"user:[{number}]"}} for number in (2, 3, 1))
    sandbox = {**caps(EVERYTHING), **ids([1000] * 4, rows=[[0, 1000, 1]]), **nested}
    seen = with_process({**caps(0), **ids([1000] * 4), **own}, sandbox)
    assert non_root_user.judge_container(seen, HOST, {}).status == "enforced"
    verdict = capabilities.judge_container(seen, HOST, {})
    assert (verdict.status, [finding.id for finding in verdict.findings]) == ("enforced", ["capabilities.nested"])
    for privileged in (
        with_process({**caps(0), **own}, {**caps(EVERYTHING), **host}),
        with_process({**caps(0), **own}, {**caps(EVERYTHING), **own}),
    ):
        assert capabilities.judge_container(privileged, HOST, {}).status == "absent", "the host's namespace and the container's own count"
    assert capabilities.judge_container(seen, {}, {}).status == "absent", "not known to be nested"


@pytest.mark.parametrize("name", ["eff", "prm", "inh", "amb"])
def test_every_capability_set_counts(name: str) -> None:
    sets = dict.fromkeys(("bnd", "eff", "prm", "inh", "amb"), 0)
    verdict = capabilities.judge_container(container({"cap": {**sets, name: EVERYTHING}}), {}, {})
    field = f"Cap{name.capitalize()}"
    assert (verdict.status, [finding.id for finding in verdict.findings]) == (
        "absent",
        ["capabilities.surplus", "capabilities.more_than_asked"],
    )
    assert f"only in {field})" in verdict.findings[0].text
    assert {"source": f"/proc/7/status {field}", "value": f"{EVERYTHING:016x}"} in verdict.evidence
    assert len(verdict.evidence) == 5 and "the kernel's sets also have" in verdict.disagreements[0]
