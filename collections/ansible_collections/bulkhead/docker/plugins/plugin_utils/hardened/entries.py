# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks and completes hardened_container_list on the control node, before a host is visited. Pure.

A value is accepted if compose (compose-spec.json, compose-go), docker_container, the engine and the kernel all read it as it was written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ...module_utils.hardened.settings import CONTAINER, CONTAINER_MODE, PROJECT, VARIABLE
from ..suggestion import suggest
from . import limits, mounts, names, ports, texts
from .values import Checker, SettingProblem, Written, check_type, escape, format_value

_POLICIES = ("no", "always", "unless-stopped", "on-failure")
_STATES = ("present", "absent")
# Settings that have a default, `hardened_container_KEY`, which an entry of the list may override.
DEFAULTED: dict[str, Checker] = {
    "user": names.check_user,
    "read_only": lambda value, written: check_type(value, bool),
    "tmpfs": mounts.check_tmpfs,
    "capabilities": names.check_capabilities,
    "seccomp_profile": names.check_seccomp_profile,
    "apparmor_profile": names.check_apparmor_profile,
    "pids_limit": limits.check_pids_limit,
    "memory": limits.check_memory,
    "cpus": limits.check_cpus,
    "restart_policy": lambda value, written: names.check_choice(value, _POLICIES),
    "log_max_size": limits.check_log_size,
    "log_max_file": limits.check_log_files,
}
# Settings that only an entry has: the default value, and the check.
OWN: dict[str, tuple[Any, Checker]] = {
    "name": ("", names.check_name),
    "image": ("", names.check_image),
    "command": ([], texts.check_command),
    "environment": ({}, texts.check_environment),
    "ports": ([], ports.check_ports),
    "volumes": ([], mounts.check_volumes),
    "network": ("", names.check_network),
    "stop_signal": ("", names.check_stop_signal),
    "ulimits": ({}, limits.check_ulimits),
    "state": ("present", lambda value, written: names.check_choice(value, _STATES)),
    "allow_exposures": ([], lambda value, written: check_type(value, list)),
}
# Names of the same settings in compose, docker_container and `docker run`.
_OTHER_NAMES = {
    "cap_add": "capabilities", "container_name": "name", "cpu": "cpus", "env": "environment", "mem_limit": "memory",
    "network_mode": "network", "networks": "network", "pids": "pids_limit", "published_ports": "ports", "restart": "restart_policy",
    "ulimit": "ulimits",
}  # fmt: skip


class ContainerEntryError(ValueError):
    """Entries of the list are invalid. problems: each names variable, key and value, and what to write instead."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def resolve_containers(desired: Mapping[str, Any], kinds: Collection[str], written: Written = lambda _: "") -> list[dict[str, Any]]:
    """Return the entries of `hardened_container_list`, complete and checked. Raises ContainerEntryError.

    kinds: of exposure (exposures/kinds.py). written: returns how a number was written.
    """
    problems = [] if names.PROJECT.fullmatch(str(desired[PROJECT])) else [_describe_project(desired[PROJECT])]
    problems += _check_file(desired)
    entries: list[dict[str, Any]] = []
    places: dict[str, str] = {}  # container -> its entry
    given_list = desired.get(VARIABLE)
    for position, given in enumerate(given_list if isinstance(given_list, list) else []):
        place = f"{VARIABLE}[{position}]"
        if not isinstance(given, Mapping):
            problems.append(f"{place}: {format_value(given)} is not a mapping; write name, image and what differs from the defaults")
            continue
        entry = {key: given.get(key, desired[f"hardened_container_{key}"]) for key in DEFAULTED}
        entry |= {key: given.get(key, type(default)(default)) for key, (default, unused) in OWN.items()}
        found = list(_check_entry(place, given, entry, written, kinds))
        if not found and entry["name"] in places:
            found = [f"{place}.name: {entry['name']} is already the name of another entry; write another name"]
        problems += [_name_container(text, given.get("name")) for text in found]
        if not found:
            places[entry["name"]] = place
            entries.append(entry)
    for name, text in _check_together(entries, str(desired.get("hardened_container_run_by"))):
        problems.append(_name_container(f"{places[name]}.{text}", name))
    if problems:
        raise ContainerEntryError(list(dict.fromkeys(map(escape, problems))))
    return entries


def _name_container(message: str, name: Any) -> str:
    """Return a message about an entry with the container's name, if it has a valid one."""
    named = message.startswith(VARIABLE) and isinstance(name, str) and names.OBJECT.fullmatch(name)
    return f"{message} (container {name})" if named else message


def _check_entry(place: str, given: Mapping[str, Any], entry: Mapping[str, Any], written: Written, kinds: Collection[str]) -> Iterator[str]:
    """Yield one message per problem of an entry; those of settings that depend on each other only if each is valid alone."""
    wrong = False
    for key in given:
        if key not in OWN and key not in DEFAULTED:
            advice = f"write {_OTHER_NAMES[key]}" if key in _OTHER_NAMES else suggest(key, [*OWN, *DEFAULTED], cutoff=0.5)
            yield f"{place}.{key}: is not a setting; {advice}"
    for key, check in {**{key: check for key, (unused, check) in OWN.items()}, **DEFAULTED}.items():
        where = f"{place}.{key}" if key in given or key in OWN else f"hardened_container_{key}"
        for problem in check(entry[key], written):
            wrong = True
            yield _format_problem(where, problem)
    for kind in entry["allow_exposures"] if isinstance(entry["allow_exposures"], list) else ():
        if not isinstance(kind, str) or kind not in kinds:
            advice = suggest(kind, kinds, cutoff=0.5)
            yield f"{place}.allow_exposures: {format_value(entry['allow_exposures'])} contains {format_value(kind)}, which is not a kind of exposure; {advice}"
    if wrong or entry["state"] == "absent":
        return
    if not entry["image"]:
        yield f"{place}.image: '' is not an image; write one, such as registry.example/shop:1.2"
    together = {
        "environment": texts.check_size(entry["command"], entry["environment"]),
        "volumes": mounts.check_targets(entry["volumes"], entry["tmpfs"], "tmpfs" in given),
        "ports": ports.check_network_of_ports(entry["ports"], entry["network"]),
    }
    for key, problems in together.items():
        for problem in problems:
            yield _format_problem(f"{place}.{key}", problem)


def _check_together(entries: list[dict[str, Any]], run_by: str) -> Iterator[tuple[str, str]]:
    """Yield container and message per problem between containers; the message begins with the setting."""
    present = [entry for entry in entries if entry["state"] == "present"]
    for name, problem in ports.find_conflicts(present):
        yield name, _format_problem("ports", problem)
    earlier: list[str] = []
    listed = {entry["name"]: entry["state"] for entry in entries}
    for entry in present:
        joined = entry["network"].removeprefix(CONTAINER_MODE) if entry["network"].startswith(CONTAINER_MODE) else ""
        if joined in listed and joined not in earlier:
            advice = "list it after that container" if listed[joined] == "present" and joined != entry["name"] else "write another network"
            yield entry["name"], f"network: {entry['network']!r} names a container that does not run before it; {advice}"
        earlier.append(entry["name"])
    for name in listed if run_by == CONTAINER else ():
        # Names of the replaced container and of its successor, while the role replaces it (roles/hardened_container/tasks/container.yml).
        for taken in [f"{name}-before", f"{name}-next"]:
            if taken in listed:
                yield taken, f"name: is needed while container {name} is replaced; write another name"


def _format_problem(where: str, problem: SettingProblem) -> str:
    value = "" if problem.value is None else f"{problem.value} " if problem.value == "null" else f"{format_value(problem.value)} "
    return f"{where}{problem.part}: {value}{problem.why}"


def _describe_project(value: Any) -> str:
    return f"{PROJECT}: {format_value(value)} is not a name for a compose project; write small letters, digits, dashes and underscores"


def _check_file(desired: Mapping[str, Any]) -> Iterator[str]:
    path = desired.get("hardened_container_compose_file")
    if isinstance(path, str) and (not path.startswith("/") or path.endswith("/") or "\n" in path):
        yield f"hardened_container_compose_file: {path!r} is not an absolute path of a file; write one, such as /etc/bulkhead/compose.yml"
