# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on one host, from gathered evidence: every layer of every engine, every running container. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from ..exposures.judge import build_findings, judge_exposures
from ..exposures.kinds import Exposure
from ..hardened import judge as hardened
from .expectation import CONTAINERS, ENGINE_DEFAULTS, UNUSABLE_ANSWER, keep_defaults, list_engines
from .identity import find_host_namespace
from .judges import JUDGES
from .registry import PER_SERVICE
from .tried_versions import list_untried
from .usage import build_usage, find_reached_limits
from .verdict import DEGRADED, DISABLED, ENFORCED, UNKNOWN, ContainerVerdict, Finding, Verdict

_Kind = TypeVar("_Kind", bound=Verdict)


def judge_host(evidence: Mapping[str, Any], expect: Mapping[str, Any], only: set[str] | None = None) -> dict[str, Any]:
    """Return the verdict on the host and on each running container, as `verify_layers` returns it. only: judge these layers."""
    selected = ENGINE_DEFAULTS if only is None else ENGINE_DEFAULTS & only
    other_engines = {}
    for pid, other in evidence.get("other_engines", {}).items():
        with suppress(*UNUSABLE_ANSWER):
            other_engines[pid] = judge_engine(other, keep_defaults(expect), selected)
    return {
        **judge_engine({**evidence, "other_engines": other_engines}, expect, only),
        "engines": [{**entry, **other_engines.get(str(entry["pid"]), {})} for entry in list_engines(evidence)],
        "findings": [finding.__dict__ for finding in _find_host_problems(evidence, expect)],
        "versions": evidence.get("versions", {}),
        "untried": list_untried(evidence.get("versions", {})),
    }


def judge_engine(evidence: Mapping[str, Any], expect: Mapping[str, Any], only: Collection[str] | None = None) -> dict[str, Any]:
    """Return `layers` and `containers` of one engine."""
    names = [name for name in JUDGES if only is None or name in only]
    layers = []
    for name in names:
        expected = expect.get(name, {})
        verdict = _run_judge(name, Verdict, JUDGES[name].judge, evidence, expected)
        if verdict.status == UNKNOWN and evidence["probe_error"]:
            verdict.add_finding("no_probe", evidence["probe_error"])
        layers.append({**verdict.as_dict(), "requirement": expected.get("requirement", DISABLED)})
    return {"layers": layers, "containers": [_judge_container(container, evidence, expect, names) for container in evidence["containers"]]}


def _judge_container(
    container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any], names: Collection[str]
) -> dict[str, Any]:
    layers = {name: _judge_container_layer(name, container, evidence, expect.get(name, {})).as_dict() for name in names}
    for name in set(layers) - PER_SERVICE:
        if expect.get(name, {}).get("requirement") == DISABLED:  # the status is shown without findings
            layers[name] |= {"findings": [], "opted_out": False, "disagreements": []}
    default_pids = ((evidence["probe"] or {}).get("kernel") or {}).get("pids", {}).get("max") or expect.get("pids_limit", {}).get("limit")
    exposures, findings = _judge_exposures(container, evidence, default_pids)
    usage = _read_usage(container)
    findings += [{**finding.__dict__, "exposures": []} for finding in find_reached_limits(container["name"], usage)]
    required = expect.get(CONTAINERS, {}).get(container["name"])
    return {
        **({"settings": _judge_settings(container, required, layers, evidence)} if required else {}),
        **{key: container[key] for key in ("name", "id", "image", "pid")},
        "layers": list(layers.values()),
        "opted_out": [name for name, verdict in layers.items() if verdict["opted_out"]],
        "disagreements": [f"{name}: {text}" for name, verdict in layers.items() for text in verdict["disagreements"]],
        "usage": usage,
        "exposures": [exposure.as_dict() for exposure in exposures],
        "findings": findings,
    }


def _judge_exposures(
    container: Mapping[str, Any], evidence: Mapping[str, Any], default_pids: int | None
) -> tuple[list[Exposure], list[dict[str, Any]]]:
    """Return the exposures and their findings; one finding that says why where they could not be judged."""
    error = container["error"] or container.get("exposed", {}).get("error")
    try:
        exposures = [] if error else judge_exposures(container, evidence, default_pids)
    except Exception as problem:  # evidence that no judge expects; the layers are judged all the same
        error = f"{type(problem).__name__}: {problem}"
    if error:
        text = f"container {container['name']}: its exposures are unknown: {error}"
        return [], [{**Finding("container.exposures_unknown", text, UNKNOWN).__dict__, "exposures": []}]
    return exposures, build_findings(container["name"], exposures)


def _read_usage(container: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    try:
        return build_usage(container)
    except Exception:  # evidence that no judge expects; the layer pids_limit says what is wrong with it
        return {}


def _judge_settings(
    container: Mapping[str, Any], required: Mapping[str, Any], layers: Mapping[str, Any], evidence: Mapping[str, Any]
) -> list[dict[str, Any]]:
    try:
        return hardened.judge(container, required, layers.get("seccomp"), layers.get("apparmor"), find_host_namespace(evidence))
    except Exception as error:  # evidence that no judge expects
        seen = f"{type(error).__name__}: {error}"
        return [{"setting": "settings", "status": UNKNOWN, "expected": "", "seen": seen, "source": f"/proc/{container['pid']}"}]


def _judge_container_layer(
    name: str, container: Mapping[str, Any], evidence: Mapping[str, Any], expected: Mapping[str, Any]
) -> ContainerVerdict:
    """Return the verdict on one layer of a container; `unknown` without evidence, and where a part of it is missing."""
    if container["error"]:
        verdict = ContainerVerdict(name, "evidence of the container")
        verdict.add_finding("no_evidence", f"container {container['name']}: {container['error']}", UNKNOWN)
        return verdict.conclude()
    verdict = _run_judge(name, ContainerVerdict, JUDGES[name].judge_container, container, evidence, expected)
    if container["unread"] and verdict.status == ENFORCED:
        for text in container["unread"]:
            verdict.add_finding("tasks_unread", f"container {container['name']}: {text}", UNKNOWN)
        verdict.conclude()
    return verdict


def _run_judge(layer: str, kind: type[_Kind], judge: Callable[..., _Kind], *arguments: Any) -> _Kind:
    """Return a judge's verdict. A judge that fails gives `unknown` for its layer and does not affect the others."""
    try:
        return judge(*arguments)
    except Exception as error:  # evidence that no judge expects, such as a container that ends while it is read
        verdict = kind(layer, "could not be judged")
        verdict.add_finding("not_judged", f"the evidence could not be judged: {type(error).__name__}: {error}", UNKNOWN)
        return verdict.conclude()


def _find_host_problems(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> list[Finding]:
    engine = evidence["observed"]["engine"]
    findings = []
    if not engine["running"]:
        findings.append(Finding("engine.not_running", f"the engine does not answer on {engine['socket']}: {engine['error']}", UNKNOWN))
    for orphan in engine["orphans"]:
        text = f"a container runs that the engine does not list: {orphan['id'][:12]} (cgroup {orphan['cgroup']}, PIDs {orphan['pids'][:5]})"
        remedy = "end it with `ctr -n moby tasks kill`, then start it again under the engine"
        findings.append(Finding("engine.orphan", text, DEGRADED, remedy))
    for container in evidence["containers"]:
        if container["error"]:
            remedy = f"docker inspect {container['name']}; docker logs {container['name']}"
            findings.append(Finding("container.no_evidence", f"container {container['name']}: {container['error']}", UNKNOWN, remedy))
    running = {container["name"] for container in evidence["containers"]}
    for name in expect.get(CONTAINERS, {}):
        if name not in running:
            text = f"container {name} of hardened_container_list does not run"
            remedy = f"run the role hardened_container; docker logs {name} may state the cause"
            findings.append(Finding("container.not_running", text, UNKNOWN, remedy))
    return findings
