# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what layers and exposures do not say of running containers (section 5). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...module_utils.layers.identity import read_identity
from ...module_utils.layers.states import get_proc_folder, list_states
from .catalog import Control
from .verdict import FAIL, MANUAL, NOT_APPLICABLE, PASS, UNKNOWN, ControlOutcome, Facts, build_evidence, decide

MAX_RESTARTS = 5
_BRIDGE = "bridge"


def _judge_each(found: list[Any], find_wrong: Callable[[Any], str], good: str, source: str) -> ControlOutcome:
    """Return `fail` with what is wrong of each container; find_wrong returns it, or nothing."""
    if not found:
        return ControlOutcome(NOT_APPLICABLE, "no container runs")
    wrong = {each["name"]: text for each in found if (text := find_wrong(each))}
    if not wrong:
        return ControlOutcome(PASS, f"{good} ({len(found)} running)", build_evidence(source, "none"))
    texts = [f"{name}: {text}" for name, text in wrong.items()]
    return ControlOutcome(FAIL, "; ".join(texts), build_evidence(source, texts), [{"container": name, "finding": ""} for name in wrong])


def _list_running(facts: Facts) -> list[Any]:
    return [each for each in facts.get("containers") if each["state"] == "running"]


def _judge_states(facts: Facts, find_wrong: Callable[[Any], str], good: str, source: str) -> ControlOutcome:
    """Judge by the evidence of processes; a container that could not be read makes a good verdict unknown."""
    containers = facts.evidence["containers"]
    read = [each for each in containers if not each["error"]]
    outcome = _judge_each(read, find_wrong, good, source)
    unread = [each["name"] for each in containers if each["error"]]
    return ControlOutcome(UNKNOWN, f"no evidence of {', '.join(unread)}") if unread and outcome.status != FAIL else outcome


def judge_swarm_off(control: Control, facts: Facts) -> ControlOutcome:
    active = facts.get("swarm")["active"]
    return decide(not active, "swarm mode is off", "swarm mode is on", "docker info (Swarm)", "active" if active else "inactive")


def judge_published_ports(control: Control, facts: Facts) -> ControlOutcome:
    running = _list_running(facts)
    ports = [f"{each['name']}: {', '.join(each['ports'])}" for each in running if each["ports"]]
    if ports:
        return ControlOutcome(
            MANUAL, f"decide whether each published port is needed: {'; '.join(ports)}", build_evidence("docker ps", ports)
        )
    return _judge_each(running, lambda each: "", "no port is published", "docker ps")


def judge_restart_policy(control: Control, facts: Facts) -> ControlOutcome:
    def find_wrong(each: Mapping[str, Any]) -> str:
        policy = each["inspect"]["HostConfig"].get("RestartPolicy") or {}
        name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
        return "" if name == "no" or (name == "on-failure" and 0 < count <= MAX_RESTARTS) else f"{name}:{count}"

    found = [each for each in facts.evidence["containers"] if each["inspect"].get("HostConfig")]
    return _judge_each(found, find_wrong, f"no container is restarted more than {MAX_RESTARTS} times", "docker inspect (RestartPolicy)")


def judge_privileged_commands(control: Control, facts: Facts) -> ControlOutcome:
    """Judge by capabilities: a process must not have more than the container's first process, whose set bounds all that it starts."""

    def find_wrong(each: Mapping[str, Any]) -> str:
        bound = (each["kernel"].get("cap") or {}).get("bnd")
        if bound is None:
            return ""
        for state in list_states(each):
            if (state.get("cap") or {}).get("eff", 0) & ~bound:
                return f"process {state['pid']} ({state.get('command')}) has more capabilities than process {each['pid']}"
        return ""

    return _judge_states(facts, find_wrong, "no process has more capabilities than its container", "/proc/PID/status CapEff")


def judge_root_commands(control: Control, facts: Facts) -> ControlOutcome:
    """Judge by users: where the first process is not root, no other one is."""

    def find_wrong(each: Mapping[str, Any]) -> str:
        if read_identity(each["kernel"], each["kernel"]).root_uids:
            return ""
        for state in list_states(each):
            if read_identity(state, each["kernel"]).root_uids:
                return f"process {state['pid']} ({state.get('command')}) is root ({get_proc_folder(state)}/status)"
        return ""

    return _judge_states(facts, find_wrong, "no process is root in a container whose first process is not root", "/proc/PID/status Uid")


def judge_container_cgroup(control: Control, facts: Facts) -> ControlOutcome:
    found = [each for each in facts.evidence["containers"] if each["inspect"].get("HostConfig")]
    good = "every container is below the engine's group"
    return _judge_each(found, lambda each: each["inspect"]["HostConfig"].get("CgroupParent") or "", good, "docker inspect (CgroupParent)")


def judge_container_health(control: Control, facts: Facts) -> ControlOutcome:
    def find_wrong(each: Mapping[str, Any]) -> str:
        if "(unhealthy)" in each["status"]:
            return "is unhealthy"
        return "" if "(health" in each["status"] else "has no health check"

    return _judge_each(_list_running(facts), find_wrong, "every container has a health check", "docker ps (STATUS)")


def judge_current_image(control: Control, facts: Facts) -> ControlOutcome:
    ids = {tag: image["id"] for image in facts.get("images")["images"] for tag in image["tags"]}

    def find_wrong(each: Mapping[str, Any]) -> str:
        # The engine shows the ID instead of the name where the tag has moved on.
        name = each["image"]
        if name.startswith("sha256:"):
            return "its tag now names another image"
        now = ids.get(name if ":" in name.rpartition("/")[2] else f"{name}:latest")
        return f"its tag {name} now names {now[:19]}" if now and now != each["image_id"] else ""

    return _judge_each(_list_running(facts), find_wrong, "every container runs the present image of its tag", "docker ps, docker image ls")


def judge_default_bridge(control: Control, facts: Facts) -> ControlOutcome:
    def find_wrong(each: Mapping[str, Any]) -> str:
        return "is on the default bridge" if _BRIDGE in each["networks"] else ""

    return _judge_each(_list_running(facts), find_wrong, "no container is on the default bridge", "docker ps (NETWORKS)")
