# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy of an inventory: what it forbids, allows and waives. Checks the variables, and judges a verification by them. Pure.

A report keeps the policy with which its host was verified, so that the fleet report needs no inventory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ...module_utils.exposures.kinds import FORBIDDEN, HIGH, KINDS, NOTE, get_finding_id
from ...module_utils.layers.registry import PER_SERVICE
from ...module_utils.layers.verdict import DISABLED, ENFORCED
from ..controls import requirement
from . import waivers
from .controls import list_finding_controls
from .waivers import Waiver

FORBID = "bulkhead_containers_forbid"
DEEP, SEARCH = "bulkhead_deep", "bulkhead_search_images"
# The modes of verify_layers, and the booleans that playbooks/tasks/verify.yml translates.
_DEEP_VALUES = ("none", "profiles", "all", "true", "yes", "false", "no")
_BOOLEANS = ("true", "yes", "1", "false", "no", "0")
VARIABLES = (FORBID, waivers.VARIABLE, requirement.VARIABLE, DEEP, SEARCH)
# States of a kind of exposure on a container, the worst first.
EXPOSED = "exposed"  # forbidden: verify.yml fails
NOT_READ = "unknown"  # nothing could be read, so it may have what is forbidden: verify.yml fails
REPORTED = "reported"  # not forbidden
WAIVED = "waived"
ALLOWED = "allowed"  # by allow_exposures of hardened_container_list
LISTED = "listed"  # not forbidden, and only a note
STATES = (EXPOSED, NOT_READ, REPORTED, WAIVED, ALLOWED, LISTED)


# The finding of a container whose exposures are unknown (layers/verification.py). `unknown` is listed as its kind.
UNKNOWN_FINDING, UNKNOWN_KIND = "container.exposures_unknown", "unknown"


@dataclass(frozen=True)
class Policy:
    """What the inventory forbids, requires and accepts.

    forbid: kinds of exposure that fail. waivers: accepted findings. allow: container of hardened_container_list -> kinds that it may have.
    required: IDs of controls that fail.
    """

    forbid: tuple[str, ...] = FORBIDDEN
    waivers: tuple[Waiver, ...] = ()
    allow: Mapping[str, Sequence[str]] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what a report keeps."""
        return {
            "forbid": list(self.forbid),
            "waivers": [w.as_dict() for w in self.waivers],
            "allow": {k: list(v) for k, v in self.allow.items()},
            "required_controls": list(self.required),
        }


@dataclass(frozen=True)
class Granted:
    """The exposures of one kind that one container has. state: of STATES. finding: ID. entries: as `verify_layers` returns them."""

    container: str
    id: str
    kind: str
    state: str
    finding: str
    text: str
    remedy: str
    severity: str
    entries: tuple[Mapping[str, Any], ...] = ()
    waiver: Waiver | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what `verify-HOST.json` keeps."""
        about = {
            "container": self.container,
            "kind": self.kind,
            "finding": self.finding,
            "exposures": [entry["id"] for entry in self.entries],
        }
        return {**about, "reason": self.waiver.reason, "until": self.waiver.until} if self.waiver else about


@dataclass
class Judgement:
    """A verification under a policy. granted: per container and kind. waived: (container or empty, ID of the finding) -> its waiver.

    matched: the waivers that accept something. unused: (container, kind) that is allowed and not present. waived_layers: names.
    controls: as `verify_layers` returns them, with status `waived` and `accepted` where everything that fails is waived or allowed.
    """

    policy: Policy = field(default_factory=Policy)
    granted: list[Granted] = field(default_factory=list)
    waived: dict[tuple[str, str], Waiver] = field(default_factory=dict)
    matched: set[Waiver] = field(default_factory=set)
    unused: list[tuple[str, str]] = field(default_factory=list)
    waived_layers: frozenset[str] = frozenset()
    controls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def unmet_controls(self) -> list[str]:
        """The required controls that fail or are unknown, each with its status."""
        return requirement.list_unmet(self.controls, self.policy.required)

    @property
    def exposed(self) -> list[Granted]:
        return [granted for granted in self.granted if granted.state == EXPOSED]

    @property
    def unread_containers(self) -> list[str]:
        """The containers whose exposures are unknown, where the policy forbids any."""
        return [granted.container for granted in self.granted if granted.state == NOT_READ]

    @property
    def exposed_containers(self) -> list[str]:
        return list(dict.fromkeys(granted.container for granted in self.exposed))

    def get_waiver(self, identifier: str, container: str = "") -> Waiver | None:
        """Return the waiver of a finding; None without one. container: empty for a finding of the host."""
        return self.waived.get((container, identifier))

    def list_waived(self) -> list[dict[str, Any]]:
        """Return the waived findings, as `verify-HOST.json` keeps them."""
        return [
            {"container": container, "finding": identifier, "reason": waiver.reason, "until": waiver.until}
            for (container, identifier), waiver in self.waived.items()
        ]


def resolve_policy(
    forbid: Any = None, waived: Any = None, expect: Mapping[str, Any] | None = None, required: Any = None
) -> tuple[Policy, list[str]]:
    """Return the policy, and one message per wrong value. forbid, waived, required: the variables; None: not set. expect: of the verification."""
    kinds, problems = (FORBIDDEN, []) if forbid is None else _check_kinds(FORBID, forbid)
    entries, wrong = ([], []) if waived is None else waivers.parse_waivers(waived)
    selected, unknown = ([], []) if required is None else requirement.resolve_required(required)
    containers = (expect or {}).get("containers") or {}
    allow = {name: tuple(entry.get("allow_exposures") or ()) for name, entry in containers.items()}
    allow = {name: kinds for name, kinds in allow.items() if kinds}
    return Policy(tuple(kinds), tuple(entries), allow, tuple(selected)), [*problems, *wrong, *unknown]


def load_policy(content: Any) -> Policy:
    """Return the policy that a report keeps; the default policy if the report is older. Raises ValueError."""
    if content is None:
        return Policy()
    if not isinstance(content, Mapping) or not isinstance(content.get("allow"), Mapping):
        raise ValueError("policy is not a mapping with a mapping allow")
    lists = [content.get("forbid"), *content["allow"].values()]
    if not all(isinstance(entry, list) and all(isinstance(kind, str) for kind in entry) for entry in lists):
        raise ValueError("policy has kinds of exposure that are not lists of texts")
    allow = {str(name): tuple(kinds) for name, kinds in content["allow"].items()}
    required = content.get("required_controls", [])  # a report of an earlier version has none
    if not isinstance(required, list) or not all(isinstance(identifier, str) for identifier in required):
        raise ValueError("the required controls of the policy are not a list of texts")
    return Policy(tuple(content["forbid"]), tuple(waivers.load_waivers(content.get("waivers"))), allow, tuple(required))


def find_variable_problems(variables: Mapping[str, Any]) -> list[str]:
    """Return one message per wrong value of the variables of a verification. variables: those of one host, templated."""
    lists = (FORBID, waivers.VARIABLE, requirement.VARIABLE)
    problems = [f"{name}: has no value; leave it out, or write []" for name in lists if name in variables and variables[name] is None]
    if DEEP in variables and str(variables[DEEP]).lower() not in _DEEP_VALUES:
        problems.append(f"{DEEP}: {variables[DEEP]!r} is not a mode; write none, profiles or all")
    if SEARCH in variables and str(variables[SEARCH]).lower() not in _BOOLEANS:
        problems.append(f"{SEARCH}: {variables[SEARCH]!r} is not a boolean; write true or false")
    given = [variables.get(name) for name in lists]
    return problems + resolve_policy(given[0], given[1], required=given[2])[1]


def _check_kinds(name: str, value: Any) -> tuple[Sequence[str], list[str]]:
    if not isinstance(value, list | tuple):
        return (), [f"{name}: {value!r} is not a list; write a list of kinds of exposure, such as [privileged, engine_socket], or []"]
    wrong = [
        f"{name}[{position}]: {kind!r} is not a kind of exposure; {waivers.suggest_kind(str(kind))}"
        for position, kind in enumerate(value)
        if not isinstance(kind, str) or kind not in KINDS
    ]
    return tuple(dict.fromkeys(kind for kind in value if isinstance(kind, str))), wrong


def list_judged_containers(verification: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the running containers without the layers that the inventory has disabled, which are not findings of a container."""
    layers = verification.get("layers", ())
    disabled = {layer["layer"] for layer in layers if layer.get("requirement") == DISABLED} - PER_SERVICE
    return [
        {
            **container,
            "layers": [layer for layer in container["layers"] if layer["layer"] not in disabled],
            "opted_out": [name for name in container["opted_out"] if name not in disabled],
            "disagreements": [text for text in container["disagreements"] if text.partition(": ")[0] not in disabled],
        }
        for container in verification.get("containers", ())
    ]


def judge_policy(host: str, verification: Mapping[str, Any], policy: Policy, today: date) -> Judgement:
    """Return what the policy makes of a verification. today: waivers that have expired accept nothing."""
    judgement = Judgement(policy)
    active = [waiver for waiver in policy.waivers if waiver.is_for_host(host) and not waiver.is_expired(today)]
    containers = list_judged_containers(verification)
    for layer in verification.get("layers", ()):
        for finding in layer.get("findings", ()):
            _waive(judgement, active, finding["id"], "", finding.get("status"))
    judgement.waived_layers = frozenset(layer["layer"] for layer in verification.get("layers", ()) if _is_waived(layer, judgement, active))
    for finding in verification.get("findings", ()):
        _waive(judgement, active, finding["id"], "", finding.get("status"))
    for container in containers:
        _judge_container(judgement, active, container)
    judgement.controls = requirement.apply_waivers(
        verification.get("controls", ()), lambda *part: _find_acceptance(judgement, active, *part)
    )
    for name, kinds in policy.allow.items():
        present = {granted.kind for granted in judgement.granted if granted.container == name}
        if any(container["name"] == name for container in containers):
            judgement.unused += [(name, kind) for kind in kinds if kind not in present]
    return judgement


def _find_acceptance(judgement: Judgement, active: Sequence[Waiver], control: str, container: str, finding: str) -> str:
    """Return why a part of a control that fails is accepted; empty if it is not."""
    kind = finding.partition(".")[2]
    if finding.startswith("container.") and kind in judgement.policy.allow.get(container, ()):
        return "allowed by allow_exposures of hardened_container_list"
    waiver = (judgement.get_waiver(finding, container) if finding else None) or _waive(judgement, active, control, container, None)
    return waiver.describe() if waiver else ""


def get_default_finding(layer: Mapping[str, Any]) -> str:
    """Return the ID under which reports show a layer that is not enforced and has no finding that states why."""
    return f"{layer['layer']}.{layer['status']}"


def _is_waived(layer: Mapping[str, Any], judgement: Judgement, active: Sequence[Waiver]) -> bool:
    """Return whether all findings that give the layer its status are waived."""
    if layer["status"] == ENFORCED:
        return False
    reasons = [finding["id"] for finding in layer.get("findings", ()) if finding.get("status")]
    if not reasons:
        if layer["requirement"] == DISABLED:
            return False
        return bool(_waive(judgement, active, get_default_finding(layer), "", layer["status"]))
    return all(judgement.get_waiver(identifier) for identifier in reasons)


def _judge_container(judgement: Judgement, active: Sequence[Waiver], container: Mapping[str, Any]) -> None:
    name = container["name"]
    for setting in container.get("settings", ()):
        if setting["status"] != ENFORCED:
            _waive(judgement, active, f"demand.{setting['setting']}", name, setting["status"])
    for layer in container["layers"]:
        for finding in layer.get("findings", ()):
            _waive(judgement, active, finding["id"], name, finding.get("status"))
    findings = {finding["id"]: finding for finding in container["findings"]}
    entries: dict[str, list[Mapping[str, Any]]] = {}
    for entry in container.get("exposures", ()):
        entries.setdefault(entry["kind"], []).append(entry)
    # A report of an earlier version has only findings.
    for kind in KINDS:
        if get_finding_id(kind) in findings:
            entries.setdefault(kind, [])
    for kind, found in entries.items():
        identifier = get_finding_id(kind)
        about = KINDS.get(kind)
        finding = findings.get(identifier, {})
        severity = about.severity if about else str(found[0]["severity"])
        text = finding.get("text") or f"container {name}: " + "; ".join(str(entry["text"]) for entry in found)
        waiver = None
        if kind in judgement.policy.allow.get(name, ()):
            state = ALLOWED
        else:
            waiver = _waive(judgement, active, identifier, name, finding.get("status"))
            state = WAIVED if waiver else EXPOSED if kind in judgement.policy.forbid else LISTED if severity == NOTE else REPORTED
        remedy = finding.get("remedy") or (about.remedy if about else "")
        judgement.granted.append(Granted(name, container["id"], kind, state, identifier, text, remedy, severity, tuple(found), waiver))
    for identifier, finding in findings.items():
        if identifier.partition(".")[2] not in entries:
            waiver = _waive(judgement, active, identifier, name, finding.get("status"))
            if identifier == UNKNOWN_FINDING:
                state = WAIVED if waiver else NOT_READ if judgement.policy.forbid else REPORTED
                about_it = (identifier, finding["text"], finding["remedy"], HIGH)
                judgement.granted.append(Granted(name, container["id"], UNKNOWN_KIND, state, *about_it, waiver=waiver))


def _waive(judgement: Judgement, active: Sequence[Waiver], identifier: str, container: str, status: str | None) -> Waiver | None:
    """Record that waivers accept a finding, and return the one that lasts longest; None without one."""
    if not active:
        return None
    cited = list_finding_controls(identifier)
    found = [waiver for waiver in active if waiver.is_match(identifier, cited, container, status)]
    judgement.matched.update(found)
    if not found:
        return None
    judgement.waived[container, identifier] = best = max(found, key=lambda waiver: waiver.until)
    return best


def group_granted(granted: Collection[Granted]) -> list[tuple[Granted, list[str]]]:
    """Return each kind and state once, with the names of its containers, the worst state first. A waived kind is split by its waivers."""
    groups: dict[tuple[int, str, str], list[Granted]] = {}
    for entry in granted:
        groups.setdefault((STATES.index(entry.state), entry.kind, entry.waiver.describe() if entry.waiver else ""), []).append(entry)
    order = {kind: position for position, kind in enumerate(KINDS)}
    keys = sorted(groups, key=lambda key: (key[0], order.get(key[1], len(order)), key[2]))
    return [(groups[key][0], list(dict.fromkeys(entry.container for entry in groups[key]))) for key in keys]
