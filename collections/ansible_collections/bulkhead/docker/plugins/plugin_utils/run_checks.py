# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the tags of a run and the values of the playbooks' variables before any host is contacted. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from .suggestion import suggest

ENGINE_CONFIG = "engine_config"  # the tag of tasks for all layers in daemon.json
_COUNT = re.compile(r"[1-9]\d*|(?:100|[1-9]\d?)%")
# Selections of Ansible's own, which would leave the tasks of a playbook out.
_ANSIBLES = ("all", "tagged", "untagged")


def find_tag_problems(run: Iterable[str], skipped: Iterable[str], own: Collection[str], layers: Collection[str]) -> list[str]:
    """Return one message per tag that would select nothing, or skip more than was meant.

    run, skipped: --tags and --skip-tags. own: tags that all tasks have, for example of a playbook that imports this one.
    layers: the layers that are tags of this playbook; none: it does all of its work in each run.
    """
    known = {*layers, ENGINE_CONFIG} if layers else set()
    unknown = sorted(set(run) - known - {"all", "always", *own})
    if not layers:
        problems = [f"--tags {tag}: this playbook has no tags, and with one it would do nothing; leave --tags out" for tag in unknown]
        return problems + [
            f"--skip-tags {tag}: would skip the whole playbook; leave it out" for tag in sorted(set(skipped) & set(_ANSIBLES))
        ]
    meant = [tag for tag in skipped if tag not in known and (tag in _ANSIBLES or get_close_matches(tag, layers, 1, 0.7))]
    return [
        f"{option} {tag}: is not the tag of a layer; {suggest(tag, sorted(layers))}"
        for option, tags in (("--tags", unknown), ("--skip-tags", sorted(meant)))
        for tag in tags
    ]


def find_value_problems(values: Mapping[str, Any]) -> list[str]:
    """Return one message per variable of the playbooks with a value that they cannot use."""
    return [
        f"{name}: {values[name]!r} is not valid; write {expected}"
        for name, (is_valid, expected) in _CHECKS.items()
        if name in values and not is_valid(values[name])
    ]


def _is_batch(value: Any) -> bool:
    return bool(value) and all(_COUNT.fullmatch(str(one)) for one in (value if isinstance(value, list) else [value]))


def _is_boolean(value: Any) -> bool:
    try:
        boolean(value)
    except TypeError:
        return False
    return True


def _is_number_from(least: float, value: Any) -> bool:
    try:
        return not isinstance(value, bool) and least <= float(value) < float("inf")
    except (TypeError, ValueError):
        return False


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bulkhead_batch": (_is_batch, "a number of hosts from 1, a percentage from 1% to 100%, or a list of these"),
    "bulkhead_show": (lambda value: value in ("auto", "all", "failing"), "all or failing"),
    "bulkhead_resume": (_is_boolean, "true or false"),
    "bulkhead_verify": (_is_boolean, "true or false"),
    "bulkhead_resume_minutes": (lambda value: _is_number_from(0, value), "a number of minutes from 0"),
    "bulkhead_stale_hours": (lambda value: _is_number_from(0, value), "a number of hours from 0"),
}
VALUES = tuple(_CHECKS)
