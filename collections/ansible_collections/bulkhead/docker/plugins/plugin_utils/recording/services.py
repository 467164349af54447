# SPDX-License-Identifier: GPL-3.0-or-later
"""Which service a container belongs to: its name, and messages about names that two services have or that none has. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ...module_utils.formatting import format_names

LABEL, PROJECT, SERVICE = "bulkhead.service", "com.docker.compose.project", "com.docker.compose.service"
LONGEST = 60
_UNUSABLE = re.compile(r"[^a-z0-9._-]+")
# Ends of names of the generated files: SERVICE.generated.yml is not the recording of a service SERVICE.generated.
_RESERVED = re.compile(r"\.(?=(generated|proposed|compose\.override)$)")


@dataclass
class Services:
    """The instances of each service. by_name: service -> host -> instances. unnamed: host -> short IDs of containers that ended unseen.

    problems: one message per name that two services have; those are not in `by_name`.
    """

    by_name: dict[str, dict[str, list[Mapping[str, Any]]]] = field(default_factory=dict)
    unnamed: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def name_service(instance: Mapping[str, Any]) -> str:
    """Return the service of a container: its label, else its compose project and service, else its own name. Usable as the name of a file."""
    return make_slug(_get_label(instance) or _get_own_name(instance))


def make_slug(text: str) -> str:
    """Return a text with small letters, digits, `.`, `_` and `-` only, at most LONGEST; a longer one ends in a hash of the text."""
    slug = _RESERVED.sub("-", _UNUSABLE.sub("-", text.lower()).strip("-._"))
    if not slug or len(slug) > LONGEST:
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        slug = f"{slug[: LONGEST - 9].rstrip('-._')}-{digest}" if slug else f"service-{digest}"
    return slug


def group_instances(recorded: Mapping[str, Mapping[str, Any]]) -> Services:
    """Return the services of all hosts. recorded: host -> what `record_containers` returns."""
    found = Services()
    members: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for host in sorted(recorded):
        for instance in recorded[host]["instances"]:
            if is_unnamed(instance):
                found.unnamed.setdefault(host, []).append(instance["id"][:12])
            else:
                members.setdefault(name_service(instance), []).append((host, instance))
    for service in sorted(members):
        groups = _split(members[service])
        if len(groups) > 1:
            found.problems.append(_describe_conflict(service, groups))
            continue
        for host, instance in members[service]:
            found.by_name.setdefault(service, {}).setdefault(host, []).append(instance)
    return found


def describe_missing(place: str, name: str, known: Collection[str]) -> str:
    """Return the message about a service that was not recorded; empty if it was. place: the variable that names it. known: all services."""
    if name in known:
        return ""
    if not known:
        return f"{place}: {name!r} was not recorded, and neither was any other service; start its containers, and run playbooks/record.yml"
    close = get_close_matches(make_slug(name), sorted(known), 3, 0.5)
    advice = f"write {' or '.join(close)}" if close else "write one of these"
    return f"{place}: {name!r} is not a service that was recorded; {advice}; recorded are {format_names(sorted(known))}"


def is_unnamed(instance: Mapping[str, Any]) -> bool:
    """Return whether a container was removed before anything of it was known: its name is its ID."""
    return not instance.get("image_id") and not instance.get("labels") and instance["name"] == instance["id"][:12]


def _get_label(instance: Mapping[str, Any]) -> str:
    return str((instance.get("labels") or {}).get(LABEL) or "").strip()


def _get_own_name(instance: Mapping[str, Any]) -> str:
    labels = instance.get("labels") or {}
    if labels.get(PROJECT) and labels.get(SERVICE):
        return f"{labels[PROJECT]}-{labels[SERVICE]}"
    return str(instance["name"])


def _describe_origin(instance: Mapping[str, Any]) -> str:
    """Return what a container has its own name from; equal for containers that are the same without a label."""
    labels = instance.get("labels") or {}
    if labels.get(PROJECT) and labels.get(SERVICE):
        return f"compose project {labels[PROJECT]} service {labels[SERVICE]}"
    return f"container {instance['name']}"


def _split(members: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
    """Return the different services under one name: what each is -> its containers.

    Containers with the same label are one service, whatever they are otherwise. Containers without it belong to them if they are the same without a label,
    as when the label was added later.
    """
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    labelled = {_describe_origin(instance): _get_label(instance) for unused, instance in members if _get_label(instance)}
    for host, instance in members:
        origin = _describe_origin(instance)
        label = _get_label(instance) or labelled.get(origin, "")
        groups.setdefault(f"label {LABEL} {label}" if label else origin, []).append((host, instance))
    return groups


def _describe_conflict(service: str, groups: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]]) -> str:
    parts = []
    for origin in sorted(groups):
        places = sorted({f"{instance['name']} on {host}" for host, instance in groups[origin]})
        parts.append(f"{origin} ({format_names(places)})")
    return (
        f"{service}: {len(groups)} services have this name: {' and '.join(parts)}; "
        f"set the label {LABEL} of one of them to another name, such as {make_slug(f'{service}-2')}"
    )
