# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders Prometheus' text format 0.0.4 for the textfile collector of node_exporter on the control node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..controls import catalog
from . import denials
from .fleet import CONDITIONS, FAILING, UNREACHABLE, VERIFIED, WAIVER_STATES, Fleet
from .policy import LISTED
from .read import get_report_time
from .recordings import count_denied_calls

Sample = tuple[dict[str, str], float]
# Metrics of each container: part and key of its usage (layers/usage.py).
_USAGE = {
    "bulkhead_container_pids_limit_hits_total": ("pids", "limit_hits"),
    "bulkhead_container_oom_kills_total": ("memory", "oom_kills"),
}
# Metrics of each recorded service.
_RECORDINGS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "bulkhead_recording_gate_passed": lambda service: service["passed"],
    "bulkhead_recording_gaps": lambda service: len(service["gaps"]) + len(service["not_recorded"]),
    "bulkhead_recording_denied_calls": count_denied_calls,
}

# Name -> help text. A counter's name ends with _total; the others are gauges.
METRICS = {
    "bulkhead_report_timestamp_seconds": "When this file was written.",
    "bulkhead_report_problems": "Files in the folder of reports that are not reports.",
    "bulkhead_hosts": "Hosts by condition; only verified is good.",
    "bulkhead_host_verified": "1: a recent verification found every required layer enforced.",
    "bulkhead_host_reachable": "0: the last run did not reach the host.",
    "bulkhead_host_verified_timestamp_seconds": "When the last report of the host was written.",
    "bulkhead_layer_holds": "1: the layer is enforced by the kernel's evidence. 0: it is not enforced or unknown, as the label status says.",
    "bulkhead_containers_running": "Containers that ran when the host was verified.",
    "bulkhead_containers_opted_out": "Running containers that opted out of the layer.",
    "bulkhead_container_pids_limit_hits_total": "How often a running container reached its PIDs limit since its start (pids.events).",
    "bulkhead_container_oom_kills_total": "Processes of a running container that the kernel ended for lack of memory since its start (memory.events).",
    "bulkhead_controls": "Controls of the host by section, level and status.",
    "bulkhead_controls_unmet": "Required controls that fail or are unknown.",
    "bulkhead_layer_waived": "1: the required layer is not enforced, and every finding that gives it its status is waived.",
    "bulkhead_containers_exposed": "Running containers with a forbidden exposure that is neither allowed nor waived.",
    "bulkhead_exposures": "Running containers with an exposure of the kind; state exposed: forbidden, and verify.yml fails.",
    "bulkhead_findings_waived": "Findings that a waiver accepts.",
    "bulkhead_waivers": "Waivers of the inventory by state; unchecked: a host in its scope has no recent verification.",
    "bulkhead_waiver_end_timestamp_seconds": "End of the last day of a waiver, in UTC.",
    "bulkhead_drift_changes": "What harden.yml would change on the host; only where watch.yml ran.",
    "bulkhead_denials": "Denials in the examined time, by layer and container; scope unknown: the process cannot be identified.",
    "bulkhead_denials_new": "Denials that are new for their service, by layer and container.",
    "bulkhead_denials_gaps": "Reasons why denials may be missing.",
    "bulkhead_denials_since_timestamp_seconds": "Start of the examined time.",
    "bulkhead_recording_gate_passed": "1: what was recorded of the service is enough to enforce its generated profile.",
    "bulkhead_recording_gaps": "Reasons why something may be missing in the recording of the service.",
    "bulkhead_recording_denied_calls": "Calls of the service that seccomp denied while it was recorded, without those that got ENOSYS only.",
    "bulkhead_attacks_unmet": "Attacks that fewer layers stop than the inventory requires.",
}


def render(fleet: Fleet) -> str:
    """Return the metrics that have samples."""
    lines = []
    for name, help_text in METRICS.items():
        samples = list(_collect_samples(name, fleet))
        if samples:
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"]
            lines += [f"{name}{_render_labels(labels)} {_render_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _collect_samples(name: str, fleet: Fleet) -> Iterable[Sample]:
    if name == "bulkhead_report_timestamp_seconds":
        return [({}, fleet.now)]
    if name == "bulkhead_report_problems":
        return [({}, len(fleet.problems))]
    if name == "bulkhead_hosts":
        return [({"condition": condition}, fleet.count(condition)) for condition in CONDITIONS]
    if name == "bulkhead_waivers":
        found = Counter(state.state for state in fleet.waivers)
        return [({"state": state}, found[state]) for state in WAIVER_STATES]
    if name == "bulkhead_waiver_end_timestamp_seconds":
        # Waivers that differ in reason or date only are one series, that of the last date.
        ends: dict[tuple[str, str, str], float] = {}
        for entry in (state.waiver for state in fleet.waivers):
            key = (entry.finding, entry.host, entry.container)
            ends[key] = max(ends.get(key, 0.0), entry.end)
        return [(dict(zip(("finding", "hosts", "containers"), key, strict=True)), end) for key, end in ends.items()]
    if name in _RECORDINGS:
        count = _RECORDINGS[name]
        return [({"service": each["service"], "stage": each["stage"]}, count(each)) for each in fleet.recordings]
    return _collect_host_samples(name, fleet)


def _collect_host_samples(name: str, fleet: Fleet) -> Iterator[Sample]:
    for host in fleet.hosts:
        label = {"host": host.name}
        # Earlier results do not show the present state.
        recent = host.condition in (VERIFIED, FAILING)
        match name:
            case "bulkhead_host_verified":
                yield {**label, "condition": host.condition}, host.condition == VERIFIED
            case "bulkhead_host_reachable":
                yield label, host.condition != UNREACHABLE
            case "bulkhead_host_verified_timestamp_seconds" if host.layers:
                yield label, get_report_time({"written": host.written})
            case "bulkhead_layer_holds" if recent:
                for layer, verdict in host.layers.items():
                    status = verdict["status"]
                    labels = {**label, "layer": layer, "requirement": verdict["requirement"], "status": status}
                    yield labels, status == "enforced"
            case "bulkhead_layer_waived" if recent:
                for layer, verdict in host.layers.items():
                    if verdict["requirement"] == "required" and host.is_waived(layer):
                        yield {**label, "layer": layer}, 1
            case "bulkhead_controls" if host.judgement:
                found = Counter(
                    (catalog.get_section(each["control"]), str(each["level"]), each["status"]) for each in host.judgement.controls
                )
                for (section, level, status), number in found.items():
                    yield {**label, "section": section, "level": level, "status": status}, number
            case "bulkhead_controls_unmet" if host.judgement and host.judgement.controls:
                yield label, len(host.judgement.unmet_controls)
            case "bulkhead_containers_exposed" if host.judgement:
                yield label, len(host.judgement.exposed_containers)
            case "bulkhead_exposures" if host.judgement:
                kinds = Counter((granted.kind, granted.state) for granted in host.judgement.granted if granted.state != LISTED)
                for (kind, state), number in kinds.items():
                    yield {**label, "kind": kind, "state": state}, number
            case "bulkhead_findings_waived" if host.judgement:
                yield label, len(host.judgement.waived)
            case "bulkhead_drift_changes" if recent and host.drift is not None:
                for layer, number in {**dict.fromkeys(host.layers, 0), **Counter(change["layer"] for change in host.drift)}.items():
                    yield {**label, "layer": layer}, number
            case "bulkhead_denials" | "bulkhead_denials_new" if info := denials.get_recent_denials(host, fleet):
                for (layer, scope, container), number in denials.count_denials(info, name == "bulkhead_denials_new").items():
                    yield {**label, "layer": layer, "scope": scope, "container": container}, number
            case "bulkhead_denials_gaps" if info := denials.get_recent_denials(host, fleet):
                yield label, len(info["gaps"])
            case "bulkhead_denials_since_timestamp_seconds" if info := denials.get_recent_denials(host, fleet):
                yield label, info["since"]
            case "bulkhead_attacks_unmet" if host.attack:
                yield label, len(host.attack["unmet"])
            case "bulkhead_containers_running" if recent:
                yield label, host.running
            case "bulkhead_container_pids_limit_hits_total" | "bulkhead_container_oom_kills_total" if recent:
                part, key = _USAGE[name]
                for user, container, usage in host.usage:
                    if (number := usage.get(part, {}).get(key)) is not None:
                        yield {**label, "engine": user, "container": container}, number
            case "bulkhead_containers_opted_out" if recent:
                without = Counter(layer for container in host.containers for layer in container["opted_out"])
                for layer in host.layers:
                    yield {**label, "layer": layer}, without[layer]


def _render_labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escape(value: str) -> str:
    """Escape the three characters that the text format requires; control characters are escaped already."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _render_number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else repr(float(value))
