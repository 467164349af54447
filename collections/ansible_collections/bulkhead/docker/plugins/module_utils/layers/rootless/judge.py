# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the rootless engine: the owner and user namespace of dockerd and of its containers, and what keeps them so after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...host.accounts import CONFIG
from ...host.root import sha256
from ...rootless import names
from ...subid.mapping import MIN_IDS, parse_state
from ...subid.ranges import build_engine_map
from ..verdict import ABSENT, DEGRADED, DISABLED, ENFORCED, NOT_APPLICABLE, UNKNOWN, ContainerVerdict, Verdict

LAYER = __package__.rpartition(".")[2]
_RUN_AGAIN = "run harden.yml"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the user's engine by its process, socket, probe and start at boot, and report other engines."""
    observed, user = evidence["observed"], expect.get("user")
    here, other_engines = observed["layers"].get(LAYER) or {"engines": []}, evidence.get("other_engines", {})
    if expect.get("requirement", DISABLED) == DISABLED or not user:
        verdict = Verdict(LAYER, "no rootless engine is required")
        _judge_other_engines(verdict, here, other_engines)
        return verdict.conclude(NOT_APPLICABLE)
    verdict = Verdict(LAYER, f"dockerd belongs to {user}, in a user namespace whose root is {user}, from boot on and with all limits")
    engine = next((entry for entry in here["engines"] if entry["judged"]), None)
    if engine is None:
        text = f"no dockerd of {user} runs in a user namespace of its own"
        verdict.add_finding("not_running", text, ABSENT, f"systemctl --user -M {user}@ status docker")
    else:
        _judge_process(verdict, engine, observed, user)
        _judge_socket(verdict, engine)
    _judge_probe(verdict, evidence.get("probe"), here, expect)
    _judge_persistence(verdict, here, user)
    _judge_first_port(verdict, here, expect.get("first_port"))
    _judge_controllers(verdict, here)
    _judge_runtime(verdict, here, observed["engine"], expect.get("wrapper"))
    _judge_rootful(verdict, here["rootful"], bool(expect.get("disable_rootful")), other_engines)
    _judge_other_engines(verdict, here, other_engines)
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by the user namespace of its first process."""
    user = expect.get("user")
    if expect.get("requirement", DISABLED) == DISABLED or not user:
        return ContainerVerdict(LAYER, "no rootless engine is required").conclude(NOT_APPLICABLE)
    verdict = ContainerVerdict(LAYER, f"is in the user namespace of {user}")
    _judge_container_root(verdict, container["kernel"], f"container {container['name']}", evidence["observed"]["layers"][LAYER])
    return verdict.conclude()


def _judge_other_engines(verdict: Verdict, here: Mapping[str, Any], other_engines: Mapping[str, Any]) -> None:
    """Judge engines of users that the inventory does not name by the defaults of their containers."""
    for entry in here["engines"]:
        if entry["judged"]:
            continue
        verdict.add_evidence(f"/proc/{entry['pid']}/uid_map of dockerd, owned by {entry['user']}", entry["uid_map"])
        if entry["kind"] == "rootless":
            engine = f"a rootless engine of {entry['user']} runs here (dockerd {entry['pid']})"
            remedy = "stop it, or name its user as rootless_docker_user"
            lacking = _list_lacking(other_engines.get(str(entry["pid"])))
            if lacking is None:
                verdict.add_finding("not_examined", f"{engine}; its containers were not examined", DEGRADED, remedy)
            elif lacking:
                verdict.add_finding(
                    "other_engines", f"{engine}; its defaults that are not enforced: {', '.join(lacking)}", DEGRADED, remedy
                )
            else:
                verdict.add_finding("other_engines", f"{engine}; its defaults are enforced")


def _list_lacking(engine: Mapping[str, Any] | None) -> list[str] | None:
    """Return the defaults of an engine that are not enforced, as `layer (status)`; None for an engine that was not examined."""
    if engine is None:
        return None
    return [f"{layer['layer']} ({layer['status']})" for layer in engine["layers"] if layer["status"] not in (ENFORCED, NOT_APPLICABLE)]


def _judge_process(verdict: Verdict, engine: Mapping[str, Any], observed: Mapping[str, Any], user: str) -> None:
    source = f"/proc/{engine['pid']}/uid_map"
    verdict.add_evidence(source, engine["uid_map"], headline=True)
    verdict.add_evidence(f"/proc/{engine['pid']}/status Uid of dockerd", engine["uid"])
    subids = parse_state(observed["layers"]["userns"])
    uid = engine["uid"]  # of the process: /etc/passwd does not have users of directory services
    rows = engine["uid_map"]
    if not rows or rows[0] != [0, engine["uid"], 1]:
        verdict.add_finding("map", f"{source}: root of the engine is not {user} ({engine['uid']}): {rows}", DEGRADED, "restart the engine")
    mapped = [row[1:] for row in rows[1:]]
    expected = [row[1:] for row in build_engine_map(subids.subuid, user, uid, False)]
    verdict.add_evidence(f"/etc/subuid, lines of {user}", [line.text for line in subids.subuid.lines_of(user, uid)])
    sources = observed["layers"]["userns"].get("subid_sources") or ["files"]
    if mapped != expected and sources[0] != "files":
        text = f"{source}: maps {mapped}, and {CONFIG} names {sources[0]} for subid, so the files do not decide what is right"
        verdict.add_finding("map_unknown", text, UNKNOWN, f"compare it with `getsubids {user}`")
    elif mapped != expected:
        text = f"{source}: maps {mapped}, and /etc/subuid gives {user} {expected}"
        verdict.add_finding("map_differs", text, DEGRADED, "restart the engine after the change")
    if sum(count for unused, count in mapped) < MIN_IDS:
        text = f"{source}: fewer than {MIN_IDS} IDs, so that images with files of nobody cannot be unpacked"
        verdict.add_finding("map_short", text, DEGRADED, _RUN_AGAIN)


def _judge_socket(verdict: Verdict, engine: Mapping[str, Any]) -> None:
    """Judge who can reach the engine: they have the rights of its user and can start containers."""
    socket = engine["socket"]
    if not socket or not socket["socket"]:
        verdict.add_finding(
            "socket_missing", f"socket /run/user/{engine['uid']}/docker.sock does not exist", DEGRADED, "restart the engine"
        )
        return
    path, mode, folder_mode = socket["path"], socket["mode"], socket["folder_mode"]
    verdict.add_evidence(f"stat {path}", f"uid {socket['uid']}, gid {socket['gid']}, mode {mode}, in a folder of mode {folder_mode}")
    if socket["uid"] != engine["uid"] or socket["folder_uid"] != engine["uid"]:
        verdict.add_finding("socket_owner", f"{path} belongs to uid {socket['uid']}, the engine to {engine['uid']}", DEGRADED)
    if int(mode, 8) & 0o006:
        verdict.add_finding("socket_mode", f"{path} has mode {mode}: every user of the host may connect", DEGRADED, f"chmod o= {path}")
    if int(folder_mode, 8) & 0o077:
        folder = path.rpartition("/")[0]
        verdict.add_finding("socket_folder", f"{folder} has mode {folder_mode} and is open to others", DEGRADED, f"chmod 700 {folder}")


def _judge_probe(verdict: Verdict, probe: Mapping[str, Any] | None, here: Mapping[str, Any], expect: Mapping[str, Any]) -> None:
    if probe is None:
        verdict.add_finding("no_probe", "without a probe container the user namespace of containers is not known", UNKNOWN)
        return
    _judge_container_root(verdict, probe["kernel"], "the probe", here)
    label, profile = probe["kernel"].get("label"), expect.get("profile")
    if profile and expect.get("wrapper"):
        verdict.add_evidence(f"/proc/{probe['pid']}/attr/current", label)
        if label is not None and label.split(" ")[0] != profile:
            text = f"a container that names no profile runs under {label}, not {profile}: Bulkhead's OCI runtime did not start it"
            verdict.add_finding("profile", text, DEGRADED, _RUN_AGAIN)


def _judge_container_root(verdict: Verdict, kernel: Mapping[str, Any], subject: str, here: Mapping[str, Any]) -> None:
    rows, uid = kernel.get("uid_map"), (here.get("user") or {}).get("uid")
    if rows is None:
        verdict.add_finding("unread", f"the ID map of {subject} could not be read", UNKNOWN)
        return
    verdict.add_evidence(f"/proc/{kernel['pid']}/uid_map", rows)
    if not rows or rows[0][:2] != [0, uid]:
        verdict.add_finding("container_map", f"root of {subject} is not the engine's user ({uid}): {rows}", ABSENT)


def _judge_persistence(verdict: Verdict, here: Mapping[str, Any], user: str) -> None:
    """Judge whether the engine survives a logout and starts at boot."""
    verdict.add_evidence(names.build_linger_path(user), "exists" if here["linger"] else "no such file")
    if not here["linger"]:
        text = f"lingering is off for {user}: the engine ends with the last login, and does not start at boot"
        verdict.add_finding("no_linger", text, DEGRADED, f"loginctl enable-linger {user}")
    if here.get("own_unit"):
        verdict.add_finding("own_unit", f"the engine is started by {here['own_unit']}, which belongs to the user and was not examined")
        if not here["own_unit_enabled"]:
            text = f"{here['own_unit']} is not enabled: the engine does not start at boot"
            verdict.add_finding("not_enabled", text, DEGRADED, f"systemctl --user -M {user}@ enable docker.service")
        return
    unit, enabled = here["files"].get(names.UNIT) or {}, here["files"].get(names.ENABLED) or {}
    if not unit.get("text"):
        verdict.add_finding("unit_missing", f"{names.UNIT} is missing: the engine does not start again", DEGRADED, _RUN_AGAIN)
    if enabled.get("link") != "../docker.service":
        verdict.add_finding("not_enabled", f"{names.ENABLED} is missing: the engine does not start at boot", DEGRADED, _RUN_AGAIN)
    if unit and (unit.get("uid") != 0 or int(unit.get("mode") or 0) & 0o022):
        remedy = f"chown root {names.UNIT}; chmod 644 {names.UNIT}"
        verdict.add_finding("unit_writable", f"{names.UNIT} can be written by users other than root", DEGRADED, remedy)


def _judge_first_port(verdict: Verdict, here: Mapping[str, Any], expected: int | None) -> None:
    if expected is None:
        return
    present = here["first_port"]
    verdict.add_evidence(names.FIRST_PORT, present)
    if not present.isdigit():
        verdict.add_finding("port_unread", f"{names.FIRST_PORT} could not be read", UNKNOWN)
    elif int(present) > expected:
        text = f"{names.FIRST_PORT} is {present}: the engine cannot publish the ports {expected} to {int(present) - 1}"
        verdict.add_finding("port", text, DEGRADED, _RUN_AGAIN)
    elif int(present) < expected:
        verdict.add_finding("port_lower", f"{names.FIRST_PORT} is {present}, lower than the required {expected}")


def _judge_controllers(verdict: Verdict, here: Mapping[str, Any]) -> None:
    uid = (here.get("user") or {}).get("uid")
    source = f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    delegated = here.get("controllers")
    if delegated is None:
        verdict.add_finding("controllers_unread", f"{source} could not be read: the user's manager does not run", UNKNOWN)
    else:
        verdict.add_evidence(source, " ".join(delegated))
        lacking = [name for name in names.CONTROLLERS if name not in delegated]
        if lacking:
            text = f"the user's manager cannot limit {', '.join(lacking)}: such limits of containers have no effect"
            verdict.add_finding("not_delegated", text, DEGRADED, _RUN_AGAIN)
    drop_in = names.build_delegation_path(uid)
    if not (here["files"].get(drop_in) or {}).get("text"):
        text = f"{drop_in} is missing: some controllers are no longer delegated after the next boot"
        verdict.add_finding("delegation_missing", text, DEGRADED, _RUN_AGAIN)


def _judge_runtime(verdict: Verdict, here: Mapping[str, Any], engine: Mapping[str, Any], expected: Mapping[str, Any] | None) -> None:
    """Judge the OCI runtime that gives containers of a rootless engine their AppArmor profile."""
    if not expected:
        return
    path = expected["path"]
    file = here["files"].get(path) or {}
    default = (engine.get("info") or {}).get("DefaultRuntime")
    if not file:
        verdict.add_finding(
            "runtime_missing", f"{path}, the engine's default runtime, is missing: no container starts", DEGRADED, _RUN_AGAIN
        )
    elif file.get("link") or file.get("uid") != 0 or int(file.get("mode") or 0) & 0o022:
        verdict.add_finding("runtime_writable", f"{path} can be replaced or written by users other than root", DEGRADED, _RUN_AGAIN)
    elif sha256(str(file.get("text"))) != expected["sha256"]:
        verdict.add_finding("runtime_differs", f"{path} is not the program that the inventory requires", DEGRADED, _RUN_AGAIN)
    else:
        verdict.add_evidence(f"sha256sum {path}", expected["sha256"])
    if default is not None and default != names.RUNTIME:
        verdict.add_finding("runtime_not_default", f"the engine's default runtime is {default}, not {names.RUNTIME}", DEGRADED, _RUN_AGAIN)


def _judge_rootful(verdict: Verdict, rootful: Mapping[str, Any], disable: bool, other_engines: Mapping[str, Any]) -> None:
    if not disable:
        if rootful["pid"]:
            lacking = _list_lacking(other_engines.get(str(rootful["pid"])))
            result = "its containers were not examined" if lacking is None else "its defaults are enforced"
            if lacking:
                result = f"its defaults that are not enforced: {', '.join(lacking)}"
            verdict.add_finding("rootful_kept", f"a rootful engine runs too, as the inventory allows; {result}")
        return
    if rootful["pid"]:
        text = f"a rootful engine runs here (dockerd {rootful['pid']}), which the inventory does not allow"
        verdict.add_finding("rootful_running", text, DEGRADED, _RUN_AGAIN)
    unmasked = [unit for unit in rootful["present"] if unit not in rootful["masked"]]
    if unmasked:
        verdict.add_finding(
            "rootful_not_masked", f"{', '.join(unmasked)} is not masked: a rootful engine may be started", DEGRADED, _RUN_AGAIN
        )
    elif rootful["listening"]:
        verdict.add_finding(
            "rootful_socket", f"systemd listens on {rootful.get('socket')} and would start a rootful engine", DEGRADED, _RUN_AGAIN
        )
