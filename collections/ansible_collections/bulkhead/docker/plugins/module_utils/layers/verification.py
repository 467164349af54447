# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on one host, from gathered evidence: every layer of every engine, every running container. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from ..exposures.judge import find_exposures
from ..hardened import judge as hardened
from .evidence import CONTAINERS, UNUSABLE_ANSWER, keep_defaults, list_engines
from .judges import JUDGES
from .registry import ENGINE_DEFAULTS
from .verdict import DEGRADED, DISABLED, UNKNOWN, ContainerVerdict, Finding, Verdict

_Kind = TypeVar("_Kind", bound=Verdict)


def expected_user(expect: Mapping[str, Any]) -> str:
    """Return the user whose rootless engine is expected on this host; empty for the rootful engine."""
    rootless = expect.get("rootless", {})
    return str(rootless.get("user") or "") if rootless.get("requirement", DISABLED) != DISABLED else ""


def judge_host(evidence: Mapping[str, Any], expect: Mapping[str, Any], only: set[str] | None = None) -> dict[str, Any]:
    """Return the verdict on the host and on each running container, as `verify_layers` returns it. only: judge these layers."""
    selected = ENGINE_DEFAULTS if only is None else ENGINE_DEFAULTS & only
    other_engines = {}
    for pid, other in evidence.get("other_engines", {}).items():
        with suppress(*UNUSABLE_ANSWER):
            other_engines[pid] = judge_engine(other, keep_defaults(expect), selected)
    return {
        **judge_engine({**evidence, "other_engines": other_engines}, expect, only),
        "engines": [{**entry, **other_engines.get(entry["pid"], {})} for entry in list_engines(evidence)],
        "findings": [finding.__dict__ for finding in _find_host_problems(evidence, expect)],
    }


def judge_engine(evidence: Mapping[str, Any], expect: Mapping[str, Any], only: Collection[str] | None = None) -> dict[str, Any]:
    """Return `layers` and `containers` of one engine."""
    names = [name for name in JUDGES if only is None or name in only]
    layers = []
    for name in names:
        wanted = expect.get(name, {})
        verdict = _run_judge(name, Verdict, JUDGES[name].judge, evidence, wanted)
        if verdict.status == UNKNOWN and evidence["probe_error"]:
            verdict.add_finding("no_probe", evidence["probe_error"])
        layers.append({**verdict.as_dict(), "requirement": wanted.get("requirement", DISABLED)})
    return {"layers": layers, "containers": [_judge_container(container, evidence, expect, names) for container in evidence["containers"]]}


def _judge_container(
    container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any], names: Collection[str]
) -> dict[str, Any]:
    layers = {
        name: _run_judge(name, ContainerVerdict, JUDGES[name].judge_container, container, evidence, expect.get(name, {})).as_dict()
        for name in names
    }
    required = expect.get(CONTAINERS, {}).get(container["name"])
    return {
        **({"settings": hardened.judge(container, required, layers.get("seccomp"))} if required else {}),
        **{key: container[key] for key in ("name", "id", "image", "pid")},
        "layers": list(layers.values()),
        "opted_out": [name for name, verdict in layers.items() if verdict["opted_out"]],
        "disagreements": [f"{name}: {text}" for name, verdict in layers.items() for text in verdict["disagreements"]],
        "findings": [finding.__dict__ for finding in find_exposures(container)],
    }


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
    running = {container["name"] for container in evidence["containers"]}
    for name in expect.get(CONTAINERS, {}):
        if name not in running:
            text = f"container {name} of hardened_container_list does not run"
            remedy = f"run the role hardened_container; docker logs {name} may state the cause"
            findings.append(Finding("container.not_running", text, UNKNOWN, remedy))
    return findings
