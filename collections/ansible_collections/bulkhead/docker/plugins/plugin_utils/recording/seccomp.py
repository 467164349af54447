# SPDX-License-Identifier: GPL-3.0-or-later
"""Generates an entry of seccomp_profiles_list from a recording, within a base profile. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.capabilities import parse_names
from ...module_utils.seccomp import bpf
from ...module_utils.seccomp.blocks import BLOCKS, ENOSYS, NAMESPACE_FLAGS
from ...module_utils.seccomp.compose import ARCHITECTURES, compose_profile, format_profile
from ...module_utils.seccomp.profile import parse_profile
from ...module_utils.seccomp.semantics import ACTIONS, NATIVE, Condition, RuleFilter
from ...module_utils.seccomp.syscalls_other import list_known_names
from .call_descriptions import describe_argument, describe_call, describe_denied_call
from .families import OLDER, WITH_FALLBACK, list_siblings
from .generation import ENFORCE, LOG, Generated, GenerationError, name_profile
from .model import KEYED, Recording
from .seccomp_base import FREE, OTHER_ABIS, Base, Grant, build_rule, find_excess, is_met
from .sightings import SeenCall

RUNTIME = "runc"
# Calls that any program makes, also one whose recording was short: its end, signals, locks. The time is read without a call until the kernel changes its
# clock source, such as from an unstable TSC to HPET (man 7 vdso); then each program makes these calls.
FIXED = frozenset({"exit", "exit_group", "rt_sigreturn", "restart_syscall", "futex", "sched_yield", "clock_gettime", "gettimeofday"})
# AF_MAX - 1 of Linux 6.12 (linux/socket.h).
_LAST_FAMILY = 45
_ARCHITECTURES = {**NATIVE, **OTHER_ABIS}  # by ABI
_ADMIN = "CAP_SYS_ADMIN"


def generate_seccomp_entry(recording: Recording, base: Base, stage: str, siblings: bool = True) -> Generated:
    """Return the entry of a service for a stage (LOG or ENFORCE), with a reason per call. siblings: whether to allow calls that replace recorded ones, too.

    It allows at most what the base allows. Raises GenerationError.
    """
    if stage not in (LOG, ENFORCE):
        raise GenerationError(f"{recording.service}: stage {stage!r} has no seccomp profile; write {LOG} or {ENFORCE}")
    if not recording.calls:
        raise GenerationError(f"{recording.service}: no system call was recorded; record the service first with playbooks/record.yml")
    builder = _Builder(recording, base, stage)
    builder.add_recorded_calls()
    if siblings:
        builder.add_siblings()
    builder.add_runtime()
    if stage == LOG:
        builder.join_arguments()
    replaced: set[str] = set()
    while True:
        result = builder.build(replaced)
        excess = set(find_excess(parse_profile(render_seccomp_entry(result.entry), base.name), base, builder.capabilities))
        if not excess:
            return result
        if excess <= replaced:
            raise GenerationError(
                f"{recording.service}: cannot stay within {base.name} for {', '.join(sorted(excess))}; report this as a fault"
            )
        replaced |= excess


def render_seccomp_entry(entry: Mapping[str, Any]) -> str:
    """Return the text of the profile that an entry of seccomp_profiles_list makes."""
    profile = compose_profile(
        entry.get("blocks", ()),
        entry.get("allow", ()),
        entry.get("deny", ()),
        entry.get("default_action", "SCMP_ACT_ERRNO"),
        entry.get("architectures", ARCHITECTURES),
        rules=entry.get("rules", ()),
    )
    return format_profile(profile)


@dataclass
class _Builder:
    recording: Recording
    base: Base
    stage: str
    reasons: dict[str, str] = field(default_factory=dict)  # call -> why it is allowed
    notes: list[str] = field(default_factory=list)
    arguments: dict[str, dict[int, str]] = field(default_factory=dict)  # call -> argument -> why it is allowed
    only_on: dict[str, str] = field(default_factory=dict)  # call -> the only machine on which it is allowed, as `includes` names it

    @property
    def capabilities(self) -> frozenset[str]:
        """The container's capabilities, with CAP_."""
        return frozenset(f"CAP_{name}" for name in parse_names(self.recording.capabilities))

    def list_grants(self, name: str) -> list[Grant]:
        """Return the grants of the base for a call. Grants for other capabilities stay: the engine applies them as it does those of the base.

        Without CAP_SYS_ADMIN, a rule that needs it would only contradict others, such as ENOSYS for clone3.
        """
        has_admin = _ADMIN in self.capabilities
        return [grant for grant in self.base.list_grants(name) if _ADMIN not in (grant.excludes.caps if has_admin else grant.includes.caps)]

    def add_recorded_calls(self) -> None:
        known = list_known_names()
        for name, call in sorted(self.recording.calls.items()):
            if name not in known:
                self.notes.append(f"{name}: is recorded, but has no name that libseccomp knows, so no profile can allow it")
            elif not self.base.list_grants(name):
                self.notes.append(f"{name}: is recorded, but {self.base.name} denies it, so it is not allowed")
            elif not self.list_grants(name):
                self.notes.append(f"{name}: is recorded, but {self.base.name} denies it without {_ADMIN}, so it is not allowed")
            else:
                self._add_recorded_call(name, call)
        for name, denied in sorted(self.recording.denied_calls.items()):
            self.notes.append(f"{name}: {describe_denied_call(denied)}; a denied call is not allowed by a recording")

    def _add_recorded_call(self, name: str, call: SeenCall) -> None:
        why = describe_call(call)
        # Without the argument, as in socketcall of 32-bit programs, the base's own conditions are all that is known.
        values = [] if None in call.arguments or name not in KEYED else sorted(value for value in call.arguments if value is not None)
        for value in values:
            if any(is_met(grant.conditions, {0: value}) for grant in self.list_grants(name)):
                self.arguments.setdefault(name, {})[value] = why
            else:
                self.notes.append(
                    f"{name} {describe_argument(name, value)}: is recorded, but {self.base.name} denies it, so it is not allowed"
                )
        if not values or name in self.arguments:
            self.reasons[name] = why

    def add_siblings(self) -> None:
        """Add calls that replace recorded ones. The image decides which C library its programs use, so a recorded newer call has no older sibling."""
        abis = {abi for call in self.recording.calls.values() for abi in call.abis}
        older = "x86_64" not in abis or OLDER in self.recording.calls
        for name in sorted(self.reasons):
            for sibling, machine in sorted(list_siblings(name, abis, older).items()):
                if sibling in self.reasons and not (sibling in self.only_on and not machine):
                    continue
                grants = self.list_grants(sibling)
                if machine and not any(grant.is_free for grant in grants):
                    continue
                if grants:
                    where = f"on {machine}" if machine else "in another C library or on another machine"
                    self.reasons[sibling] = f"does the same {where} as {name}, which is recorded"
                    self.only_on.pop(sibling, None)
                    if machine:
                        self.only_on[sibling] = machine
                    if sibling == "clone":
                        self.arguments["clone"] = {0: self.reasons[sibling]}

    def add_runtime(self) -> None:
        """Add what runc and every program need, where the base allows it."""
        for name in sorted({*BLOCKS[RUNTIME].names.split(), "clone", *FIXED}):
            if self.list_grants(name):
                self.only_on.pop(name, None)
                why = "any program needs it" if name in FIXED else f"building block {RUNTIME}: needed to start the container and for exec"
                self.reasons.setdefault(name, why)
        if "clone" in self.reasons and "clone" not in self.recording.calls:
            self.arguments.setdefault("clone", {0: self.reasons["clone"]})

    def build(self, replaced: Collection[str]) -> Generated:
        """Return the entry. replaced: calls for which the base's own conditions are used, because those of the recording exceed them."""
        block = self._can_use_block()
        entry: dict[str, Any] = {"name": name_profile(self.recording.service)}
        result = Generated(entry, [], list(self.notes))
        covered: set[str] = set()
        if block:
            entry["blocks"] = [RUNTIME]
            result.reasons.append(
                (f"block {RUNTIME}", "runc needs its calls to start the container and for exec, also those that no recording saw")
            )
            covered = set(BLOCKS[RUNTIME].names.split())
        rules: list[dict[str, Any]] = []
        allow: list[str] = []
        only: dict[str, list[str]] = {}
        for name in sorted(self.reasons.keys() - covered):
            free, own = self._build_call(name, replaced, block)
            if name in self.only_on:
                only.setdefault(self.only_on[name], []).append(name)
            elif free:
                allow.append(name)
            rules += own
            result.reasons += self._list_reasons(name, free)
        if allow:
            entry["allow"] = allow
        rules += [build_rule(names, bpf.ALLOW, Grant(includes=RuleFilter(arches=(machine,)))) for machine, names in sorted(only.items())]
        rules += self._build_rest(result)
        if rules:
            entry["rules"] = rules
        self._add_defaults(entry)
        return result

    def _can_use_block(self) -> bool:
        """Return whether the base allows all that the block allows, and denies what it denies."""
        names = BLOCKS[RUNTIME].names.split()
        free = all(any(grant.is_free for grant in self.base.list_grants(name)) for name in names)
        masked = Grant((Condition(0, "SCMP_CMP_MASKED_EQ", NAMESPACE_FLAGS, 0),))
        clone = [grant for grant in self.base.list_grants("clone") if not grant.includes.caps]
        plain = [Grant(tuple(grant.conditions)) for grant in clone]
        return free and (masked in plain or Grant() in plain) and not self.list_grants("clone3")

    def _build_call(self, name: str, replaced: Collection[str], block: bool) -> tuple[bool, list[dict[str, Any]]]:
        """Return whether a call is allowed with any arguments, and the rules by which it is allowed otherwise."""
        grants = self.list_grants(name)
        values = self.arguments.get(name)
        if values and name not in replaced:
            found = []
            for value in sorted(values):
                if block and name == "clone" and value == 0:
                    continue  # the block has this rule
                met = [grant for grant in grants if is_met(grant.conditions, {0: value})]
                own = dict.fromkeys(grant._replace(conditions=(_build_condition(name, value),)) for grant in met)
                found += [build_rule([name], bpf.ALLOW, grant) for grant in own]
            return False, found
        if any(grant.is_free for grant in grants):
            return True, []
        return False, [build_rule([name], bpf.ALLOW, grant) for grant in grants]

    def _list_reasons(self, name: str, free: bool) -> list[tuple[str, str]]:
        values = {} if free else self.arguments.get(name) or {}
        found = [(f"{name} {describe_argument(name, value)}", why) for value, why in sorted(values.items())]
        return found or [(name, self.reasons[name])]

    def _build_rest(self, result: Generated) -> list[dict[str, Any]]:
        """Return the rules for what is not recorded."""
        rest = sorted(self.base.names - self.reasons.keys())
        rules = []
        for rule in self.base.list_denials():
            names = sorted(name for name in rule.names if name not in self.reasons and not (name == "clone3" and self._can_use_block()))
            if self.stage == ENFORCE:
                names = [name for name in names if name not in WITH_FALLBACK]
            if names:
                grant = Grant(rule.conditions, rule.includes, rule.excludes)
                errno = rule.answer & 0xFFFF if bpf.extract_action(rule.answer) == bpf.ERRNO else None
                rules.append(build_rule(names, rule.answer, grant, errno=errno))
        return rules + (self._build_log(rest, result) if self.stage == LOG else self._build_missing(rest, result))

    def _build_missing(self, rest: list[str], result: Generated) -> list[dict[str, Any]]:
        """Return the rule for calls that a C library replaces when the kernel lacks them."""
        names = sorted({name for name in rest if name in WITH_FALLBACK} | ({"clone3"} - self.reasons.keys()))
        names = [name for name in names if not (name == "clone3" and self._can_use_block())]
        denied = [name for name in rest if self.list_grants(name)]
        result.reasons.append((f"{len(denied)} other calls", f"{self.base.name} allows them, but they are not recorded: denied"))
        if not names:
            return []
        result.reasons.append((", ".join(names), "ENOSYS instead of EPERM: programs then continue as on a kernel without these calls"))
        return [build_rule(names, bpf.ERRNO, comment="programs continue as on a kernel without these calls", errno=ENOSYS)]

    def _build_log(self, rest: list[str], result: Generated) -> list[dict[str, Any]]:
        """Return the rules that allow and log what the base allows beyond the recording."""
        grouped: dict[Grant, list[str]] = {}
        for name in rest:
            grants = self.list_grants(name)
            for grant in [FREE] if any(grant.is_free for grant in grants) else grants:
                grouped.setdefault(grant, []).append(name)
        rules = [build_rule(names, bpf.LOG, grant, "allowed and logged: not recorded") for grant, names in grouped.items()]
        logged = sorted({name for names in grouped.values() for name in names})
        if logged:
            result.reasons.append(
                (f"{len(logged)} other calls", f"{self.base.name} allows them, but they are not recorded: allowed and logged")
            )
        for machine in sorted(set(self.only_on.values())):
            names = [name for name, only in self.only_on.items() if only == machine]
            elsewhere = Grant(excludes=RuleFilter(arches=(machine,)))
            rules.append(build_rule(names, bpf.LOG, elsewhere, "allowed and logged: not recorded"))
        for name, values in sorted(self.arguments.items()):
            rules += self._build_other_arguments(name, values)
        return rules

    def _build_other_arguments(self, name: str, values: Mapping[int, str]) -> list[dict[str, Any]]:
        """Return the rules for arguments that the base allows and that are not recorded. No two rules match the same arguments."""
        grants = self.list_grants(name)
        if all(_is_equality(grant) for grant in grants):
            rest = [grant for grant in grants if grant.conditions[0].value not in values]
            return [build_rule([name], bpf.LOG, grant, "allowed and logged: not recorded") for grant in rest]
        if name == "socket":
            return [
                build_rule([name], bpf.LOG, grant._replace(conditions=(condition,)), "allowed and logged: not recorded")
                for condition, family in _list_families()
                if family not in values and (grant := next((g for g in grants if is_met(g.conditions, {0: family})), None))
            ]
        return []

    def join_arguments(self) -> None:
        """Forget the recorded arguments of calls for which no rules could tell them from others: rules that overlap contradict each other."""
        for name, values in sorted(self.arguments.items()):
            grants = self.list_grants(name)
            only_masked = all(grant.conditions == (_build_condition("clone", 0),) for grant in grants) and 0 in values
            if name == "socket" or only_masked or all(map(_is_equality, grants)):
                continue
            del self.arguments[name]
            self.notes.append(
                f"{name}: stage {LOG} allows it as {self.base.name} does, and the kernel logs no argument; the recorder still sees it"
            )

    def _add_defaults(self, entry: dict[str, Any]) -> None:
        """Add the default action and the architectures, where they differ from those of an entry without the keys."""
        default = self.base.profile.default
        if self.stage == LOG and bpf.is_allowing(default):
            entry |= {"default_action": "SCMP_ACT_LOG", "permissive": True}
        elif self.stage == LOG and bpf.extract_action(default) != bpf.ERRNO:
            entry["default_action"] = next(name for name, value in ACTIONS.items() if value == bpf.extract_action(default))
        known = self.base.list_architectures()
        if self.stage == ENFORCE:
            recorded = {_ARCHITECTURES.get(abi) for call in self.recording.calls.values() for abi in call.abis}
            known = [name for name in known if name in NATIVE.values() or name in recorded]
        known = [name for name in known if name in _ARCHITECTURES.values()]
        if set(known) != set(ARCHITECTURES):
            entry["architectures"] = known


def _build_condition(name: str, value: int) -> Condition:
    if name == "clone":
        return Condition(0, "SCMP_CMP_MASKED_EQ", NAMESPACE_FLAGS, value & NAMESPACE_FLAGS)
    return Condition(0, "SCMP_CMP_EQ", value)


def _is_equality(grant: Grant) -> bool:
    return len(grant.conditions) == 1 and grant.conditions[0].op == "SCMP_CMP_EQ"


def _list_families() -> list[tuple[Condition, int]]:
    """Return a condition per socket family, and one for all numbers above, each with a number that meets it."""
    families = [(Condition(0, "SCMP_CMP_EQ", family), family) for family in range(_LAST_FAMILY + 1)]
    return [*families, (Condition(0, "SCMP_CMP_GT", _LAST_FAMILY), _LAST_FAMILY + 1)]
