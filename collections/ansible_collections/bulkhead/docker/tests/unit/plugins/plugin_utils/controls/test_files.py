# SPDX-License-Identifier: GPL-3.0-or-later
"""Section 3: the engine's files."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.files.rules import KINDS
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.judge import judge_controls

from ...builders import build_evidence
from ...module_utils.layers.files_host import make_file, make_observed

OF_SECTION = [f"CIS-3.{number}" for number in range(1, 25)]


def judge(files: dict[str, Any], group: str = "docker") -> dict[str, dict[str, Any]]:
    """Return the controls of section 3 by ID."""
    evidence = build_evidence({**make_observed(files), "engine": {"error": "the engine is stopped"}})
    found = judge_controls(evidence, {"layers": [], "containers": []}, {"files": {"requirement": "disabled", "group": group}})
    return {entry["control"]: entry for entry in found if entry["control"] in OF_SECTION}


def test_without_files_no_control_applies() -> None:
    assert {name: entry["status"] for name, entry in judge({}).items()} == dict.fromkeys(OF_SECTION, "not_applicable")


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in KINDS.items() if kind.owner_control])
def test_sabotage_of_each_kind_fails_its_control_alone(name: str, kind: Any) -> None:
    assert {entry["status"] for entry in judge({"/x": make_file(name, kind.mode)}).values()} == {"pass", "not_applicable"}
    for change, control, part in (({"uid": 1000}, kind.owner_control, "owner"), ({"mode": kind.mode | 0o002}, kind.mode_control, "mode")):
        found = judge({"/x": {**make_file(name, kind.mode), **change}})
        assert [number for number, entry in found.items() if entry["status"] == "fail"] == [control]
        assert found[control]["findings"] == [{"container": "", "finding": f"files.{name}_{part}"}]
        assert found[control]["reason"] == f"wrong {part}: /x"
        assert found[control]["evidence"]


def test_an_access_control_list_fails_the_mode() -> None:
    found = judge({"/etc/docker/daemon.json": make_file("config", 0o644, acl=True)})
    assert (found["CIS-3.17"]["status"], found["CIS-3.18"]["status"]) == ("pass", "fail")
    assert found["CIS-3.18"]["findings"] == [{"container": "", "finding": "files.acl"}]


def test_what_cannot_be_read_is_unknown() -> None:
    found = judge({"/etc/docker": {"kind": "folder", "error": "Permission denied"}})
    assert (found["CIS-3.5"]["status"], found["CIS-3.5"]["reason"]) == ("unknown", "owner and mode cannot be read: /etc/docker")


def test_the_socket_may_have_the_chosen_group() -> None:
    files = {"/run/docker.sock": make_file("socket", 0o660, 0, 110)}
    assert (judge(files)["CIS-3.15"]["status"], judge(files, "ssl-cert")["CIS-3.15"]["status"]) == ("fail", "pass")
