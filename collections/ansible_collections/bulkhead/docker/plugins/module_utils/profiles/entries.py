# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of profiles in the inventory: what `seccomp_profiles_list` and `apparmor_profiles_list` have in common. Control node only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def describe_list_problem(variable: str, entries: object) -> str:
    """Return why the value of a variable is not a list of profiles; empty if it is one."""
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        return f"{variable}: {entries!r} is not a list; write a list of profiles, or [] for none"
    return ""


def number_entries(variable: str, entries: Sequence[Any]) -> Iterator[tuple[str, Any, list[str]]]:
    """Yield the place of each entry (`VARIABLE[0]`), the entry without unset keys, and its problem if an earlier entry has the same name."""
    places: dict[str, str] = {}
    for index, given in enumerate(entries):
        place = f"{variable}[{index}]"
        # An omitted key is null if a playbook passes entries through an argument spec.
        entry = {key: value for key, value in given.items() if value is not None} if isinstance(given, Mapping) else given
        name = entry.get("name") if isinstance(entry, Mapping) else None
        problems = []
        if isinstance(name, str) and name in places:
            problems.append(f"{place}.name: {name!r} is also the name of {places[name]}; write each profile once")
        elif isinstance(name, str):
            places[name] = place
        yield place, entry, problems


def read_source(src: str, read_file: Callable[[str], str]) -> tuple[str | None, str]:
    """Return the text of a file on the control node, or None and why it cannot be read."""
    try:
        return read_file(src), ""
    except UnicodeDecodeError:
        return None, "is not UTF-8 text"
    except OSError as error:
        return None, f"cannot be read ({error.strerror or error})"
