# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a seccomp profile as the engine does; `profile.parse_profile` is strict instead, for authors of profiles.

The engine ignores unknown keys and the case of keys, uses the last of equal keys, and takes a missing value for 0 or empty (Go's
encoding/json). It skips unknown system calls. Which architectures and flags it knows depends on its version: their names are not checked.
Sources: moby/profiles seccomp/seccomp.go and seccomp_linux.go, runc libcontainer/specconv/spec_linux.go (SetupSeccomp) and
libcontainer/seccomp/seccomp_linux.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from . import bpf
from .semantics import ACTIONS, MAX_ERRNO, OPERATORS, Condition, ParsedProfile, ProfileError, RuleFilter, SyscallRule, build_answer

_KINDS = {dict: "an object", list: "a list", str: "a string", int: "an integer"}


def read_profile(text: str, where: str) -> ParsedProfile:
    """Return the profile in a JSON text. Raises ProfileError with the first reason for which the engine rejects it."""
    try:
        return _read_profile(json.loads(text, object_pairs_hook=_fold_keys, parse_constant=_reject))
    except RecursionError as error:
        raise ProfileError([f"{where}: is nested too deeply for a seccomp profile"]) from error
    except json.JSONDecodeError as error:
        raise ProfileError([f"{where}: is not valid JSON: {error}"]) from error
    except ValueError as error:
        raise ProfileError([f"{where}: {error}"]) from error


def _fold_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key.casefold(): value for key, value in pairs}


def _reject(reason: str) -> NoReturn:
    raise ValueError(f"the engine rejects {reason}")


def _check_kind(value: Any, kind: type[Any], key: str) -> Any:
    """Return a value of a JSON type; what Go has instead of null. Raises ValueError for another type."""
    if value is None:
        return kind()
    other = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    if other or (kind is int and not 0 <= value < 2**64):
        _reject(f"{key}: {json.dumps(value)[:80]} is not {_KINDS[kind]}")
    return value


def _read(data: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    return _check_kind(data.get(key.casefold()), kind, key)


def _read_list(data: Mapping[str, Any], key: str, kind: type[Any]) -> list[Any]:
    return [_check_kind(value, kind, key) for value in _read(data, key, list)]


def _read_profile(value: Any) -> ParsedProfile:
    data = _check_kind(value, dict, "the profile")
    entries = _read_list(data, "syscalls", dict)
    architectures = tuple(_read_list(data, "architectures", str))
    arch_map = tuple(
        (_read(entry, "architecture", str), tuple(_read_list(entry, "subArchitectures", str)))
        for entry in _read_list(data, "archMap", dict)
    )
    _read_list(data, "flags", str)
    if not data.get("defaultaction") and not entries:
        return ParsedProfile(bpf.ALLOW)  # no filter at all
    if architectures and arch_map:
        _reject("architectures together with archMap")
    default, errno = _read_action(data, "defaultAction", "defaultErrnoRet")
    rules = tuple(map(_read_rule, entries))
    notifying = [rule for rule in rules if rule.answer == bpf.USER_NOTIF]
    if default == bpf.USER_NOTIF or any("write" in rule.names for rule in notifying):
        _reject("SCMP_ACT_NOTIFY as default and for write")
    if notifying and not _read(data, "listenerPath", str):
        _reject("SCMP_ACT_NOTIFY without listenerPath")
    return ParsedProfile(default, architectures, arch_map, rules, errno)


def _read_rule(data: Mapping[str, Any]) -> SyscallRule:
    name, names = _read(data, "name", str), _read_list(data, "names", str)
    if name and names:
        _reject("name together with names")
    if "" in names:
        _reject("an empty name of a system call")
    return SyscallRule(
        (name,) if name else tuple(names),
        _read_action(data, "action", "errnoRet")[0],
        tuple(map(_read_condition, _read_list(data, "args", dict))),
        _read_filter(_read(data, "includes", dict)),
        _read_filter(_read(data, "excludes", dict)),
    )


def _read_action(data: Mapping[str, Any], key: str, errno_key: str) -> tuple[int, int | None]:
    """Return the filter's answer, and the errno if one is set."""
    name, errno = _read(data, key, str), _read(data, errno_key, int)
    if name not in ACTIONS:
        _reject(f'{key} "{name}"')
    if errno > MAX_ERRNO:
        _reject(f"{errno_key} {errno}")
    given = None if data.get(errno_key.casefold()) is None else errno
    return build_answer(ACTIONS[name], given), given


def _read_condition(data: Mapping[str, Any]) -> Condition:
    index, op = _read(data, "index", int), _read(data, "op", str)
    if index > 5:
        _reject(f"index {index}")
    if op not in OPERATORS:
        _reject(f'op "{op}"')
    return Condition(index, op, _read(data, "value", int), _read(data, "valueTwo", int))


def _read_filter(data: Mapping[str, Any]) -> RuleFilter:
    kernel = None
    if data.get("minkernel") is not None:
        text = _read(data, "minKernel", str) or "0.0"
        match = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})", text)
        kernel = (int(match[1]), int(match[2])) if match else _reject(f'minKernel "{text}"')
    return RuleFilter(tuple(_read_list(data, "caps", str)), tuple(_read_list(data, "arches", str)), kernel)
