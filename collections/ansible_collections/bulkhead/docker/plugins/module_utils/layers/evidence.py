# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers the evidence on one host: the observation, one probe container, every running container, and other engines."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from ..engine.api import Engine, EngineError
from ..engine.containers import read_containers
from ..engine.instance import ROOTFUL, Instance, find_instance
from ..engine.probe import ProbeFailed, start_probe
from ..exposures.gather import JUDGED, gather_container, gather_host
from ..host.root import Host
from .expectation import CONTAINERS, UNUSABLE_ANSWER, keep_defaults, list_engines
from .gatherers import GATHERERS
from .observation import observe_host
from .seccomp.deep import NONE, dump_containers, explain_untraceable
from .seccomp.options import knows_builtin

# For an engine that the inventory does not select: seconds for one piece of an answer, and for all answers together.
PIECE_SECONDS, TOTAL_SECONDS = 30.0, 180.0


def gather_evidence(
    host: Host, engine: Engine, expect: Mapping[str, Any], use_probe: bool, deep: str, instance: Instance = ROOTFUL
) -> dict[str, Any]:
    """Return the evidence on the selected engine, as JSON can carry it; `other_engines` has the same for each other engine, by process ID.

    The keys are `observed`, `probe` (None without one), `probe_error`, `containers`, `layer_evidence` by layer, and `other_engines`.
    deep: of which running containers the seccomp filters are read too (layers/seccomp/deep.py), which stops each for some milliseconds. Unless
    it is `none`, the evidence of the probe also has `builtin`: that of a container with the engine's built-in profile, if another one is the default.
    """
    evidence = _gather_engine(host, engine, expect, use_probe, deep, instance)
    evidence["other_engines"] = {}
    by_socket: dict[str, dict[str, Any] | None] = {}  # a user may have many processes of that name, and one engine
    for entry in list_engines(evidence):
        if entry["judged"] or not entry["socket"]:
            continue
        path, rootful = entry["socket"]["path"], entry["kind"] == "rootful"
        if path not in by_socket:
            other = Engine(path, min(engine.timeout, PIECE_SECONDS), entry["uid"], TOTAL_SECONDS)
            other_instance = ROOTFUL if rootful else find_instance(host, entry["user"])
            try:
                # A user's engine may name any process. Without the user's account no process can be attributed to the user.
                known = rootful or (other_instance is not None and other_instance.rootless)
                by_socket[path] = _gather_engine(host, other, keep_defaults(expect), use_probe, deep if known else NONE, other_instance)
            except (EngineError, *UNUSABLE_ANSWER):
                by_socket[path] = None
        found = by_socket[path]
        if found and found["observed"]["engine"]["running"]:
            evidence["other_engines"][str(entry["pid"])] = found
    return evidence


def _gather_engine(host: Host, engine: Engine, expect: Mapping[str, Any], use_probe: bool, deep: str, instance: Instance) -> dict[str, Any]:
    observed = observe_host(host, engine, instance, read_containers)
    containers, observed["engine"]["containers"] = observed["engine"]["containers"], []
    info = {"Runtimes": observed["engine"].get("runtimes"), "CgroupDriver": observed["engine"].get("cgroup_driver")}
    evidence: dict[str, Any] = {"observed": observed, "probe": None, "probe_error": None, "containers": containers}
    with ExitStack() as stack:
        if not use_probe:
            evidence["probe_error"] = "no probe container was started (check mode, or probe: false)"
        elif not observed["engine"]["running"]:
            evidence["probe_error"] = f"no probe container could be started: {observed['engine']['error']}"
        else:
            try:
                version = str(observed["engine"].get("version") or "")
                builtin = knows_builtin(version, observed["engine"].get("security_options") or []) if deep != NONE else None
                probe = stack.enter_context(start_probe(host, engine, info, bool(builtin)))
                if builtin is False:
                    probe["builtin"] = {"error": f"engine {version} does not know seccomp=builtin; 23.0 and later do"}
                for each in (probe, probe.get("builtin") or {}):
                    if "pid" in each:
                        each["untraceable"] = explain_untraceable(host, instance, each["id"], each["pid"])
                evidence["probe"] = probe
            except (ProbeFailed, EngineError, OSError) as error:
                evidence["probe_error"] = str(error)
        about = gather_host(host, observed["engine"])
        for container in containers:
            if not container["error"]:
                container["exposed"] = _gather_exposures(host, container, about)
        evidence["exposures"] = {key: about[key] for key in JUDGED}
        evidence["layer_evidence"] = {name: gather(host, evidence["probe"], expect.get(name, {})) for name, gather in GATHERERS.items()}
        described = [c for c in containers if c["name"] in expect.get(CONTAINERS, {}) and not c["error"]]
        _read_settings(host, described, expect.get(CONTAINERS, {}))
        dump_containers(host, containers, expect.get(CONTAINERS, {}), deep, instance)
    return evidence


def _gather_exposures(host: Host, container: dict[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return gather_container(host, container, about)
    except (OSError, ValueError, LookupError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _read_settings(host: Host, containers: list[dict[str, Any]], required: Mapping[str, Any]) -> None:
    """Add what is read only of containers of hardened_container_list: the seccomp profile on disk, and the limits of each state's process."""
    for container in containers:
        if required[container["name"]].get("ulimits"):
            for state in container.get("states") or [container["kernel"]]:
                with suppress(OSError):
                    state["rlimits"] = host.read(f"/proc/{state['pid']}/limits")
        path = required[container["name"]].get("seccomp_path")
        try:
            container["seccomp_text"] = host.read(path) if path else None
        except (OSError, ValueError) as error:
            container["kernel"]["unreadable"][path] = str(error)
