# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of generated profiles, and how reasons are written."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.names import describe_name_problem
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.desired import NAME
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.generation import format_count, name_profile, shorten_list

SERVICES = ["web", "shop-web", "a" * 55, "a" * 56, "a" * 60, "a" * 61, "a/b", "a-b", "x.json", "x~", "ü", "x.orig", ""]


@pytest.mark.parametrize("service", SERVICES)
def test_names_are_valid_for_both_kinds_of_profiles(service: str) -> None:
    name = name_profile(service)
    assert describe_name_problem(name) is None and NAME.fullmatch(name) and not name.endswith(".json")


def test_services_that_differ_have_names_that_differ() -> None:
    assert len({name_profile(service) for service in SERVICES}) == len(SERVICES)
    assert name_profile("shop-web") == "recorded-shop-web"


def test_texts() -> None:
    assert (format_count(1, "container"), format_count(1200, "container")) == ("1 container", "1,200 containers")
    assert shorten_list({"b", "a"}) == "a, b" and shorten_list("edcba", 2) == "a, b and 3 more"
