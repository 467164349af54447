# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lists of seccomp and AppArmor profiles have in common."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.profiles.entries import describe_list_problem, number_entries, read_source


@pytest.mark.parametrize("value", ["web", None, {"name": "web"}])
def test_value_is_not_a_list(value: object) -> None:
    assert describe_list_problem("x_list", value).startswith(f"x_list: {value!r} is not a list; write a list of profiles")


def test_entries_have_places_and_no_unset_keys() -> None:
    assert describe_list_problem("x_list", []) == ""
    assert list(number_entries("x_list", [{"name": "a", "src": None}, "web"])) == [
        ("x_list[0]", {"name": "a"}, []),
        ("x_list[1]", "web", []),
    ]


def test_repeated_name_is_a_problem() -> None:
    found = list(number_entries("x_list", [{"name": "a"}, {"name": "b"}, {"name": "a"}]))
    assert [problems for _place, _entry, problems in found] == [
        [],
        [],
        ["x_list[2].name: 'a' is also the name of x_list[0]; write each profile once"],
    ]


def test_sources() -> None:
    def read_file(name: str) -> str:
        if name == "bytes":
            return b"\xff".decode("utf-8")
        if name == "missing":
            raise FileNotFoundError(2, "No such file or directory")
        return name

    assert read_source("text", read_file) == ("text", "")
    assert read_source("bytes", read_file) == (None, "is not UTF-8 text")
    assert read_source("missing", read_file) == (None, "cannot be read (No such file or directory)")
