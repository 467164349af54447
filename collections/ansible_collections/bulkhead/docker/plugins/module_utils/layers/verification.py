# SPDX-License-Identifier: GPL-3.0-or-later
"""One host, verified: gather the kernel's evidence around a probe, then let every layer judge it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.cgroups import own_groups
from ..engine.instance import ROOTFUL, Instance, find
from ..engine.probe import ProbeFailed, probe
from ..hardened import judge as hardened
from ..host import cgroup
from ..host.root import Host
from ..seccomp import dump
from .catalog import judges, provers
from .observation import observe
from .verdict import DEGRADED, DISABLED, UNKNOWN, Finding, Verdict

# In `expect`, beside the layers: name of a container that the inventory describes → what is demanded of it.
CONTAINERS = "containers"
# Seconds for a piece of an answer of an engine that nobody asked for, and for all that it is asked.
PATIENCE, BUDGET = 30.0, 180.0
# What comes of reading the answers of something that is no engine.
NONSENSE = (EngineError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
# What an engine does to containers by default: judged of every engine of the host, the desired one and those beside it.
DEFAULTS = frozenset(("pids_limit", "no_new_privileges", "seccomp", "apparmor", "capabilities"))
# What a container can be given that lifts more than one layer: HostConfig key, the value that does it, what it means.
_HOST_NAMESPACES = {"PidMode": "PIDs", "NetworkMode": "network", "IpcMode": "IPC", "UTSMode": "host name"}
_SOCKETS = re.compile(r"(?:/var)?/run/(?:docker|containerd/containerd|user/\d+/docker)\.sock")


def wanted_user(expect: Mapping[str, Any]) -> str:
    """Whose rootless engine the inventory wants on this host; empty for the rootful engine."""
    desired = expect.get("rootless", {})
    return str(desired.get("user") or "") if desired.get("requirement", DISABLED) != DISABLED else ""


def gather(
    host: Host, engine: Engine, expect: Mapping[str, Any], use_probe: bool, deep: bool, instance: Instance = ROOTFUL
) -> dict[str, Any]:
    """The evidence on the engine that the inventory wants, and, under `beside`, on every other one that runs on the host, by its process ID."""
    evidence = _gather(host, engine, expect, use_probe, deep, instance)
    evidence["other_engines"] = {}
    seen: dict[str, dict[str, Any] | None] = {}  # by socket: a user may have many processes of that name, and one engine
    for entry in _engines(evidence):
        if entry["judged"] or not entry["socket"]:
            continue
        path, rootful = entry["socket"]["path"], entry["kind"] == "rootful"
        if path not in seen:
            # A user's engine says what it likes, for as long as it likes: no process that it names is stopped to look closer.
            other = Engine(path, min(engine.timeout, PATIENCE), None if rootful else entry["uid"], BUDGET)
            whose = ROOTFUL if rootful else find(host, entry["user"])
            try:
                seen[path] = _gather(host, other, _of_defaults(expect), use_probe, deep and rootful, whose)
            except NONSENSE:
                seen[path] = None
        this = seen[path]
        if this and this["observed"]["engine"]["running"]:
            evidence["other_engines"][entry["pid"]] = this
    return evidence


def _of_defaults(expect: Mapping[str, Any]) -> dict[str, Any]:
    return {name: expect[name] for name in DEFAULTS if name in expect}


def _engines(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = evidence["observed"]["layers"].get("rootless", {}).get("engines", [])
    return found


def _gather(
    host: Host, engine: Engine, expect: Mapping[str, Any], use_probe: bool, deep: bool, instance: Instance = ROOTFUL
) -> dict[str, Any]:
    """What every judge gets: `observed`, `probe` (None without one), `probe_error`, `containers`, and `proof` by layer.

    deep: also read the seccomp filter of every running container, which stops each for some milliseconds; otherwise of those that the inventory
    describes.
    """
    observed = observe(host, engine, instance)
    evidence: dict[str, Any] = {"observed": observed, "probe": None, "probe_error": None, "containers": observed["engine"]["containers"]}
    with ExitStack() as stack:
        if not use_probe:
            evidence["probe_error"] = "no probe was started (check mode, or probe: false)"
        elif not observed["engine"]["running"]:
            evidence["probe_error"] = f"no probe could be started: {observed['engine']['error']}"
        else:
            try:
                evidence["probe"] = stack.enter_context(probe(host, engine))
            except (ProbeFailed, EngineError, EngineUnreachable) as error:
                evidence["probe_error"] = str(error)
        evidence["layer_evidence"] = {name: prove(host, evidence["probe"], expect.get(name, {})) for name, prove in provers().items()}
        demanded = [c for c in evidence["containers"] if c["name"] in expect.get(CONTAINERS, {})]
        _look_closer(host, demanded, expect.get(CONTAINERS, {}))
        _dump_filters(evidence["containers"] if deep else demanded)
    return evidence


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any], only: set[str] | None = None) -> dict[str, Any]:
    """The verdict on the host and on each running container, as `verify_layers` returns it."""
    chosen = DEFAULTS if only is None else DEFAULTS & only
    beside = {}
    for pid, seen in evidence.get("other_engines", {}).items():
        with suppress(*NONSENSE):
            beside[pid] = judge_engine(seen, _of_defaults(expect), chosen)
    return {
        **judge_engine({**evidence, "other_engines": beside}, expect, only),
        "engines": [{**entry, **beside.get(entry["pid"], {})} for entry in _engines(evidence)],
        "findings": [f.__dict__ for f in _host_findings(evidence, expect)],
    }


def judge_engine(evidence: Mapping[str, Any], expect: Mapping[str, Any], only: Collection[str] | None = None) -> dict[str, Any]:
    """`layers` and `containers` of one engine."""
    rooms = {name: room for name, room in judges().items() if only is None or name in only}
    layers = []
    for name, room in rooms.items():
        desired = expect.get(name, {})
        verdict: Verdict = room.judge(evidence, desired)
        if verdict.status == UNKNOWN and evidence["probe_error"]:
            verdict.find("no_probe", evidence["probe_error"])
        layers.append({**verdict.as_dict(), "requirement": desired.get("requirement", DISABLED)})
    containers = []
    for container in evidence["containers"]:
        per_layer = {name: room.judge_container(container, evidence, expect.get(name, {})).as_dict() for name, room in rooms.items()}
        want = expect.get(CONTAINERS, {}).get(container["name"])
        containers.append(
            {
                **({"settings": hardened.judge(container, want, per_layer.get("seccomp"))} if want else {}),
                "name": container["name"],
                "id": container["id"],
                "image": container["image"],
                "pid": container["pid"],
                "layers": list(per_layer.values()),
                "opted_out": [name for name, verdict in per_layer.items() if verdict["opted_out"]],
                "disagreements": [f"{name}: {text}" for name, verdict in per_layer.items() for text in verdict["disagreements"]],
                "findings": [finding.__dict__ for finding in exposures(container)],
            }
        )
    return {"layers": layers, "containers": containers}


def exposures(container: Mapping[str, Any]) -> list[Finding]:
    """What a container was given that undoes more than one layer: privileges, the host's namespaces, the engine's own socket."""
    config, name = container["inspect"]["HostConfig"], container["name"]
    found = []
    if config.get("Privileged"):
        text = f"container {name} is privileged: seccomp, AppArmor, capabilities and device limits do not hold for it"
        found.append(Finding("container.privileged", text, DEGRADED, "run it with the capabilities and devices that it needs, by name"))
    for key, what in _HOST_NAMESPACES.items():
        if config.get(key) == "host":
            found.append(Finding("container.host_namespace", f"container {name} shares the host's {what} namespace ({key}=host)", DEGRADED))
    for mount in container["inspect"]["Mounts"]:
        if _SOCKETS.fullmatch(mount.get("Source") or ""):
            text = f"container {name} has {mount['Source']} mounted at {mount.get('Destination')}: who controls it controls the host"
            found.append(Finding("container.engine_socket", text, DEGRADED, "mount a filtering proxy of the engine's API instead"))
    return found


def _host_findings(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> list[Finding]:
    engine = evidence["observed"]["engine"]
    found = []
    if not engine["running"]:
        found.append(Finding("engine.not_running", f"the engine does not answer on {engine['socket']}: {engine['error']}", UNKNOWN))
    for orphan in engine["orphans"]:
        text = f"a container runs that the engine does not list: {orphan['id'][:12]} (cgroup {orphan['cgroup']}, pids {orphan['pids'][:5]})"
        found.append(Finding("engine.orphan", text, DEGRADED, "end it with `ctr -n moby tasks kill`, then start it again under the engine"))
    running = {container["name"] for container in evidence["containers"]}
    for name in expect.get(CONTAINERS, {}):
        if name not in running:
            text = f"container {name} of hardened_container_list does not run"
            found.append(
                Finding("container.not_running", text, UNKNOWN, f"run the role hardened_container; docker logs {name} may say why")
            )
    return found


def _look_closer(host: Host, containers: list[dict[str, Any]], desired: Mapping[str, Any]) -> None:
    """What is read only of containers that the inventory describes."""
    for container in containers:
        want = desired[container["name"]]
        try:
            container["kernel"]["limits"] = cgroup.read_limits(host, own_groups(container["kernel"].get("cgroup", ""), container["id"]))
            want["seccomp_text"] = host.read(want["seccomp_path"]) if want.get("seccomp_path") else None
        except (OSError, ValueError) as error:
            container["kernel"]["unreadable"][f"limits of {container['name']}"] = str(error)


def _dump_filters(containers: list[dict[str, Any]]) -> None:
    for container in containers:
        try:
            container["seccomp_filter"] = dump.dump(container["pid"])
        except OSError as error:
            container["kernel"]["unreadable"][f"seccomp filter of {container['pid']}"] = str(error)
