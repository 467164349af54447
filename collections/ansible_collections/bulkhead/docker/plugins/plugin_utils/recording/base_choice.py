# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the profiles beyond which the generated ones of a service do not go: those under which it was recorded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...module_utils.recorder.instances import UNCONFINED
from .generation import name_profile
from .model import Recording
from .seccomp_base import Base, get_engine_default


def choose_seccomp_base(recording: Recording, profiles: Mapping[str, str]) -> Base:
    """Return the newest profile under which a service ran, other than its generated one. profiles: name -> text, of seccomp_profiles_list.

    The engine's default replaces a profile whose text is not known.
    """
    own = name_profile(recording.service)
    for name in _list_newest(recording, "seccomp"):
        if name in profiles and name != own:
            return Base(name, profiles[name])
        if name not in (own, UNCONFINED):
            return get_engine_default()
    return get_engine_default()


def choose_apparmor_base(recording: Recording, entries: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the entry of apparmor_profiles_list under which a service ran last, other than its generated one; None for the engine's default."""
    by_name = {entry["name"]: entry for entry in entries}
    own = name_profile(recording.service)
    for name in _list_newest(recording, "apparmor"):
        if name != own:
            return by_name.get(name)
    return None


def _list_newest(recording: Recording, kind: str) -> list[str]:
    """Return the names of the profiles of a kind, by the last day on which they were used, the newest first; current ones before all others."""
    last: dict[str, tuple[bool, str]] = {}
    current = recording.current
    for recorder in recording.recorders.values():
        for key, usage in recorder.configurations.items():
            configuration = recording.configurations[key]
            name = str(getattr(configuration, kind))
            last[name] = max(last.get(name, (False, "")), (configuration in current, usage.last))
    for configuration in current:
        last.setdefault(str(getattr(configuration, kind)), (True, ""))
    return sorted(last, key=lambda name: (last[name], name), reverse=True)
