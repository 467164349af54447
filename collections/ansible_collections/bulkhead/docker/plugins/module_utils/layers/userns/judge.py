# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges user namespaces: the ID maps of containers against the subordinate ranges of the engine's user (man 7 user_namespaces)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.instance import get_observed_instance
from ...formatting import format_names
from ...host.accounts import CONFIG, GROUP, PASSWD
from ...subid.allocate import list_accounts_inside
from ...subid.mapping import (
    MIN_IDS,
    Map,
    SubidState,
    build_expected_maps,
    explain_unsupported,
    find_configured_remap,
    find_subid_services,
    parse_state,
    resolve_remap,
)
from ...subid.overlaps import find_overlaps
from ...subid.ranges import SUBGID, SUBUID, SubidFile, find_users_of_range
from ...subid.remap_user import parse_major
from ..identity import get_map
from ..states import get_proc_folder, judge_states
from ..verdict import ABSENT, DEGRADED, NOT_APPLICABLE, OPTIONAL, UNKNOWN, ContainerVerdict, Verdict

LAYER = __package__.rpartition(".")[2]
_SHOWN = 5


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the engine's default by the ID maps of the probe, and the files with the ranges."""
    observed = evidence["observed"]
    here, engine = observed["layers"][LAYER], observed["engine"]
    if get_observed_instance(observed).rootless:
        verdict = Verdict(LAYER, "the user namespace of the rootless engine, judged as layer rootless")
        if evidence.get("probe"):
            verdict.add_evidence(f"/proc/{evidence['probe']['pid']}/uid_map", evidence["probe"]["kernel"].get("uid_map"))
        return verdict.conclude(NOT_APPLICABLE)
    user = _select_user(evidence, expect)
    verdict = Verdict(LAYER, f"root of a container is an unprivileged ID of the host, from the ranges of {user}")
    if expect.get("requirement") == OPTIONAL and explain_unsupported(here):
        verdict.add_finding("impossible", explain_unsupported(here))
        return verdict.conclude(NOT_APPLICABLE)
    subids, probe = parse_state(here), evidence.get("probe")
    if probe is None:
        verdict.add_finding("no_probe", "without a probe container the ID maps of containers are not known", UNKNOWN)
    else:
        _judge_process(verdict, probe["kernel"], "the probe", here)
        if not verdict.findings:
            _judge_maps(verdict, probe["kernel"], user, subids, here, engine)
            _judge_expectation(verdict, probe["kernel"], user, {**expect, "user": resolve_remap(subids, expect.get("user") or user)[0]})
    _judge_files(verdict, subids, user, engine.get("version"))
    _report_unchecked(verdict, here)
    _judge_orphans(verdict, engine)
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by the ID maps of its processes."""
    here, engine = evidence["observed"]["layers"][LAYER], evidence["observed"]["engine"]
    kernel = container["kernel"]
    if get_observed_instance(evidence["observed"]).rootless:
        return ContainerVerdict(LAYER, "the user namespace of the rootless engine").conclude(NOT_APPLICABLE)
    asked_host = container["inspect"]["HostConfig"].get("UsernsMode") == "host"
    verdict = ContainerVerdict(LAYER, "root of the container is an unprivileged ID of the host", opted_out=asked_host)
    remedy = "remove --userns=host from it"
    judge_states(verdict, container, lambda own, state, who: _judge_process(own, state, who, here, remedy))
    first = Verdict(LAYER, "")
    _judge_process(first, kernel, "", here, remedy)
    status = first.conclude().status
    if status == ABSENT:
        if engine.get("remapped") and not asked_host:
            verdict.disagreements.append(
                f"the engine maps containers to {engine['remapped']} and docker inspect shows no --userns=host, but the kernel shows the "
                f"map {_format_map(kernel['uid_map'])}"
            )
    elif status != UNKNOWN and asked_host:
        verdict.disagreements.append(f"docker inspect shows --userns=host, but the kernel shows the map {_format_map(kernel['uid_map'])}")
    elif status != UNKNOWN and engine.get("remapped"):
        _judge_maps(verdict, kernel, _select_user(evidence, expect), parse_state(here), here, engine)
    return verdict.conclude()


def _select_user(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> str:
    """Return the user whose ranges count: the one that the engine is configured for, otherwise the expected one."""
    setting = find_configured_remap(evidence["observed"]) or expect.get("user") or "default"
    return resolve_remap(parse_state(evidence["observed"]["layers"][LAYER]), setting)[0]


def _judge_process(verdict: Verdict, kernel: Mapping[str, Any], subject: str, here: Mapping[str, Any], remedy: str = "") -> None:
    """Judge whether a process is in a user namespace of its own without the host's root in its map."""
    proc = get_proc_folder(kernel)
    if "uid_map" not in kernel or "gid_map" not in kernel:
        errors = "; ".join(
            f"{source}: {error}" for source, error in kernel.get("unreadable", {}).items() if source.endswith(("uid_map", "gid_map"))
        )
        verdict.add_finding("unread", f"the ID maps of {subject} could not be read{f' ({errors})' if errors else ''}", UNKNOWN)
        return
    own = (kernel.get("namespaces") or {}).get("user")
    host = here.get("host_namespace")
    for name in ("uid_map", "gid_map") if own is None or own != host else ():
        verdict.add_evidence(f"{proc}/{name}", kernel[name])
    if own:
        verdict.add_evidence(f"{proc}/ns/user", own)
    remedy = remedy or "set userns-remap in daemon.json and restart the engine"
    # The namespace decides, not the map: where the host is a container itself, its own map is not the identity either.
    if own is not None and own == host:
        verdict.add_finding(
            "host_namespace", f"{subject} is in the host's user namespace ({own}): its root is the host's root", ABSENT, remedy
        )
    elif missing := [name for name in ("uid_map", "gid_map") if get_map(kernel, name) is None]:
        shown = ", ".join(f"{proc}/{name} is {kernel[name]!r}" if kernel[name] else f"{proc}/{name} is empty" for name in missing)
        verdict.add_finding("unmapped", f"{subject} has a user namespace without a usable map: {shown}", UNKNOWN)
    elif _contains(kernel["uid_map"], 0) or _contains(kernel["gid_map"], 0):
        maps = f"{_format_map(kernel['uid_map'])} (uid), {_format_map(kernel['gid_map'])} (gid)"
        verdict.add_finding("host_root", f"{subject} has the host's root in its map: {maps}", ABSENT, remedy)
    elif own is None or host is None:
        verdict.add_finding("unread", f"whether {subject} has a user namespace of its own could not be read", UNKNOWN)


def _judge_maps(
    verdict: Verdict,
    kernel: Mapping[str, Any],
    user: str,
    subids: SubidState,
    here: Mapping[str, Any],
    engine: Mapping[str, Any],
) -> None:
    """Judge drift between the kernel's maps and the files, accounts of the host inside the maps, and the maps' size."""
    uid_map, gid_map = build_expected_maps(subids, user, engine.get("version"))
    checks = (
        ("uid_map", uid_map, subids.subuid, "subuid", subids.accounts.uids, "user"),
        ("gid_map", gid_map, subids.subgid, "subgid", subids.accounts.gids, "group"),
    )
    for name, expected, file, key, ids, kind in checks:
        rows: Map = kernel[name]
        source = f"/proc/{kernel['pid']}/{name}"
        verdict.add_evidence(f"{file.path}, lines of {user}", [line.text for line in file.lines_of(user, subids.accounts.uids.get(user))])
        if rows != expected and file.path not in here.get("unreadable", {}):
            _report_drift(verdict, source, rows, expected, file, user, _describe_edit(here, key, engine))
        inside = [account for unused, outside, count in rows for account in list_accounts_inside(outside, count, ids)]
        if inside:
            text = f"{source} contains the ID of the host's {kind} {format_names(inside, _SHOWN)}: a container can act as it"
            verdict.add_finding("accounts", text, DEGRADED, f"give {user} another range")
        mapped = sum(count for unused, unused, count in rows)
        if mapped < MIN_IDS:
            text = f"{source} maps {mapped} IDs; files of nobody (65534) in an image have no owner there"
            verdict.add_finding("short", text, DEGRADED, f"raise the count of {user}'s line in {file.path} to {MIN_IDS} or more")
    root, mapped_root = engine.get("remapped"), f"{kernel['uid_map'][0][1]}.{kernel['gid_map'][0][1]}"
    if root and mapped_root != root:
        verdict.add_finding("root", f"the engine's data root is for {root}, and the kernel maps root to {mapped_root}", DEGRADED)


def _judge_expectation(verdict: Verdict, kernel: Mapping[str, Any], user: str, expect: Mapping[str, Any]) -> None:
    """Judge whether a working map is the one that the inventory requires."""
    if expect.get("user", user) != user:
        verdict.add_finding("user", f"the engine remaps to {user}, and the inventory requires {expect['user']}", DEGRADED)
    start, mapped = expect.get("start"), kernel["uid_map"][0][1]
    if start is not None and mapped != start:
        verdict.add_finding(
            "start", f"/proc/{kernel['pid']}/uid_map maps root to {mapped}, and the inventory requires exactly {start}", DEGRADED
        )


def _report_drift(verdict: Verdict, source: str, rows: Map, expected: Map, file: SubidFile, user: str, edited: str) -> None:
    if expected:
        text = f"{source} is {_format_map(rows)}, but {file.path} gives {user} {_format_map(expected)}{edited}"
    else:
        text = f"{source} is {_format_map(rows)}, but {file.path} has no range of {user}{edited}: at its next start the engine fails"
    remedy = "restore the lines, or restart the engine to use the new ones (it then has another data root)"
    verdict.add_finding("drift", text, DEGRADED, remedy)


def _describe_edit(here: Mapping[str, Any], key: str, engine: Mapping[str, Any]) -> str:
    """Return ` (edited after the engine started)` where the file's time shows it."""
    changed, started = here[key].get("mtime"), engine.get("started_at")
    return " (edited after the engine started)" if changed and started and changed > started else ""


def _judge_files(verdict: Verdict, subids: SubidState, user: str, version: str | None) -> None:
    """Report lines of other users with IDs of the engine's user: containers of one own the other's files. What others share is a note."""
    uids = dict(subids.accounts.uids)
    for file in (subids.subuid, subids.subgid):
        for own, other in find_users_of_range(file, user, uids.get(user), uids)[:_SHOWN]:
            one, two = sorted((own, other), key=lambda line: line.number)
            text = f"{file.locate(one)} overlaps {file.locate(two)}: containers of both own the same IDs"
            verdict.add_finding("overlap", text, DEGRADED, "give one of them another range")
        # LXD gives its range to root too, by design.
        others = [
            (one, two) for one, two in find_overlaps(file, uids) if not {one.owner, two.owner} & {user, str(uids.get(user)), "root", "0"}
        ]
        for one, two in others[:_SHOWN]:
            verdict.add_finding("shared_range", f"{file.locate(one)} overlaps {file.locate(two)}; neither is a range of {user}")
        if len(others) > _SHOWN:
            verdict.add_finding("shared_range", f"{file.path} has {len(others) - _SHOWN} more pairs of lines of other users that overlap")
    for file in (subids.subuid, subids.subgid):
        for line in file.problems():
            stops = line.stops_every_engine or (line.stops_engines and (parse_major(version) or 0) < 28)
            verdict.add_finding("malformed", f"{file.locate(line)} {line.problem}", DEGRADED if stops else None)


def _report_unchecked(verdict: Verdict, here: Mapping[str, Any]) -> None:
    """Report files that could not be read, and accounts and ranges of directory services that could not be compared with the maps."""
    for source in (SUBUID, SUBGID, PASSWD, GROUP):
        if source in here.get("unreadable", {}):
            text = f"{source} cannot be read ({here['unreadable'][source]}), so it was not compared with the maps"
            verdict.add_finding("file_unread", text, UNKNOWN)
    unchecked = (here.get("directory") or {}).get("unchecked") or ()
    if unchecked:
        text = f"accounts of directory services were not compared with the ranges: {'; '.join(unchecked)}"
        verdict.add_finding("directory", text, None, "make sure that no account has an ID in the range: getent passwd ID")
    services = find_subid_services(here)
    if services:
        text = f"{CONFIG} names {', '.join(services)} for subid, so ranges of other users may overlap without being in the files"
        verdict.add_finding("subid_source", text, None, "compare them with those of the users: getsubids USER")


def _judge_orphans(verdict: Verdict, engine: Mapping[str, Any]) -> None:
    """Report containers that live-restore left when the data root changed: docker ps does not list them, and they are not remapped."""
    for orphan in engine.get("orphans") or ():
        if _contains(get_map(orphan, "uid_map") or [], 0):
            text = f"container {orphan['id'][:12]} runs unknown to the engine, and its root is the host's root"
            verdict.add_finding("orphan", text, DEGRADED, "end it with `ctr -n moby tasks kill`")


def _contains(rows: Map, host_id: int) -> bool:
    """Return whether the map contains this ID of the host."""
    return any(outside <= host_id < outside + count for unused, outside, count in rows)


def _format_map(rows: Any) -> str:
    """Return `0 231072 65536`, as the kernel writes it; several rows with commas. Rows of another form are shown as they are."""
    return ", ".join(" ".join(map(str, row)) if isinstance(row, list | tuple) else str(row) for row in rows or ()) or "(empty)"
