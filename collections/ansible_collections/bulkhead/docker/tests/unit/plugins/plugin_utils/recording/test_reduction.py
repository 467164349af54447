# SPDX-License-Identifier: GPL-3.0-or-later
"""What a profile takes away compared with the engine's default, and the list of vulnerabilities."""

from __future__ import annotations

import re

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls_other import list_known_names
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.call_descriptions import FAMILIES
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.reduction import (
    Reduction,
    compare_with_default,
    load_vulnerabilities,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.seccomp_base import get_engine_default

WEB = format_profile(compose_profile(PRESETS["web"]))


def names(found: Reduction) -> tuple[set[str], set[str], set[str]]:
    return {each.cve for each in found.stopped}, {each.cve for each in found.already}, {each.cve for each in found.open}


def test_vulnerabilities_are_well_formed() -> None:
    listed = load_vulnerabilities()
    assert len(listed) >= 51 and len({each.cve for each in listed}) == len(listed)
    needs = {need for each in listed for alternatives in each.needs for need in alternatives}
    only_named = {"AF_INET", "AF_AX25", "AF_INET6", "AF_XDP"}  # in comments of generated files
    assert {need.removeprefix("socket ") for need in needs if need.startswith("socket ")} == set(FAMILIES) - only_named
    assert {need for need in needs if " " not in need} <= list_known_names()
    assert {need for need in needs if " " in need and not need.startswith("socket ")} == {"new user namespace"}
    assert all(re.fullmatch(r"CVE-\d{4}-\d{4,7}", each.cve) and each.title and each.needs for each in listed)
    assert listed[0].url == f"https://nvd.nist.gov/vuln/detail/{listed[0].cve}"


def test_the_default_takes_nothing_from_itself() -> None:
    found = compare_with_default(get_engine_default().text)
    stopped, already, left = names(found)
    assert (found.removed, stopped, found.share) == ([], set(), 0)
    assert {"CVE-2016-0728", "CVE-2022-0185", "CVE-2022-2602", "CVE-2024-1086", "CVE-2021-26708"} <= already
    assert {"CVE-2022-0847", "CVE-2017-7308", "CVE-2017-5123", "CVE-2014-4699", "CVE-2017-7616"} <= left | already
    assert {"CVE-2022-0847", "CVE-2017-7308", "CVE-2017-5123", "CVE-2014-4699"} <= left


def test_a_narrower_profile_stops_more() -> None:
    found = compare_with_default(WEB)
    stopped, already, left = names(found)
    reasons = {each.cve: why for each, why in found.stopped.items()}
    assert reasons["CVE-2014-4699"] == "ptrace" and reasons["CVE-2017-7308"] == "socket AF_PACKET"
    assert reasons["CVE-2015-7613"] == "msgget or semget or shmget"
    assert found.allowed < found.default_allowed and "ptrace" in found.removed and 0 < found.share < 1
    assert stopped | already | left == {each.cve for each in load_vulnerabilities()}


def test_capabilities_decide_what_the_default_stops() -> None:
    stopped, already, unused = names(compare_with_default(WEB, capabilities={"CAP_SYS_ADMIN"}))
    assert {"CVE-2022-0185", "CVE-2017-16995", "CVE-2024-1086"} <= stopped
    assert "CVE-2016-0728" in already


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_machine_is_compared(machine: str) -> None:
    assert compare_with_default(WEB, machine).removed
