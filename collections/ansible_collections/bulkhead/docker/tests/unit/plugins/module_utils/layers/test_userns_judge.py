# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns.judge import judge, judge_container

from ...builders import build_container, build_evidence
from .userns_host import DEBIAN, HOST_NS, IDENTITY, LINE, MAPPED, kernel, observed, with_user

EXPECT = {"requirement": "required", "user": "dockremap", "size": 65536, "start": None}
REMAPPED = "231072.231072"


def host(subuid: str | None = None, subgid: str | None = None, **more: Any) -> dict[str, Any]:
    """The host that is set up, with other texts in its files."""
    found = with_user(**more)
    for key, text in (("subuid", subuid), ("subgid", subgid)):
        if text is not None:
            found[key] = {"text": text, "mtime": 100.0}
    return found


def evidence(here: dict[str, Any] | None = None, probe: dict[str, Any] | None = None, **engine: Any) -> dict[str, Any]:
    seen = observed(here or host(), **{"remapped": REMAPPED, **engine})
    return build_evidence(seen, build_container(probe or kernel(), name="probe"))


def found_by(verdict: Any) -> list[tuple[str, str | None]]:
    return [(finding.id.removeprefix("userns."), finding.status) for finding in verdict.findings]


def test_enforced() -> None:
    verdict = judge(evidence(), EXPECT)
    assert (verdict.status, verdict.findings) == ("enforced", [])
    assert [entry["source"] for entry in verdict.evidence] == [
        "/proc/42/uid_map",
        "/proc/42/gid_map",
        "/proc/42/ns/user",
        "/etc/subuid, lines of dockremap",
        "/etc/subgid, lines of dockremap",
    ]
    assert verdict.evidence[0]["value"] == MAPPED
    assert verdict.evidence[3]["value"] == ["dockremap:231072:65536"]


@pytest.mark.parametrize(
    ("probe", "here", "engine", "status", "findings"),
    [
        # nobody mapped anything
        (kernel(IDENTITY, namespace=HOST_NS), host(), {"remapped": None}, "absent", ["host_namespace"]),
        (kernel(IDENTITY, namespace=None), host(), {}, "absent", ["host_root"]),
        (kernel(IDENTITY), host(host_namespace=None), {}, "absent", ["host_root"]),
        (kernel(namespace=None), host(), {}, "unknown", ["unread"]),
        (kernel(), host(host_namespace=None), {}, "unknown", ["unread"]),
        # the host is a container itself: its own map is not the identity
        (kernel([[0, 100000, 65536]], namespace=HOST_NS), host(), {}, "absent", ["host_namespace"]),
        # a namespace with the host's root in it
        (kernel([[0, 1, 10], [10, 0, 1]]), host(), {}, "absent", ["host_root"]),
        (kernel(MAPPED, [[0, 0, 65536]]), host(), {}, "absent", ["host_root"]),
        (kernel([]), host(), {}, "unknown", ["unmapped"]),
        # drift
        (kernel(), host(DEBIAN + "dockremap:300000:65536\n"), {}, "degraded", ["drift"]),
        (kernel(), host(None, DEBIAN + "dockremap:300000:65536\n"), {}, "degraded", ["drift"]),
        (kernel(), host(DEBIAN + LINE + "dockremap:400000:10\n"), {}, "degraded", ["drift"]),
        (kernel(), host(DEBIAN), {}, "degraded", ["drift"]),
        (kernel(), host(""), {}, "degraded", ["drift"]),
        (kernel([[0, 300000, 65536]]), host(DEBIAN + "dockremap:300000:65536\n"), {}, "degraded", ["drift", "root"]),
        (
            kernel([[0, 300000, 65536]]),
            host(DEBIAN + "dockremap:300000:65536\n", DEBIAN + "dockremap:300000:65536\n"),
            {"remapped": "300000.300000"},
            "enforced",
            [],
        ),
        # overlaps of managed and unmanaged ranges
        (kernel(), host(DEBIAN + LINE + "mallory:231072:65536\n"), {}, "degraded", ["overlap"]),
        (kernel(), host(None, DEBIAN + LINE + "mallory:290000:65536\n"), {}, "degraded", ["overlap"]),
        (kernel(), host("a:100:10\nb:100:10\n" + LINE), {}, "enforced", ["shared_range"]),
        (kernel(), host("lxd:100000:65536\nroot:100000:65536\n" + LINE), {}, "enforced", []),
        # lines that nobody can read
        (kernel(), host("words\n" + LINE), {}, "degraded", ["malformed"]),
        (kernel(), host("bob:x:1\n" + LINE), {}, "enforced", ["malformed"]),
        # accounts of the host within the map
        (kernel(), host(uids={"dockremap": 105, "ldap": 231200}), {}, "degraded", ["accounts"]),
        (kernel(), host(gids={"dockremap": 105, "staff": 296607}), {}, "degraded", ["accounts"]),
        # too few
        (
            kernel([[0, 231072, 1000]]),
            host("dockremap:231072:1000\n", "dockremap:231072:1000\n"),
            {},
            "degraded",
            ["short", "short"],
        ),
    ],
)
def test_what_the_kernel_shows(
    probe: dict[str, Any], here: dict[str, Any], engine: dict[str, Any], status: str, findings: list[str]
) -> None:
    verdict = judge(evidence(here, probe, **engine), EXPECT)
    assert (verdict.status, [name for name, unused in found_by(verdict)]) == (status, findings)


def test_both_lines_are_named() -> None:
    verdict = judge(evidence(host(DEBIAN + LINE + "mallory:231072:65536\n")), EXPECT)
    assert verdict.findings[0].text == (
        "/etc/subuid:2 (dockremap:231072:65536) overlaps /etc/subuid:3 (mallory:231072:65536): containers of both own the same IDs"
    )


@pytest.mark.parametrize(("mtime", "said"), [(100.0, False), (300.0, True), (None, False)])
def test_edit_after_start_is_reported(mtime: float | None, said: bool) -> None:
    here = host(DEBIAN + "dockremap:300000:65536\n")
    here["subuid"]["mtime"] = mtime
    (finding,) = judge(evidence(here), EXPECT).findings
    assert ("edited after the engine started" in finding.text) is said
    assert "/proc/42/uid_map is 0 231072 65536, but /etc/subuid gives dockremap 0 300000 65536" in finding.text


@pytest.mark.parametrize(
    ("version", "status"), [("20.10.24+dfsg1", "enforced"), ("26.1.5", "enforced"), ("28.5.2", "degraded"), (None, "degraded")]
)
def test_engines_differ_in_lines_by_uid(version: str | None, status: str) -> None:
    text = DEBIAN + "dockremap:500000:10\n105:231072:65536\n"
    assert judge(evidence(host(text, text), version=version), EXPECT).status == status


@pytest.mark.parametrize(
    ("expect", "finding"),
    [({"user": "alice"}, ("user", "degraded")), ({"start": 300000}, ("start", "degraded"))],
)
def test_unexpected_mapping(expect: dict[str, Any], finding: tuple[str, str]) -> None:
    assert found_by(judge(evidence(), {**EXPECT, **expect})) == [finding]


def test_without_expectation() -> None:
    assert judge(evidence(), {}).status == "enforced"


def test_without_evidence() -> None:
    missing = {**evidence(), "probe": None}
    assert judge(missing, EXPECT).status == "unknown"
    unread = kernel()
    del unread["gid_map"]
    unread["unreadable"] = {"/proc/42/gid_map": "Permission denied"}
    verdict = judge(evidence(probe=unread), EXPECT)
    assert verdict.status == "unknown"
    assert "Permission denied" in verdict.findings[0].text


def test_optional_on_unsupported_host() -> None:
    none = {**evidence(host(max_user_namespaces=0), kernel(IDENTITY, namespace=HOST_NS)), "probe": None}
    assert judge(none, {**EXPECT, "requirement": "optional"}).status == "not_applicable"
    assert judge(none, EXPECT).status == "unknown"


@pytest.mark.parametrize(("orphan", "status"), [({"uid_map": IDENTITY}, "degraded"), ({"uid_map": MAPPED}, "enforced"), ({}, "enforced")])
def test_orphans(orphan: dict[str, Any], status: str) -> None:
    assert judge(evidence(orphans=[{"id": "f" * 64, "pids": [7], **orphan}]), EXPECT).status == status


@pytest.mark.parametrize(
    ("mode", "process", "engine", "status", "opted_out", "disagreement"),
    [
        ("", kernel(), {}, "enforced", False, ""),
        ("host", kernel(IDENTITY, namespace=HOST_NS), {}, "absent", True, ""),
        ("host", kernel(), {}, "enforced", True, "docker inspect shows --userns=host, but the kernel shows the map 0 231072 65536"),
        ("", kernel(IDENTITY, namespace=HOST_NS), {}, "absent", False, "docker inspect shows no --userns=host, but the kernel shows"),
        ("", kernel(IDENTITY, namespace=HOST_NS), {"remapped": None}, "absent", False, ""),
        ("", kernel([[0, 300000, 65536]]), {}, "degraded", False, ""),
        ("", kernel([[0, 0, 1], [1, 100000, 65535]]), {}, "absent", False, "but the kernel shows the map 0 0 1, 1 100000 65535"),
    ],
)
def test_containers(mode: str, process: dict[str, Any], engine: dict[str, Any], status: str, opted_out: bool, disagreement: str) -> None:
    verdict = judge_container(build_container(process, host_config={"UsernsMode": mode}), evidence(**engine), EXPECT)
    assert (verdict.status, verdict.opted_out) == (status, opted_out)
    assert [disagreement in text for text in verdict.disagreements] == ([True] if disagreement else [])


def test_unreadable_container_is_unknown() -> None:
    assert judge_container(build_container(), evidence(), EXPECT).status == "unknown"


@pytest.mark.parametrize("name", ["uid_map", "gid_map"])
def test_a_container_with_an_empty_map_is_unknown(name: str) -> None:
    verdict = judge_container(build_container({**kernel(), name: []}), evidence(), EXPECT)
    assert (verdict.status, found_by(verdict)) == ("unknown", [("unmapped", "unknown")])


@pytest.mark.parametrize("rows", [[], None, [[0]], [[0, 231072]], [["a", "b", "c"]], [[0, 231072, 0]], [[0, -5, 1]], [7], "0 0 1"])
@pytest.mark.parametrize("name", ["uid_map", "gid_map"])
def test_unusable_maps_are_unknown(name: str, rows: Any) -> None:
    broken = {**kernel(), name: rows}
    for verdict in (judge_container(build_container(broken), evidence(), EXPECT), judge(evidence(probe=broken), EXPECT)):
        assert (verdict.status, found_by(verdict)) == ("unknown", [("unmapped", "unknown")])
    in_host = build_container({**broken, "namespaces": {"user": HOST_NS}})
    assert judge_container(in_host, evidence(), EXPECT).status == "absent"
    assert judge(evidence(orphans=[{"id": "f" * 64, "pids": [7], "uid_map": rows}]), EXPECT).status == "enforced"


@pytest.mark.parametrize(
    ("other", "status", "finding"),
    [
        (kernel(IDENTITY, namespace=HOST_NS, pid=77), "absent", "host_namespace"),
        (kernel([[0, 0, 1]], namespace="user:[5]", pid=77), "absent", "host_root"),
        (kernel([], namespace="user:[5]", pid=77), "unknown", "unmapped"),
        (kernel([[0, 232072, 1]], namespace="user:[5]", pid=77), "enforced", None),
        ({"pid": 77}, "unknown", "unread"),
    ],
)
def test_every_process_counts(other: dict[str, Any], status: str, finding: str | None) -> None:
    verdict = judge_container(build_container(kernel(), {**other, "command": "sh"}), evidence(), EXPECT)
    assert (verdict.status, found_by(verdict)) == (status, [(finding, status)] if finding else [])
    assert all("process 77 (sh) of container web" in found.text for found in verdict.findings)


@pytest.mark.parametrize(
    ("here", "status", "finding", "named"),
    [
        ({"directory": {"uids": {"ann": 231200}, "gids": {}, "unchecked": []}}, "degraded", "accounts", "user ann"),
        ({"directory": {"uids": {}, "gids": {"staff": 296607}, "unchecked": []}}, "degraded", "accounts", "group staff"),
        ({"directory": {"uids": {"ann": 296608}, "gids": {}, "unchecked": []}}, "enforced", None, ""),
        ({"directory": {"uids": {}, "gids": {}, "unchecked": ["sss for passwd: no"]}}, "enforced", "directory", "sss for passwd: no"),
        ({"subid_sources": ["sss"]}, "enforced", "subid_source", "/etc/nsswitch.conf names sss for subid"),
        ({"subid_sources": ["files"]}, "enforced", None, ""),
        ({"unreadable": {"/etc/passwd": "no"}}, "unknown", "file_unread", "/etc/passwd cannot be read (no)"),
    ],
)
def test_directory_services(here: dict[str, Any], status: str, finding: str | None, named: str) -> None:
    verdict = judge(evidence(host(**here)), EXPECT)
    assert (verdict.status, [name for name, _status in found_by(verdict)]) == (status, [finding] if finding else [])
    assert all(named in found.text for found in verdict.findings)


def test_unread_file_is_no_drift() -> None:
    here = host(unreadable={"/etc/subuid": "is larger than the limit"})
    here["subuid"] = {"text": None, "mtime": None}
    assert found_by(judge(evidence(here), EXPECT)) == [("file_unread", "unknown")]
