# SPDX-License-Identifier: GPL-3.0-or-later
"""The requested files of the engine's configuration, and the checks before the first write."""

from __future__ import annotations

import json
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engine import binary, flags, program
from ..host import state
from ..host.root import Host, sha256
from . import checks, daemon_json, daemon_merge, keys, revert
from .drop_in_text import render_drop_in
from .request import ConfigFailed, ConfigOutcome, ConfigRequest


@dataclass(frozen=True)
class DesiredFiles:
    """files: path → text, None for a file to remove. record: content of the state file. reverts: ID of the change that this one undoes."""

    merge: daemon_merge.Merge
    record: dict[str, Any]
    files: dict[str, str | None]
    reverts: str | None = None


def build_desired_files(host: Host, request: ConfigRequest, outcome: ConfigOutcome) -> DesiredFiles:
    """Return the files to write, and add the differences to `outcome`. Raises ValueError when daemon.json or the state file is damaged."""
    desired = _revert_files(host, request) if request.revert else _merge_files(host, request)
    outcome.notices += desired.merge.notices
    outcome.keys_changed = desired.merge.changed
    for path, text in desired.files.items():
        before = host.read(path)
        if before != text and path != request.instance.record_path:
            outcome.diff[path] = (before or "", text or "")
    outcome.changed = outcome.changed or bool(outcome.diff)
    return desired


def _merge_files(host: Host, request: ConfigRequest) -> DesiredFiles:
    """Return the present files with the request's options merged in."""
    remembered = state.load(host, request.instance.subject)
    file_record = remembered.get("files", {}).get(request.file, {})
    document = daemon_json.parse_daemon_json(host.read(request.file), request.file)
    created = bool(file_record.get("created")) or document.source is None
    merge = daemon_merge.merge_keys(document, request.options, file_record.get("keys", {}), request.keep, created, request.file)
    record = _build_record(remembered, request, merge, created)
    files: dict[str, str | None] = {request.file: merge.text}
    if request.pids_limit is not None:
        files[request.instance.drop_in] = render_drop_in(request.pids_limit) if request.pids_limit > 0 else None
    files[request.instance.record_path] = json.dumps(record, indent=1, sort_keys=True) + "\n" if record else None
    return DesiredFiles(merge, record, files)


def _build_record(remembered: Mapping[str, Any], request: ConfigRequest, merge: daemon_merge.Merge, created: bool) -> dict[str, Any]:
    """Return the content of the state file after the merge; empty when nothing is managed. created: whether Bulkhead created daemon.json."""
    record = {**remembered, "files": dict(remembered.get("files", {}))}
    record["files"].pop(request.file, None)
    if merge.record or (created and merge.text is not None):
        record["files"][request.file] = {
            "created": created and merge.text is not None,
            "keys": merge.record,
            "sha256": sha256(merge.text or ""),
        }
    if not record["files"]:
        del record["files"]
    if not record.keys() - {"dockerd"}:
        return {}
    record["dockerd"] = program.recall_known_keys(remembered, program.PIDS_KEY)
    return record


def _revert_files(host: Host, request: ConfigRequest) -> DesiredFiles:
    """Return the files as they were before the last change."""
    last, path = revert.find_last_change(host, request.file, request.stop_containers), request.instance.record_path
    return DesiredFiles(last.merge, json.loads(last.files.get(path) or "{}"), {path: host.read(path), **last.files}, last.id)


def raise_problem(host: Host, request: ConfigRequest, merge: daemon_merge.Merge, outcome: ConfigOutcome) -> None:
    """Raise ConfigFailed when the engine would not start, or not work, with this daemon.json.

    It also runs before a restart that changes no file: a file damaged by an edit would keep the engine from starting as well.
    """
    problem = _find_problem(host, request, merge)
    if problem:
        raise build_blocked_error(problem, outcome)


def build_blocked_error(problem: str, outcome: ConfigOutcome) -> ConfigFailed:
    """Return the error for a change that was not started."""
    outcome.changed = bool(outcome.recovered)
    return ConfigFailed(f"nothing was changed: {problem}", outcome)


def _find_problem(host: Host, request: ConfigRequest, merge: daemon_merge.Merge) -> str:
    """Return the first problem; empty when none is found."""
    command = request.find_command(host)
    arguments, values = command[1:], flags.parse_flags(command[1:])
    for key, flag in keys.find_clashes(values, merge.after).items():
        return (
            f"{request.file}: {key} is also set by --{flag}={values[flag]} in the command line of {request.instance.unit}, and the engine does"
            " not start with both; remove one of them"
        )
    if request.own_checks:
        problems = checks.check_content(merge.after, host, request.file)
        if problems:
            return "; ".join(problems)
    dockerd = program.find_dockerd(command[0])
    if dockerd is None:
        return "no dockerd is installed on this host to validate this configuration; install the engine first"
    content = dict(merge.after)
    if _would_create_user(content):
        del content["userns-remap"]
    text = merge.text if content == merge.after and merge.text is not None else json.dumps(content)
    default_arguments = ("-H", f"unix://{request.instance.socket}" if request.instance.rootless else "fd://")
    return binary.validate_config(dockerd, text, arguments or default_arguments, request.file) or ""


def _would_create_user(content: Mapping[str, Any]) -> bool:
    """Return whether this content makes the engine create the user dockremap, which its validation does as well."""
    if content.get("userns-remap") not in ("default", "dockremap"):
        return False
    try:
        pwd.getpwnam("dockremap")
    except KeyError:
        return True
    return False
