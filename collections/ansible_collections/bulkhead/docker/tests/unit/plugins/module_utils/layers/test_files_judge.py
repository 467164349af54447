# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.files.judge import judge, judge_container
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.files.rules import KINDS, list_finding_controls
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Verdict

from ...builders import build_evidence
from .files_host import USER, make_file, make_observed

SOUND = {
    "/etc/docker": make_file("folder", 0o755),
    "/etc/docker/daemon.json": make_file("config", 0o600),
    "/run/docker.sock": make_file("socket", 0o660, 0, 103),
}


def run(files: dict[str, Any], expect: dict[str, Any] | None = None, **more: Any) -> Verdict:
    return judge(build_evidence(make_observed(files, **more)), {"requirement": "optional", "group": "docker", "keep": [], **(expect or {})})


def test_sound_files_are_enforced_by_their_own_evidence() -> None:
    verdict = run(SOUND)
    assert (verdict.status, verdict.findings) == ("enforced", [])
    assert verdict.evidence[0] == {"source": "stat -L /run/docker.sock", "value": "root:docker 0660"}
    assert {"source": "stat -L /etc/docker/daemon.json", "value": "root:root 0600"} in verdict.evidence


@pytest.mark.parametrize("kind", KINDS)
def test_sabotage_of_each_kind_is_seen(kind: str) -> None:
    limit = KINDS[kind].mode
    assert run({"/x": make_file(kind, limit)}).status == "enforced"
    for bit in range(9):
        if not limit & 1 << bit:
            verdict = run({"/x": make_file(kind, limit | 1 << bit)})
            assert [finding.id for finding in verdict.findings] == [f"files.{kind}_mode"]
            assert (verdict.status, verdict.findings[0].remedy) == ("degraded", f"run harden.yml, or: chmod {limit:04o} /x")
    for owner in ((1000, 0), (0, 1000)):
        verdict = run({"/x": make_file(kind, limit, *owner)})
        assert [finding.id for finding in verdict.findings] == [f"files.{kind}_owner"]
        assert verdict.status == "degraded" and verdict.findings[0].remedy.startswith("run harden.yml, or: chown root:")


def test_texts_name_file_value_and_remedy() -> None:
    verdict = run({"/etc/docker/daemon.json": make_file("config", 0o664, 1000, 1000, target="/srv/daemon.json")})
    owner, mode = verdict.findings
    name = "/etc/docker/daemon.json, /srv/daemon.json (configuration of the engine)"
    assert owner.text == f"{name} is owned by alice, not by root and has group alice, not root"
    assert mode.text == f"{name} has mode 0664, and at most 0644 is needed"
    assert (owner.remedy, mode.remedy) == ("chown root:root /srv/daemon.json", "chmod 0644 /srv/daemon.json")


def test_a_kept_file_is_still_reported() -> None:
    verdict = run({"/x": make_file("tls_key", 0o640, 0, 110)}, {"keep": ["/x"]})
    assert [finding.remedy for finding in verdict.findings] == ["chown root:root /x", "chmod 0400 /x"]


def test_the_socket_may_have_the_chosen_group() -> None:
    assert run({"/s": make_file("socket", 0o660, 0, 110)}, {"group": "ssl-cert"}).status == "enforced"
    assert run({"/s": make_file("socket", 0o660, 0, 110)}).findings[0].remedy.endswith("chown root:docker /s")
    assert run({"/s": make_file("socket", 0o660, 0, 0)}).status == "enforced"


def test_what_each_start_sets_again_has_a_lasting_remedy() -> None:
    file = {"/s": make_file("socket", 0o666, 0, 110)}
    settings = {"socket": [[1, "ssl-cert", "SocketGroup= in /a"], [2, "0666", "SocketMode= in /b"]]}
    owner, mode = run(file, settings=settings).findings
    assert owner.remedy == "correct SocketGroup= in /a, which is applied at each start, then: chown root:docker /s"
    assert mode.remedy == "correct SocketMode= in /b, which is applied at each start, then: chmod 0660 /s"
    (mode,) = run(file, {"group": "ssl-cert"}, settings={"socket": settings["socket"][:1]}).findings
    assert mode.remedy == "run harden.yml, or: chmod 0660 /s"


def test_the_sticky_bit_of_a_rootless_socket_is_no_finding() -> None:
    verdict = run({"/run/user/1000/docker.sock": make_file("socket", 0o1660, 1000, 1000)}, user=USER)
    assert (verdict.status, verdict.evidence[0]["value"]) == ("enforced", "alice:alice 1660")
    assert run({"/run/user/1000/docker.sock": make_file("socket", 0o1666, 1000, 1000)}, user=USER).status == "degraded"


def test_an_access_control_list_and_an_unread_file() -> None:
    assert [finding.id for finding in run({"/s": make_file("socket", 0o660, acl=True)}).findings] == ["files.acl"]
    verdict = run({**SOUND, "/x": {"kind": "config", "error": "Permission denied"}})
    assert (verdict.status, verdict.findings[0].id) == ("unknown", "files.unread")


def test_files_of_a_rootless_engine() -> None:
    path = "/home/alice/.config/docker/daemon.json"
    assert run({path: make_file("config", 0o644, 1000, 1000)}, user=USER).status == "enforced"
    (finding,) = run({path: make_file("config", 0o644, 0, 0)}, user=USER).findings
    assert (finding.id, finding.remedy) == ("files.config_owner", f"chown alice:root {path}")


def test_disabled_and_empty_are_not_applicable() -> None:
    verdict = run({"/x": make_file("config", 0o666)}, {"requirement": "disabled"})
    assert (verdict.status, verdict.findings) == ("not_applicable", [])
    assert run({}).status == "not_applicable"
    assert judge_container({}, {}, {}).status == "not_applicable"


@pytest.mark.parametrize(
    ("name", "controls"),
    [
        ("socket_owner", ["CIS-3.15"]),
        ("socket_mode", ["CIS-3.16"]),
        ("sysconfig_mode", ["CIS-3.21"]),
        ("sysconfig_owner", ["CIS-3.22"]),
        ("containerd_config_mode", []),
        ("acl", []),
        ("unread", []),
    ],
)
def test_controls_of_a_finding(name: str, controls: list[str]) -> None:
    assert list_finding_controls(name) == controls


def test_each_control_of_the_section_has_a_finding() -> None:
    found = {control for kind in KINDS for part in ("owner", "mode") for control in list_finding_controls(f"{kind}_{part}")}
    assert found == {f"CIS-3.{number}" for number in range(1, 25)}
