# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks `volumes` and `tmpfs`: what is mounted, and where. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import normpath
from typing import Any

from .names import OBJECT
from .values import SettingProblem, Written, explain_characters, format_value, has_control_character, takes

_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
# The options of a group exclude each other (moby volume/mounts/linux_parser.go). compose drops what it does not know, such as `RO`, without a message.
_OPTION_GROUPS = (("ro", "rw"), ("z", "Z"), ("nocopy",), ("consistent", "cached", "delegated"), _PROPAGATION)
_OPTIONS = {option: group for group in _OPTION_GROUPS for option in group}
# runc libcontainer/rootfs_linux.go: checkProcMount. Everything else in /proc is rejected when the container starts.
_PROC_FILES = (
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg", "/proc/slabinfo",
)  # fmt: skip


@takes(list)
def check_volumes(value: Any, written: Written) -> Iterator[SettingProblem]:
    for volume in value:
        why = _explain_volume(volume)
        if why:
            yield SettingProblem("", value, f"contains {format_value(volume)}, {why}")


@takes(list)
def check_tmpfs(value: Any, written: Written) -> Iterator[SettingProblem]:
    for path in value:
        if not isinstance(path, str):
            why = "which is not a text; write an absolute path in quotes"
        elif path.startswith("/") and ":" in path:
            why = f"which has options; write {path.partition(':')[0]}, because the options are always the same"
        else:
            why = _explain_target(path, "which")
        if why:
            yield SettingProblem("", value, f"contains {format_value(path)}, {why}")


def check_targets(volumes: list[str], tmpfs: list[str], from_entry: bool) -> Iterator[SettingProblem]:
    """Yield a problem per folder of the container that is mounted twice. from_entry: whether the entry itself sets tmpfs."""
    seen: dict[str, str] = {normpath(path): "tmpfs" for path in tmpfs}
    if len(seen) != len(tmpfs):
        yield SettingProblem("", tmpfs, "contains a folder twice; write it once")
    for volume in volumes:
        target = normpath(split_volume(volume)[1])
        if seen.get(target) == "tmpfs":
            rest = [path for path in tmpfs if normpath(path) != target]
            advice = f"write tmpfs: {rest}" if not from_entry else f"remove {target} from tmpfs"
            yield SettingProblem("", volumes, f"contains {volume!r}, whose target {target} is in tmpfs too; {advice}, or another target")
        elif target in seen:
            yield SettingProblem(
                "", volumes, f"contains {volume!r}, whose target {target} is that of {seen[target]!r} too; write another target"
            )
        else:
            seen[target] = volume


def split_volume(volume: str) -> tuple[str, str, list[str]]:
    """Return source, target and options of a volume; the source is empty for an anonymous one."""
    parts = volume.split(":")
    if len(parts) == 1:
        return "", parts[0], []
    return parts[0], parts[1], parts[2].split(",") if len(parts) > 2 else []


def _explain_volume(volume: Any) -> str:
    """Return why this is not a valid volume; empty if it is."""
    if not isinstance(volume, str):
        return "which is not a text; write 'SOURCE:TARGET' in quotes"
    why = explain_characters(volume)
    if why:
        return f"which {why}"
    parts = volume.split(":")
    if len(parts) > 3 or "" in parts:
        return "which is not a volume; write SOURCE:TARGET or SOURCE:TARGET:ro"
    source, target, options = split_volume(volume)
    bind = source.startswith("/")
    if source.startswith((".", "~")):
        return "whose source is not absolute, and compose and docker_container look in different folders; write an absolute path"
    if bind and (has_control_character(source) or source != source.rstrip() or "\\" in source):
        return "whose source contains a character that compose reads differently; write a path without control characters, and without blanks at its end"
    if source and not bind and not OBJECT.fullmatch(source):
        return (
            "whose source is not a name for a volume; write an absolute path, or two or more letters, digits, dots, dashes and underscores"
        )
    if normpath(target) == "/dev":  # the engine masks paths with /dev/null of the container
        return "whose target is /dev, without whose devices no container starts; write a folder in it"
    return _explain_target(target, "whose target") or _explain_options(options, bind, source)


def _explain_target(target: str, subject: str) -> str:
    """Return why nothing can be mounted at this path of a container; empty if it can. The container starts with none of them."""
    if not target.startswith("/"):
        return f"{subject} is not absolute; write /{target.lstrip('./~')}"
    if explain_characters(target) or has_control_character(target) or target != target.rstrip():
        return f"{subject} contains a control character or ends with a blank; write it without"
    normal = "/" + normpath(target).lstrip("/")
    if normal != "/" + target.strip("/"):
        return f"{subject} is not a plain path; write {normal}" if normal != "/" else f"{subject} is the root folder; write a folder in it"
    if normal == "/":
        return f"{subject} is the root folder; write a folder in it"
    if normal == "/proc" or (normal.startswith("/proc/") and normal not in _PROC_FILES):
        return f"{subject} is in /proc, where the runtime mounts nothing; write another folder"
    return ""


def _explain_options(options: list[str], bind: bool, source: str) -> str:
    for option in options:
        if option not in _OPTIONS:
            advice = f"write {option.lower()}" if option.lower() in _OPTIONS else f"known are {', '.join(_OPTIONS)}"
            return f"whose option {option!r} does not exist; {advice}"
        others = [other for other in options if other in _OPTIONS[option]]
        if len(others) > 1:
            return f"whose options {' and '.join(others)} exclude each other; write one of them"
        if option == "nocopy" and (bind or not source):
            return "whose option nocopy is only for a named volume; remove it"
        if option in _PROPAGATION and not bind:
            return f"whose option {option} is only for a path of the host; remove it"
    return ""
