# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges by the kernel's table whether containers reach only what they should. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.instance import get_observed_instance
from ...formatting import format_names
from ...host.egress import FILES, RULES, SHOW, UNIT_NAME, WANTED_BY
from ...host.egress_probe import OUTSIDE
from ..verdict import ABSENT, DEGRADED, DISABLED, NOT_APPLICABLE, OPTIONAL, UNKNOWN, ContainerVerdict, Verdict
from .rules import Inputs, collect_inputs, list_presets, render_rules
from .settings import LAYER, LIST, LOG, STAGE, SWITCH, EgressSettings, read_egress_settings
from .state import LISTS_OF_ROOTLESS, find_probe_denial, is_dormant, list_differences

_AGAIN = "run harden.yml --tags egress"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the kernel's table, its file and the connections of the probe by the rules of the inventory."""
    observed, requirement = evidence["observed"], expect.get("requirement", DISABLED)
    verdict = Verdict(
        LAYER, "what containers reach is not limited" if requirement == DISABLED else "the kernel has the rules of the inventory"
    )
    if requirement == DISABLED:
        if observed["layers"].get(LAYER, {}).get("configured"):
            verdict.add_evidence(RULES, "exists, and the layer is disabled", headline=True)
        return verdict.conclude(NOT_APPLICABLE)
    settings, instance = read_egress_settings(expect["variables"]), get_observed_instance(observed)
    if instance.rootless and settings.entries:
        verdict.add_finding("rootless", f"{LIST}: {LISTS_OF_ROOTLESS}", None if requirement == OPTIONAL else ABSENT, f"{SWITCH}: optional")
        return verdict.conclude(NOT_APPLICABLE)
    answer = observed.get(LAYER) or {"failed": "the module observe_egress did not run"}
    if answer.get("failed"):
        verdict.add_finding("unread", f"the egress rules cannot be read: {answer['failed']}", UNKNOWN)
        return verdict.conclude()
    if answer["nft"] is None:
        verdict.add_finding("not_installed", "nft is not installed", ABSENT, f"apt install nftables, and {_AGAIN}")
        return verdict.conclude()
    _judge_table(verdict, answer)
    _judge_probe(verdict, answer, settings)
    _judge_files(verdict, answer, settings, instance.uid if instance.rootless else None)
    _judge_ways_around(verdict, answer)
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by the networks that it is in: rules apply to bridges of the engine."""
    verdict = ContainerVerdict(LAYER, "its connections pass the rules")
    observed = evidence["observed"]
    if expect.get("requirement", DISABLED) == DISABLED:
        return verdict.conclude(NOT_APPLICABLE)
    host = judge(evidence, expect)
    verdict.add_evidence(SHOW, host.status)
    if host.status == NOT_APPLICABLE:
        return verdict.conclude(NOT_APPLICABLE)
    kernel = container["kernel"]
    namespace = kernel.get("namespaces", {}).get("net")
    verdict.add_evidence(f"/proc/{kernel['pid']}/ns/net", namespace)
    if namespace and namespace == observed["system"]["namespaces"]["net"]:
        verdict.opted_out = True
        verdict.add_finding(
            "host_network",
            f"container {container['name']} uses the host's network, to which no rule of the layer applies",
            ABSENT,
            "publish ports instead of --network host",
        )
        return verdict.conclude()
    drivers = {network["name"]: network["driver"] for network in (observed.get(LAYER) or {}).get("networks", ())}
    joined: list[str] = next(
        (each["networks"] for each in (observed.get(LAYER) or {}).get("containers", ()) if each["id"] == container["id"]), []
    )
    for name in joined:
        if drivers.get(name, "bridge") not in ("bridge", "null", "host"):
            verdict.add_finding(
                "other_driver",
                f"container {container['name']} is in network {name} of driver {drivers[name]}, whose packets pass no bridge of the engine",
                DEGRADED,
                "connect it to a bridge network",
            )
    return verdict.conclude(host.status)


def _judge_table(verdict: Verdict, answer: Mapping[str, Any]) -> None:
    """Compare the kernel's table with the file, both in nft's form."""
    table, form, problems = answer["table"], answer["form"], answer["problems"]
    counts = ", ".join(f"{name.removeprefix('denied_')} {count}" for name, count in sorted(answer["counters"].items()))
    if counts:
        verdict.add_evidence(f"nft list counters table inet {SHOW.rpartition(' ')[2]}", f"packets: {counts}")
    if problems.get("table"):
        verdict.add_finding("unread", f"the kernel's table cannot be read: {problems['table']}", UNKNOWN, SHOW)
        return
    if table is None:
        verdict.add_evidence(SHOW, "no table", headline=True)
        verdict.add_finding("no_table", "the kernel has no egress rules", ABSENT, f"systemctl restart {UNIT_NAME}, or {_AGAIN}")
        return
    rules = sum("rule" in item for item in table)
    verdict.add_evidence(SHOW, f"{rules} rules", headline=True)
    if is_dormant(table):
        verdict.add_finding(
            "dormant", "the kernel keeps the table without using it (flag dormant)", ABSENT, f"systemctl restart {UNIT_NAME}"
        )
    if form is None:
        text = problems.get("form") or f"{RULES} does not exist"
        verdict.add_finding("unread", f"the kernel's rules cannot be compared: {text}", UNKNOWN, _AGAIN)
        return
    # What a dormant table differs by is said already.
    missing, extra = list_differences(*([item for item in each if "table" not in item] for each in (form, table)))
    for words, texts in (("misses", missing), ("has besides", extra)):
        if texts:
            text = f"the kernel's table {words} {format_names(texts)}, compared with {RULES}"
            verdict.add_finding("rules_differ", text, DEGRADED, f"systemctl restart {UNIT_NAME}")


def _judge_probe(verdict: Verdict, answer: Mapping[str, Any], settings: EgressSettings) -> None:
    """Compare what the probe reached with the presets. It has no meaning if what is allowed is not reached either."""
    probe = answer.get("probe")
    if not probe or answer["table"] is None:
        return
    for problem in filter(None, (probe["error"], *probe["problems"].values())):
        verdict.add_finding("not_probed", f"the probe could not try connections: {problem}")
    inputs = Inputs.from_text(answer["texts"][0]) or Inputs()
    shown, blocked = [], []
    passed: dict[str, list[str]] = {}
    for source, reached in probe["reached"].items():
        texts: dict[bool, list[str]] = {False: [], True: []}
        for address, is_reached in reached.items():
            preset = find_probe_denial(settings, inputs, address, source)
            place = f"{address} from {source or 'the user of the engine'}"
            if preset and is_reached:
                passed.setdefault(preset, []).append(place)
            elif not preset and not is_reached and address in OUTSIDE:
                blocked.append(place)
            texts[is_reached].append(f"{address} ({preset or 'allowed'})")
        words = [f"{words} {', '.join(texts[key])}" for key, words in ((False, "not reached"), (True, "reached")) if texts[key]]
        shown.append(f"from {source or 'the user of the engine'}: {', '.join(words)}")
    if shown:
        verdict.add_evidence("connections of the probe", "; ".join(shown))
    for preset, places in passed.items():
        verdict.add_finding("probe_reached", f"the probe reached {', '.join(places)}, which preset {preset} denies", ABSENT, _AGAIN)
    if blocked:
        text = f"the probe did not reach {', '.join(blocked)}, which no preset denies"
        verdict.add_finding("probe_blocked", f"{text}: other rules deny this, so the probe cannot verify the presets")


def _judge_files(verdict: Verdict, answer: Mapping[str, Any], settings: EgressSettings, uid: int | None) -> None:
    """Compare the file with the inventory, and the data of the host in the file with the present host."""
    text = answer["texts"][0]
    loaded = Inputs.from_text(text)
    missing = [name for name in WANTED_BY if name not in answer["started_by"]]
    absent = [path for path, known in zip(FILES, answer["texts"], strict=True) if not known]
    if absent or missing:
        what = f"{', '.join(absent)} does not exist" if absent else f"{UNIT_NAME} is not enabled for {', '.join(missing)}"
        verdict.add_finding("not_permanent", f"the rules do not last: {what}", DEGRADED, _AGAIN)
    if settings.stage == LOG:
        verdict.add_finding("log_only", f"{STAGE}: log denies nothing", DEGRADED, f"write {STAGE}: enforce")
    if not list_presets(settings):
        verdict.add_finding("no_preset", "container_egress_presets is empty, so that nothing is denied", DEGRADED, "write [metadata]")
    if loaded is None or loaded.uid != uid or text != render_rules(settings, loaded):
        verdict.add_finding("outdated", f"{RULES} does not have the rules of the inventory", DEGRADED, _AGAIN)
        return
    _judge_inputs(verdict, loaded, collect_inputs(settings, answer, loaded, uid), settings)


def _judge_inputs(verdict: Verdict, loaded: Inputs, now: Inputs, settings: EgressSettings) -> None:
    """Add what changed on the host since the rules were made. A list that applies to no network is degraded; the rest informs."""
    for entry in settings.entries:
        label = entry.label
        if now.bridges.get(label) and now.bridges[label] != loaded.bridges.get(label):
            text = f"{label} has the bridges {', '.join(now.bridges[label])}, and its rules apply to {', '.join(loaded.bridges.get(label) or ['none'])}"
            verdict.add_finding("network_changed", text, DEGRADED, _AGAIN)
        elif not now.bridges.get(label):
            verdict.add_finding("no_network", f"{label}: no bridge network of the engine has that name")
    if new := sorted(set(now.named) - set(loaded.named)):
        verdict.add_finding("no_rule", f"networks with these bridges are newer than the rules: {', '.join(new)}", DEGRADED, _AGAIN)
    for name, addresses in now.names.items():
        if sorted(addresses) != sorted(loaded.names.get(name, [])):
            text = f"{name} now has the addresses {', '.join(addresses)}, and the rules allow {', '.join(loaded.names.get(name, []))}"
            verdict.add_finding("name_changed", text, None, _AGAIN)
    for what, before, after in (
        ("nameservers", loaded.nameservers, now.nameservers),
        ("published ports", loaded.ports, now.ports),
        ("bridges that are not the engine's", loaded.others, now.others),
    ):
        if before != after:
            text = f"{what} changed since the rules were made: {', '.join(after) or 'none'} instead of {', '.join(before) or 'none'}"
            verdict.add_finding("host_changed", text, None, _AGAIN)


def _judge_ways_around(verdict: Verdict, answer: Mapping[str, Any]) -> None:
    """Add what carries packets of containers past the hooks of the table."""
    if problem := answer["problems"].get("others"):
        verdict.add_finding("unread", f"the tables of others cannot be read: {problem}", UNKNOWN, "nft list ruleset")
    for other in answer["others"]:
        if other["kind"] == "flowtable":
            text = f"flow table {other['place']} forwards allowed connections past the rules; a later change of the rules does not end them"
            verdict.add_finding("offload", text, None, "nft list flowtables")
        else:
            verdict.add_finding(
                "forwarded", f"chain {other['place']} forwards packets at a device, past the rules", DEGRADED, "nft list ruleset"
            )
    own = {network["bridge"] for network in answer["networks"]} - {""}
    for bridge, ports in sorted(answer["bridges"].items()):
        if bridge in own and ports:
            text = f"bridge {bridge} has the port {', '.join(ports)}: what leaves there passes no rule"
            verdict.add_finding("bridged", text, DEGRADED, f"ip link set {ports[0]} nomaster")
