# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus' text format 0.0.4, for the textfile collector of node_exporter on the control node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from . import denials
from .fleet import CONDITIONS, FAILING, UNREACHABLE, VERIFIED, Fleet
from .read import written

Sample = tuple[dict[str, str], float]

# Name → what it says. All are gauges.
METRICS = {
    "bulkhead_report_timestamp_seconds": "When this file was written.",
    "bulkhead_report_problems": "Files in the folder of reports that are no reports.",
    "bulkhead_hosts": "Hosts by condition; only verified is good.",
    "bulkhead_host_verified": "1: every required layer was enforced when the host was verified, and that was not too long ago.",
    "bulkhead_host_reachable": "0: the last try did not reach the host.",
    "bulkhead_host_verified_timestamp_seconds": "When the last report of the host was written.",
    "bulkhead_layer_holds": "1: the layer is enforced, by the kernel's evidence. 0: it is not, or nobody knows; the label status says which.",
    "bulkhead_containers_running": "Containers that ran when the host was verified.",
    "bulkhead_containers_opted_out": "Running containers that asked to be without the layer.",
    "bulkhead_drift_changes": "What harden.yml would change on the host; only where somebody looked.",
    "bulkhead_denials": "Refusals in the time that was looked at, by layer and container; scope unknown: nobody can tell whose.",
    "bulkhead_denials_gaps": "Reasons why blockers may be missing.",
    "bulkhead_denials_since_timestamp_seconds": "Where the time that was looked at begins.",
    "bulkhead_attacks_unmet": "Attacks that fewer layers stop than the inventory demands.",
}


def render(fleet: Fleet) -> str:
    lines = []
    for name, help_text in METRICS.items():
        samples = list(_samples(name, fleet))
        if samples:
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
            lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _samples(name: str, fleet: Fleet) -> Iterable[Sample]:
    if name == "bulkhead_report_timestamp_seconds":
        return [({}, fleet.now)]
    if name == "bulkhead_report_problems":
        return [({}, len(fleet.problems))]
    if name == "bulkhead_hosts":
        return [({"condition": condition}, fleet.count(condition)) for condition in CONDITIONS]
    return _of_hosts(name, fleet)


def _of_hosts(name: str, fleet: Fleet) -> Iterator[Sample]:
    for host in fleet.hosts:
        label = {"host": host.name}
        # What held once is not what holds: of a host that is not freshly verified there is nothing to say but that.
        fresh = host.condition in (VERIFIED, FAILING)
        match name:
            case "bulkhead_host_verified":
                yield {**label, "condition": host.condition}, host.condition == VERIFIED
            case "bulkhead_host_reachable":
                yield label, host.condition != UNREACHABLE
            case "bulkhead_host_verified_timestamp_seconds" if host.layers:
                yield label, written({"written": host.written})
            case "bulkhead_layer_holds" if fresh:
                for layer, verdict in host.layers.items():
                    status = verdict["status"]
                    labels = {**label, "layer": layer, "requirement": verdict["requirement"], "status": status}
                    yield labels, status == "enforced"
            case "bulkhead_drift_changes" if fresh and host.drift is not None:
                for layer, number in {**dict.fromkeys(host.layers, 0), **Counter(change["layer"] for change in host.drift)}.items():
                    yield {**label, "layer": layer}, number
            case "bulkhead_denials" if heard := denials.fresh(host, fleet):
                for (layer, scope, container), number in denials.counted(heard).items():
                    yield {**label, "layer": layer, "scope": scope, "container": container}, number
            case "bulkhead_denials_gaps" if heard := denials.fresh(host, fleet):
                yield label, len(heard["gaps"])
            case "bulkhead_denials_since_timestamp_seconds" if heard := denials.fresh(host, fleet):
                yield label, heard["since"]
            case "bulkhead_attacks_unmet" if host.attack:
                yield label, len(host.attack["unmet"])
            case "bulkhead_containers_running" if fresh:
                yield label, host.running
            case "bulkhead_containers_opted_out" if fresh:
                without = Counter(layer for container in host.containers for layer in container["opted_out"])
                for layer in host.layers:
                    yield {**label, "layer": layer}, without[layer]


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escaped(value: str) -> str:
    """The three characters that the text format escapes; control characters are visible text by then."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else repr(float(value))
