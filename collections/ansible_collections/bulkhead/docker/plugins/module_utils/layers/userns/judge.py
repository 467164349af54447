# SPDX-License-Identifier: GPL-3.0-or-later
"""User namespaces: the ID maps of containers, held against the subordinate ranges of the engine's user (man 7 user_namespaces)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.instance import of
from ...subid.accounts import list_accounts_inside
from ...subid.mapping import MIN_IDS, Map, SubidState, find_configured_remap, build_expected_maps, explain_unsupported, parse_remap_user, parse_state
from ...subid.ranges import SubidFile, find_overlaps
from ..verdict import ABSENT, DEGRADED, NOT_APPLICABLE, OPTIONAL, UNKNOWN, ContainerVerdict, Verdict

LAYER = "userns"
_SHOWN = 5


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    observed = evidence["observed"]
    here, engine = observed["layers"][LAYER], observed["engine"]
    if of(observed).rootless:
        verdict = Verdict(LAYER, "the user namespace of the rootless engine, judged as layer rootless")
        if evidence.get("probe"):
            verdict.saw(f"/proc/{evidence['probe']['pid']}/uid_map", evidence["probe"]["kernel"].get("uid_map"))
        return verdict.conclude(NOT_APPLICABLE)
    user = _user(evidence, expect)
    verdict = Verdict(LAYER, f"root of a container is an unprivileged ID of the host, from the ranges of {user}")
    if expect.get("requirement") == OPTIONAL and explain_unsupported(here):
        verdict.find("impossible", explain_unsupported(here))
        return verdict.conclude(NOT_APPLICABLE)
    seen, probe = parse_state(here), evidence.get("probe")
    if probe is None:
        verdict.find(
            "no_probe",
            "without a probe nobody can say what the kernel does to a container that asks for nothing",
            UNKNOWN,
        )
    else:
        _judge_process(verdict, probe["kernel"], "the probe", here)
        if not verdict.findings:
            _judge_maps(verdict, probe["kernel"], user, seen, here, engine)
            _judge_wish(verdict, probe["kernel"], user, expect)
    _judge_files(verdict, seen)
    _judge_orphans(verdict, engine)
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    here, engine = evidence["observed"]["layers"][LAYER], evidence["observed"]["engine"]
    name, kernel = container["name"], container["kernel"]
    if of(evidence["observed"]).rootless:
        return ContainerVerdict(LAYER, "the user namespace of the rootless engine").conclude(NOT_APPLICABLE)
    asked_host = container["inspect"]["HostConfig"].get("UsernsMode") == "host"
    verdict = ContainerVerdict(LAYER, "root of the container is an unprivileged ID of the host", opted_out=asked_host)
    _judge_process(verdict, kernel, f"container {name}", here)
    status = verdict.conclude().status
    if status == UNKNOWN:
        return verdict
    if status == ABSENT:
        if engine.get("remapped") and not asked_host:
            verdict.disagreements.append(
                f"the engine maps containers to {engine['remapped']} and docker inspect shows no --userns=host, but the kernel shows the "
                f"map {_words(kernel['uid_map'])}"
            )
    elif asked_host:
        verdict.disagreements.append(f"docker inspect shows --userns=host, but the kernel shows the map {_words(kernel['uid_map'])}")
    elif engine.get("remapped"):
        _judge_maps(verdict, kernel, _user(evidence, expect), parse_state(here), here, engine)
    verdict.conclude()
    return verdict


def _user(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> str:
    """Whose ranges count: those of the user that the engine is find_configured_remap for, otherwise of the one that is desired."""
    return parse_remap_user(find_configured_remap(evidence["observed"]) or expect.get("user") or "default")[0]


def _judge_process(verdict: Verdict, kernel: Mapping[str, Any], who: str, here: Mapping[str, Any]) -> None:
    """Whether a process lives in a user namespace of its own in which root is nobody special to the host."""
    pid = kernel["pid"]
    if "uid_map" not in kernel or "gid_map" not in kernel:
        errors = "; ".join(
            f"{source}: {error}" for source, error in kernel.get("unreadable", {}).items() if source.endswith(("uid_map", "gid_map"))
        )
        verdict.find("unread", f"the ID maps of {who} could not be read{f' ({errors})' if errors else ''}", UNKNOWN)
        return
    for name in ("uid_map", "gid_map"):
        verdict.saw(f"/proc/{pid}/{name}", kernel[name])
    own = kernel.get("namespaces", {}).get("user")
    host = here.get("host_namespace")
    if own:
        verdict.saw(f"/proc/{pid}/ns/user", own)
    remedy = (
        "remove --userns=host from it"
        if isinstance(verdict, ContainerVerdict)
        else "set userns-remap in daemon.json and restart the engine"
    )
    # The namespace decides, not the map: in a host that is a container itself, even the host's own map is no identity.
    if own is not None and own == host:
        verdict.find(
            "host_namespace",
            f"{who} lives in the host's user namespace ({own}): its root is the host's root",
            ABSENT,
            remedy,
        )
    elif not kernel["uid_map"] or not kernel["gid_map"]:
        verdict.find("unmapped", f"{who} has a user namespace without a map: every ID in it is nobody", DEGRADED)
    elif _outside(kernel["uid_map"], 0) or _outside(kernel["gid_map"], 0):
        verdict.find(
            "host_root",
            f"{who} has the host's root in its map: {_words(kernel['uid_map'])} (uid), {_words(kernel['gid_map'])} (gid)",
            ABSENT,
            remedy,
        )
    elif own is None or host is None:
        verdict.find("unread", f"whether {who} has a user namespace of its own could not be read", UNKNOWN)


def _judge_maps(
    verdict: Verdict,
    kernel: Mapping[str, Any],
    user: str,
    seen: SubidState,
    here: Mapping[str, Any],
    engine: Mapping[str, Any],
) -> None:
    """Drift between the kernel's maps and the files, accounts of the host within the maps, and maps that are too short."""
    desired = build_expected_maps(seen, user, engine.get("version"))
    checks = (
        ("uid_map", desired[0], seen.subuid, "subuid", seen.accounts.uids, "user"),
        ("gid_map", desired[1], seen.subgid, "subgid", seen.accounts.gids, "group"),
    )
    for name, expected, file, key, ids, kind in checks:
        rows: Map = kernel[name]
        source = f"/proc/{kernel['pid']}/{name}"
        verdict.saw(f"{file.path}, lines of {user}", [line.text for line in file.lines_of(user, seen.accounts.uids.get(user))])
        if rows != expected:
            _drift(verdict, source, rows, expected, file, user, _edited(here, key, engine))
        inside = [account for unused, outside, count in rows for account in list_accounts_inside(outside, count, ids)]
        if inside:
            accounts = ", ".join(inside[:_SHOWN]) + (f" and {len(inside) - _SHOWN} more" if len(inside) > _SHOWN else "")
            verdict.find(
                "accounts",
                f"{source} contains the ID of the host's {kind} {accounts}: a container can act as it",
                DEGRADED,
                f"give {user} another range",
            )
        mapped = sum(count for unused, unused, count in rows)
        if mapped < MIN_IDS:
            text = f"{source} maps {mapped} IDs; files of nobody (65534) in an image have no owner there"
            verdict.find("short", text, DEGRADED, f"raise the count of {user}'s line in {file.path} to {MIN_IDS} or more")
    root = engine.get("remapped")
    if root and f"{kernel['uid_map'][0][1]}.{kernel['gid_map'][0][1]}" != root:
        verdict.find(
            "root",
            f"the engine's root is {root}, the kernel maps root to {kernel['uid_map'][0][1]}.{kernel['gid_map'][0][1]}",
            DEGRADED,
        )


def _judge_wish(verdict: Verdict, kernel: Mapping[str, Any], user: str, expect: Mapping[str, Any]) -> None:
    """A mapping that holds, but is not the one that the inventory asks for."""
    if expect.get("user", user) != user:
        verdict.find("user", f"the engine is find_configured_remap to remap to {user}, the inventory wants {expect['user']}", DEGRADED)
    start, mapped = expect.get("start"), kernel["uid_map"][0][1]
    if start is not None and mapped != start:
        text = f"/proc/{kernel['pid']}/uid_map maps root to {mapped}, the inventory wants {start} and nothing else"
        verdict.find("start", text, DEGRADED)


def _drift(verdict: Verdict, source: str, rows: Map, expected: Map, file: SubidFile, user: str, edited: str) -> None:
    if expected:
        text = f"{source} is {_words(rows)}, but {file.path} gives {user} {_words(expected)}{edited}"
    else:
        text = f"{source} is {_words(rows)}, but {file.path} has no range of {user}{edited}: at its next start the engine fails"
    verdict.find(
        "drift",
        text,
        DEGRADED,
        "put the lines back, or restart the engine where the new ones are meant (it then has another root)",
    )


def _edited(here: Mapping[str, Any], key: str, engine: Mapping[str, Any]) -> str:
    """` (edited after the engine started)` where the file's time says so."""
    changed, started = here[key].get("mtime"), engine.get("started_at")
    return " (edited after the engine started)" if changed and started and changed > started else ""


def _judge_files(verdict: Verdict, seen: SubidState) -> None:
    """Ranges of two users that overlap, whoever they are: IDs of one's containers own the other's files."""
    for file in (seen.subuid, seen.subgid):
        found = find_overlaps(file, dict(seen.accounts.uids))
        for one, other in found[:_SHOWN]:
            verdict.find(
                "overlap",
                f"{file.locate(one)} overlaps {file.locate(other)}: containers of both own the same IDs",
                DEGRADED,
                "give one of them another range",
            )
        if len(found) > _SHOWN:
            verdict.find("overlap", f"{file.path} has {len(found) - _SHOWN} more pairs of lines that overlap", DEGRADED)
    for file in (seen.subuid, seen.subgid):
        for line in file.problems():
            verdict.find("malformed", f"{file.locate(line)} {line.problem}", DEGRADED if line.stops_engines else None)


def _judge_orphans(verdict: Verdict, engine: Mapping[str, Any]) -> None:
    """Containers that live-restore left behind when the engine's root changed: not listed by docker ps, and as un-remapped as they were."""
    for orphan in engine.get("orphans") or ():
        if _outside(orphan.get("uid_map") or [], 0):
            text = f"container {orphan['id'][:12]} runs without the engine knowing it, and its root is the host's root"
            verdict.find("orphan", text, DEGRADED, "end it with `ctr -n moby tasks kill`")


def _outside(rows: Map, host_id: int) -> bool:
    """Whether the map contains this ID of the host."""
    return any(outside <= host_id < outside + count for unused, outside, count in rows)


def _words(rows: Map) -> str:
    """`0 231072 65536`, as the kernel writes it; several rows with commas."""
    return ", ".join(" ".join(map(str, row)) for row in rows)
