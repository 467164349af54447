# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the egress rules of a host. Pure; control node only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...engine.instance import Instance, get_observed_instance
from ...formatting import format_names
from ...host.egress import FILES, RULES, SHOW, UNIT_NAME, WANTED_BY
from ..verdict import DISABLED, Change, Effect, LayerPlan
from .rules import Inputs, collect_inputs, find_denial, list_presets, render_drop_in, render_rules, render_unit
from .settings import LAYER, LIST, LOG, STAGE, SWITCH, EgressSettings, read_egress_settings
from .state import LISTS_OF_ROOTLESS, build_probe, build_question, list_differences, pick_variables

ASKS = "observe_egress"
_NOTHING = ("", "", "")


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """Plan the table, its file and its unit. Without an answer of module observe_egress, only the question is planned."""
    planned = LayerPlan(LAYER, desired[SWITCH], asks=ASKS)
    disabled = planned.requirement == DISABLED
    if disabled and not observed["layers"][LAYER]["configured"]:
        return planned
    if not disabled:
        if get_observed_instance(observed).rootless and desired[LIST]:
            return planned.mark_unsupported(f"{LIST}: {LISTS_OF_ROOTLESS}", SWITCH)
        if not observed["system"]["systemd"]:
            return planned.mark_unsupported("systemd does not run, which loads the egress rules at boot", SWITCH)
    planned.question = build_question(desired)
    answer = observed.get(LAYER)
    if not answer or answer["question"] != planned.question:
        return planned
    if answer["nft"] is None:
        if disabled:
            return _plan_files(planned, answer, _NOTHING)
        return planned.mark_unsupported("nft is not installed; install the package nftables", SWITCH)
    if problem := answer["problems"].get("table"):
        planned.blockers.append(f"{SHOW}: {problem}; the kernel's rules must be readable before they are changed")
        return planned
    if disabled:
        _plan_files(planned, answer, _NOTHING)
        if answer["table"] is not None:
            planned.changes.append(Change(SHOW, "remove the table from the kernel"))
            planned.apply = _build_arguments(_NOTHING)
        return planned
    return _plan_rules(planned, answer, read_egress_settings(desired), get_observed_instance(observed))


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what verification expects: the variables, what it asks the host, and what its probe tries."""
    probe = {} if desired[SWITCH] == DISABLED else build_probe(read_egress_settings(desired))
    return {"question": build_question(desired), "variables": pick_variables(desired), "probe": probe}


def _plan_rules(planned: LayerPlan, answer: Mapping[str, Any], settings: EgressSettings, instance: Instance) -> LayerPlan:
    if instance.uid is None:
        planned.notices.append(f"the egress rules of {instance.user} are planned after that user is created")
        return planned
    before = Inputs.from_text(answer["texts"][0])
    if answer["error"] and settings.entries and before is None:
        planned.blockers.append(f"the networks of the engine are not known, because it does not answer ({answer['error']}); start it first")
        return planned
    inputs = collect_inputs(settings, answer, before, instance.uid if instance.rootless else None)
    _describe_inputs(planned, answer, settings, inputs, before)
    if planned.blockers:
        return planned
    texts = render_rules(settings, inputs), render_unit(answer["nft"]), render_drop_in(answer["nft"])
    _plan_files(planned, answer, texts)
    if answer["table"] is None or answer["form"] is None:
        is_loaded, summary = False, "load the rules"
    else:
        missing, extra = list_differences(answer["form"], answer["table"])
        is_loaded, summary = not missing and not extra, f"load the rules again: {format_names([*missing, *extra])} differs"
    if not is_loaded or any(change.path == RULES for change in planned.changes):
        planned.changes.append(Change(SHOW, summary if not is_loaded else "load the changed rules"))
    if planned.changes:
        planned.apply = _build_arguments(texts)
        _describe_effects(planned, answer, settings, inputs)
    return planned


def _build_arguments(texts: Iterable[str]) -> dict[str, str]:
    """Return the arguments of module egress_rules."""
    return dict(zip(("rules_text", "unit_text", "drop_in_text"), texts, strict=True))


def _plan_files(planned: LayerPlan, answer: Mapping[str, Any], texts: tuple[str, str, str]) -> LayerPlan:
    for path, before, after in zip(FILES, answer["texts"], texts, strict=True):
        if (before or "") != after:
            planned.changes.append(
                Change(path, f"{path} is {'removed' if not after else 'changed' if before else 'created'}", before or "", after)
            )
    missing = [name for name in WANTED_BY if name not in answer["started_by"]]
    if texts[1] and missing and answer["texts"][1]:
        planned.changes.append(Change(f"systemctl is-enabled {UNIT_NAME}", f"enable {UNIT_NAME} for {', '.join(missing)}"))
    if not texts[1] and answer["started_by"] and not answer["texts"][1]:
        planned.changes.append(Change(f"systemctl is-enabled {UNIT_NAME}", f"disable {UNIT_NAME}"))
    if planned.changes:
        planned.apply = _build_arguments(texts)
    return planned


def _describe_inputs(
    planned: LayerPlan, answer: Mapping[str, Any], settings: EgressSettings, inputs: Inputs, before: Inputs | None
) -> None:
    """Describe the data of the host in the rules, and what is missing there."""
    for name, addresses in inputs.names.items():
        error = answer["names"][name]["error"]
        if not addresses:
            planned.blockers.append(f"{name}: this host cannot resolve the name ({error}); correct the name, or write its addresses")
        elif error:
            planned.warnings.append(f"{name} cannot be resolved now ({error}), and keeps the addresses {', '.join(addresses)}")
        elif before and sorted(before.names.get(name, addresses)) != sorted(addresses):
            planned.notices.append(f"{name} now has the addresses {', '.join(addresses)}, and had {', '.join(before.names[name])}")
        else:
            planned.notices.append(f"{name} has the addresses {', '.join(addresses)}")
    for entry in settings.entries:
        if not inputs.bridges.get(entry.label):
            planned.warnings.append(
                f"{entry.label}: no bridge network of the engine has that name now; run this again once it exists. Until then the presets"
                " of other networks apply to it"
            )
    if inputs.others:
        planned.notices.append(f"these bridges are not the engine's, and no rule applies to them: {', '.join(inputs.others)}")
    if settings.stage == LOG:
        planned.warnings.append(f"{STAGE}: log counts and logs what would be denied, and denies nothing")
    if not list_presets(settings):
        planned.warnings.append("container_egress_presets: is empty, so that containers may reach everything")
    for bridge, ports in sorted(answer["bridges"].items()):
        if ports and bridge not in inputs.others and (bridge.startswith(("br-", "docker")) or bridge in inputs.named):
            planned.warnings.append(f"bridge {bridge} has the port {', '.join(ports)}: what leaves there passes no rule")


def _describe_effects(planned: LayerPlan, answer: Mapping[str, Any], settings: EgressSettings, inputs: Inputs) -> None:
    """Add the running containers with connections that the rules would end."""
    if settings.stage == LOG:
        return
    if answer["connections_error"]:
        planned.warnings.append(f"present connections of containers are not known: {answer['connections_error']}")
        return
    bridges = {network["name"]: network["bridge"] for network in answer["networks"]}
    containers = {each["name"]: each for each in answer["containers"]}
    own = {address for each in answer["containers"] for address in each["addresses"]}
    found: dict[str, list[str]] = {}
    for connection in answer["connections"]:
        joined = [bridges.get(name, "") for name in containers[connection["container"]]["networks"]]
        local = connection["destination"] in answer["addresses"]
        denials = {
            find_denial(settings, inputs, connection, bridge, local, connection["destination"] in own) for bridge in joined if bridge
        }
        if denials and "" not in denials:
            place = f"{connection['destination']} {connection['protocol']}/{connection['port']}"
            found.setdefault(connection["container"], []).append(place)
    if found:
        details = {name: format_names(list(dict.fromkeys(places))) for name, places in found.items()}
        planned.effects.append(Effect("present connections of these containers are ended", found, details))
