# SPDX-License-Identifier: GPL-3.0-or-later
"""Rootless engine: who owns the dockerd processes of this host, in which user namespace they and their containers live, and what keeps it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...host.files import sha256
from ...rootless import names
from ...subid.mapping import parse_state
from ...subid.ranges import build_engine_map
from ..verdict import ABSENT, DEGRADED, DISABLED, ENFORCED, NOT_APPLICABLE, UNKNOWN, ContainerVerdict, Verdict

LAYER = "rootless"
_AGAIN = "run the playbook again"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    observed, user = evidence["observed"], expect.get("user")
    here = observed["layers"].get(LAYER) or {"engines": []}
    if expect.get("requirement", DISABLED) == DISABLED or not user:
        verdict = Verdict(LAYER, "no rootless engine is asked for")
        _others(verdict, here, evidence.get("other_engines", {}))
        return verdict.conclude(NOT_APPLICABLE)
    verdict = Verdict(LAYER, f"dockerd belongs to {user}, in a user namespace whose root is {user}, from boot on and with all limits")
    engine = next((entry for entry in here["engines"] if entry["judged"]), None)
    if engine is None:
        verdict.find(
            "not_running", f"no dockerd of {user} runs in a user namespace of its own", ABSENT, f"systemctl --user -M {user}@ status docker"
        )
    else:
        _process(verdict, engine, observed, user)
        _socket(verdict, engine)
    _probe(verdict, evidence.get("probe"), here, expect)
    _lasting(verdict, here, user)
    _ports(verdict, here, expect.get("first_port"))
    _controllers(verdict, here)
    _runtime(verdict, here, observed["engine"], expect.get("wrapper"))
    _rootful(verdict, here["rootful"], bool(expect.get("disable_rootful")), evidence.get("other_engines", {}))
    _others(verdict, here, evidence.get("other_engines", {}))
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    user = expect.get("user")
    if expect.get("requirement", DISABLED) == DISABLED or not user:
        return ContainerVerdict(LAYER, "no rootless engine is asked for").conclude(NOT_APPLICABLE)
    verdict = ContainerVerdict(LAYER, f"lives in the user namespace of {user}")
    _root_of(verdict, container["kernel"], f"container {container['name']}", evidence["observed"]["layers"][LAYER])
    return verdict.conclude()


def _others(verdict: Verdict, here: Mapping[str, Any], beside: Mapping[int, Any]) -> None:
    """Engines of users whom the inventory does not name: they are as good as the defaults of their containers."""
    for entry in here["engines"]:
        if entry["judged"]:
            continue
        verdict.saw(f"/proc/{entry['pid']}/uid_map of dockerd, owned by {entry['user']}", entry["uid_map"])
        if entry["kind"] == "rootless":
            name = f"a rootless engine of {entry['user']} runs here (dockerd {entry['pid']})"
            remedy = "stop it, or name its user as rootless_docker_user"
            lacking = _lacking(beside.get(entry["pid"]))
            if lacking is None:
                verdict.find("not_examined", f"{name}; its containers were not looked into", DEGRADED, remedy)
            elif lacking:
                verdict.find("other_engines", f"{name}; of its defaults do not hold: {', '.join(lacking)}", DEGRADED, remedy)
            else:
                verdict.find("other_engines", f"{name}; its defaults hold")


def _lacking(seen: Mapping[str, Any] | None) -> list[str] | None:
    """Which defaults of an engine do not hold, as `layer (status)`; None where nobody has looked."""
    if seen is None:
        return None
    return [f"{layer['layer']} ({layer['status']})" for layer in seen["layers"] if layer["status"] not in (ENFORCED, NOT_APPLICABLE)]


def _process(verdict: Verdict, engine: Mapping[str, Any], observed: Mapping[str, Any], user: str) -> None:
    source = f"/proc/{engine['pid']}/uid_map"
    verdict.saw(source, engine["uid_map"], headline=True)
    verdict.saw(f"/proc/{engine['pid']}/status Uid of dockerd", engine["uid"])
    seen = parse_state(observed["layers"]["userns"])
    ranges = build_engine_map(seen.subuid, user, seen.accounts.uids.get(user), False)
    rows = engine["uid_map"]
    if not rows or rows[0] != [0, engine["uid"], 1]:
        verdict.find("map", f"{source}: root of the engine is not {user} ({engine['uid']}) itself: {rows}", DEGRADED, "restart the engine")
    given = [row[1:] for row in rows[1:]]
    desired = [row[1:] for row in ranges]
    verdict.saw(f"/etc/subuid, lines of {user}", [line.text for line in seen.subuid.lines_of(user, seen.accounts.uids.get(user))])
    if given != desired:
        verdict.find(
            "map_differs",
            f"{source}: maps {given}, and /etc/subuid gives {user} {desired}",
            DEGRADED,
            "restart the engine after the change",
        )
    if sum(count for unused, count in given) < 65536:
        verdict.find(
            "map_short", f"{source}: fewer than 65536 IDs, so that images with files of nobody can't be unpacked", DEGRADED, _AGAIN
        )


def _socket(verdict: Verdict, engine: Mapping[str, Any]) -> None:
    """Who can reach the engine can do in it what its user can, and start containers in his name."""
    socket = engine["socket"]
    if not socket or not socket["socket"]:
        verdict.find("socket_missing", f"there is no socket /run/user/{engine['uid']}/docker.sock", DEGRADED, "restart the engine")
        return
    verdict.saw(
        f"stat {socket['path']}",
        f"uid {socket['uid']}, gid {socket['gid']}, mode {socket['mode']}, in a folder of mode {socket['folder_mode']}",
    )
    if socket["uid"] != engine["uid"] or socket["folder_uid"] != engine["uid"]:
        verdict.find("socket_owner", f"{socket['path']} belongs to uid {socket['uid']}, the engine to {engine['uid']}", DEGRADED)
    if int(socket["mode"], 8) & 0o006:
        verdict.find(
            "socket_mode",
            f"{socket['path']} has mode {socket['mode']}: every user of the host may speak to it",
            DEGRADED,
            f"chmod o= {socket['path']}",
        )
    if int(socket["folder_mode"], 8) & 0o077:
        folder = socket["path"].rpartition("/")[0]
        verdict.find("socket_folder", f"{folder} has mode {socket['folder_mode']} and is open to others", DEGRADED, f"chmod 700 {folder}")


def _probe(verdict: Verdict, probe: Mapping[str, Any] | None, here: Mapping[str, Any], expect: Mapping[str, Any]) -> None:
    if probe is None:
        verdict.find("no_probe", "without a probe nobody can say in which user namespace a container comes to live", UNKNOWN)
        return
    _root_of(verdict, probe["kernel"], "the probe", here)
    label, profile = probe["kernel"].get("label"), expect.get("profile")
    if profile and expect.get("wrapper"):
        verdict.saw(f"/proc/{probe['pid']}/attr/current", label)
        if label is not None and label.split(" ")[0] != profile:
            verdict.find(
                "profile",
                f"a container that names no profile runs under {label}, not {profile}: the OCI runtime of ours did not start it",
                DEGRADED,
                _AGAIN,
            )


def _root_of(verdict: Verdict, kernel: Mapping[str, Any], who: str, here: Mapping[str, Any]) -> None:
    rows, uid = kernel.get("uid_map"), (here.get("user") or {}).get("uid")
    if rows is None:
        verdict.find("unread", f"the ID map of {who} could not be read", UNKNOWN)
        return
    verdict.saw(f"/proc/{kernel['pid']}/uid_map", rows)
    if not rows or rows[0][:2] != [0, uid]:
        verdict.find("container_map", f"root of {who} is no ID of the engine's user ({uid}): {rows}", ABSENT)


def _lasting(verdict: Verdict, here: Mapping[str, Any], user: str) -> None:
    """What holds now need not hold after a logout or a boot."""
    verdict.saw(f"/var/lib/systemd/linger/{user}", "there" if here["linger"] else "no such file")
    if not here["linger"]:
        text = f"{user} does not linger: its engine ends with its last login, and does not start at boot"
        verdict.find("no_linger", text, DEGRADED, f"loginctl enable-linger {user}")
    if here.get("own_unit"):
        verdict.find("own_unit", f"the engine is started by {here['own_unit']}, which is the user's and was not looked at")
        if not here["own_unit_enabled"]:
            text = f"{here['own_unit']} is not enabled: the engine does not start at boot"
            verdict.find("not_enabled", text, DEGRADED, f"systemctl --user -M {user}@ enable docker.service")
    else:
        unit, enabled = here["files"].get(names.UNIT) or {}, here["files"].get(names.ENABLED) or {}
        if not unit.get("text"):
            verdict.find("unit_missing", f"{names.UNIT} is missing: the engine does not start again", DEGRADED, _AGAIN)
        if enabled.get("link") != "../docker.service":
            verdict.find("not_enabled", f"{names.ENABLED} is missing: the engine does not start at boot", DEGRADED, _AGAIN)
        if unit and (unit.get("uid") != 0 or int(unit.get("mode") or 0) & 0o022):
            verdict.find(
                "unit_writable",
                f"{names.UNIT} can be written by others than root",
                DEGRADED,
                f"chown root {names.UNIT}; chmod 644 {names.UNIT}",
            )


def _ports(verdict: Verdict, here: Mapping[str, Any], desired: int | None) -> None:
    if desired is None:
        return
    now = here["first_port"]
    verdict.saw(names.FIRST_PORT, now)
    if not now.isdigit():
        verdict.find("port_unread", f"{names.FIRST_PORT} could not be read", UNKNOWN)
    elif int(now) > desired:
        verdict.find(
            "port", f"{names.FIRST_PORT} is {now}: the engine can't publish the ports {desired} to {int(now) - 1}", DEGRADED, _AGAIN
        )
    elif int(now) < desired:
        verdict.find("port_lower", f"{names.FIRST_PORT} is {now}, lower than the {desired} asked for")


def _controllers(verdict: Verdict, here: Mapping[str, Any]) -> None:
    uid = (here.get("user") or {}).get("uid")
    source = f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    given = here.get("controllers")
    if given is None:
        verdict.find("controllers_unread", f"{source} could not be read: the user's manager does not run", UNKNOWN)
    else:
        verdict.saw(source, " ".join(given))
        lacking = [name for name in names.CONTROLLERS if name not in given]
        if lacking:
            text = f"the user's manager may not limit {', '.join(lacking)}: containers ask for such limits in vain"
            verdict.find("not_delegated", text, DEGRADED, _AGAIN)
    drop_in = names.delegation_path(uid)
    if not (here["files"].get(drop_in) or {}).get("text"):
        verdict.find(
            "delegation_missing", f"{drop_in} is missing: with the next boot some controllers are no longer delegated", DEGRADED, _AGAIN
        )


def _runtime(verdict: Verdict, here: Mapping[str, Any], engine: Mapping[str, Any], desired: Mapping[str, Any] | None) -> None:
    """The OCI runtime without which no container of a rootless engine has an AppArmor profile."""
    if not desired:
        return
    path = desired["path"]
    file = here["files"].get(path) or {}
    default = (engine.get("info") or {}).get("DefaultRuntime")
    if not file:
        verdict.find("runtime_missing", f"{path}, the engine's default runtime, is missing: no container starts", DEGRADED, _AGAIN)
    elif file.get("link") or file.get("uid") != 0 or int(file.get("mode") or 0) & 0o022:
        verdict.find("runtime_writable", f"{path} can be replaced or written by others than root", DEGRADED, _AGAIN)
    elif sha256(str(file.get("text"))) != desired["sha256"]:
        verdict.find("runtime_differs", f"{path} is not the program that the inventory wants", DEGRADED, _AGAIN)
    else:
        verdict.saw(f"sha256sum {path}", desired["sha256"])
    if default is not None and default != names.RUNTIME:
        verdict.find("runtime_not_default", f"the engine's default runtime is {default}, not {names.RUNTIME}", DEGRADED, _AGAIN)


def _rootful(verdict: Verdict, rootful: Mapping[str, Any], disable: bool, beside: Mapping[int, Any]) -> None:
    if not disable:
        if rootful["pid"]:
            lacking = _lacking(beside.get(rootful["pid"]))
            how = "its containers were not looked into" if lacking is None else "its defaults hold"
            if lacking:
                how = f"of its defaults do not hold: {', '.join(lacking)}"
            verdict.find("rootful_kept", f"a rootful engine runs beside it, as the inventory wants it; {how}")
        return
    if rootful["pid"]:
        text = f"a rootful engine runs here (dockerd {rootful['pid']}), which the inventory does not want"
        verdict.find("rootful_running", text, DEGRADED, _AGAIN)
    left = [unit for unit in rootful["present"] if unit not in rootful["masked"]]
    if left:
        verdict.find(
            "rootful_not_masked", f"{', '.join(left)} is not masked: somebody or something may start a rootful engine", DEGRADED, _AGAIN
        )
    elif rootful["listening"]:
        verdict.find("rootful_socket", "systemd listens on /run/docker.sock and would start a rootful engine", DEGRADED, _AGAIN)
