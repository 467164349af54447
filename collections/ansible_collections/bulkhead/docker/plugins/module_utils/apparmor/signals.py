# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out from a profile's text which signals the runtime may send to a container. Control node only.

`docker stop` makes the runtime send SIGTERM (or the image's STOPSIGNAL) and, after a timeout, SIGKILL. The kernel asks the profiles of both
sides (man 5 apparmor.d, Signal rules); the distributions' profiles of runtimes allow everything. So the container's profile decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from .syntax import PREFIXES, Profile, Statement, list_profiles, list_rules, parse_policy

UNCONFINED = "unconfined"
# Labels from which signals come: of the engine or the runtime without a profile, of the distributions' profiles (apparmor 4,
# profiles/apparmor.d/{runc,crun,rootlesskit}) and of Bulkhead's (rootless/names.py). Ubuntu 23.10 and Docker's instructions for rootless engines
# name them by path. A container cannot choose such a label.
SENDERS = "{unconfined,runc,crun,rootlesskit,bulkhead-rootlesskit,/**/{runc,crun,rootlesskit}}"
_READ, _WRITE = ("receive", "read", "r", "rw", "wr"), ("send", "write", "w", "rw", "wr")
# What included files of AppArmor allow (profiles/apparmor.d/abstractions); other included files are not known.
_BASE = ("abstractions/base", "abstractions/apache2-common")


@dataclass(frozen=True)
class SignalRule:
    """A rule by which a container receives signals. names: signals, or None for all. peer: a pattern, or None for any label."""

    effect: str
    priority: int
    names: frozenset[str] | None
    peer: str | None

    def applies_to(self, name: str, label: str, variables: Mapping[str, tuple[str, ...]]) -> bool:
        if self.names is not None and name not in self.names:
            return False
        return self.peer is None or matches_label(self.peer, label, variables, self.effect != "deny")


@dataclass
class SignalPolicy:
    """The signal rules of a profile. unknown: included files that may contain more."""

    rules: list[SignalRule]
    variables: dict[str, tuple[str, ...]]
    unknown: list[str]

    def is_allowed(self, name: str, label: str) -> bool:
        """Return whether a process with the label may send the signal. A rule of higher priority wins, then `deny`."""
        applying = [rule for rule in self.rules if rule.applies_to(name, label, self.variables)]
        highest = max((rule.priority for rule in applying), default=0)
        effects = {rule.effect for rule in applying if rule.priority == highest}
        return bool(effects) and "deny" not in effects


def read_signal_policy(text: str, name: str) -> SignalPolicy:
    """Return the signal rules of the profile `name` in a text; its children have their own."""
    statements = parse_policy(text)
    profile = next((found for found in list_profiles(statements) if found.name == name), Profile(name, []))
    variables: dict[str, tuple[str, ...]] = {"@{profile_name}": (name,)}
    for statement in statements:
        if statement.body is None and len(statement.parts) == 1 and statement.parts[0].word.startswith("@"):
            part = statement.parts[0]
            key = part.word if part.word.startswith("@{") else f"@{{{part.word[1:]}}}"
            variables[key] = (*variables.get(key, ()), *part.values)
    found = SignalPolicy([], variables, [])
    for effect, statement in list_rules(profile.body):
        words = statement.words
        if words[:1] == ["include"]:
            _add_include(found, words[1] if len(words) > 1 else "")
        else:
            found.rules += _read_rule(statement, effect)
    return found


def _add_include(found: SignalPolicy, path: str) -> None:
    if path in _BASE:
        found.rules.append(SignalRule("allow", 0, None, UNCONFINED))
    elif path not in found.unknown:
        found.unknown.append(path)


def _read_rule(statement: Statement, effect: str) -> Iterator[SignalRule]:
    words = [word for word in statement.words if word not in PREFIXES]
    conditions = {part.word: part.values for part in statement.parts if part.has_values and part.word != "set"}
    if words[:1] not in (["signal"], ["all"]):
        return
    access = {*words[1:], *conditions.get("", ())}
    if access and not access & set(_READ):
        return
    listed = [value for part in statement.parts if part.has_values and part.word == "set" for value in part.values]
    priority = conditions.get("priority", ("0",))[0]
    peers: tuple[str | None, ...] = conditions.get("peer") or (None,)
    for peer in peers:
        number = int(priority) if re.fullmatch(r"[+-]?\d{1,5}", priority) else 0
        yield SignalRule(effect, number, frozenset(listed) if listed else None, peer)


def matches_label(pattern: str, label: str, variables: Mapping[str, tuple[str, ...]], unknown: bool) -> bool:
    """Return whether a pattern (man 5 apparmor.d, Globbing) matches a label. unknown: the result for a variable of an included file."""
    try:
        return re.fullmatch(_translate(pattern, variables), label) is not None
    except (KeyError, re.error):
        return unknown


def _translate(pattern: str, variables: Mapping[str, tuple[str, ...]], depth: int = 0) -> str:
    """Return a regular expression. Raises KeyError for an unknown variable."""
    if depth > 10:
        raise KeyError(pattern)
    found, inside = "", 0
    for token in re.findall(r"@\{\w+\}|@\w+|\\.|\*\*|\[\^?[^\]]+\]|.", pattern, re.DOTALL):
        if token.startswith("@") and len(token) > 1:
            values = variables[token if token.startswith("@{") else f"@{{{token[1:]}}}"]
            found += "(?:" + "|".join(_translate(value, variables, depth + 1) for value in values) + ")"
        elif token in ("{", "}"):
            inside += 1 if token == "{" else -1
            found += "(?:" if token == "{" else ")"
        elif token == "," and inside > 0:
            found += "|"
        elif len(token) > 2 and token.startswith("["):
            found += token.replace("\\", "\\\\")
        else:
            found += {"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token) or re.escape(token[-1])
    return found


def describe_stopping(policy: SignalPolicy, runtime: str, engine: str) -> str | None:
    """Return how a profile keeps containers from being stopped, to follow its name in a sentence; None if it does not.

    runtime, engine: labels of the runtime and of dockerd, which sends SIGKILL itself when the runtime fails (moby daemon/kill.go).
    """
    stops, kills = (policy.is_allowed(name, runtime) for name in ("term", "kill"))
    if stops and kills:
        return None
    what = "SIGTERM" if kills else "SIGKILL" if stops else "SIGTERM and SIGKILL"
    if not stops and (kills or policy.is_allowed("kill", engine)):
        result = "`docker stop` waits until its timeout and ends in SIGKILL (exit code 137)"
    elif not stops:
        result = "neither `docker stop` nor `docker kill` ends a container"
    else:
        result = "a container that ignores SIGTERM is not stopped"
    unless = f", unless it includes such a rule ({', '.join(policy.unknown)})" if policy.unknown else ""
    return f"does not let the runtime, whose label here is {runtime}, send {what}, so {result}{unless}"


def list_labels(modes: Collection[str], runtime: str, rootless: bool) -> tuple[str, str]:
    """Return the labels of the runtime and of dockerd on a host. modes: names of the loaded profiles. runtime: name or path of its program.

    A program without a profile of its own keeps the label of the one that starts it, which is rootlesskit's in a rootless engine. Profiles
    with flags=(unconfined) let it change to a profile of its own (Linux security/apparmor/domain.c, profile_transition).
    """
    engine = (_find_label(modes, "bulkhead-rootlesskit") or _find_label(modes, "rootlesskit")) if rootless else None
    engine = engine or UNCONFINED
    return _find_label(modes, runtime.rpartition("/")[2]) or engine, engine


def _find_label(modes: Collection[str], program: str) -> str | None:
    return next((name for name in sorted(modes) if name == program or (name.startswith("/") and name.rpartition("/")[2] == program)), None)


def suggest_rule(runtime: str) -> str:
    """Return a rule that lets the runtimes of all distributions stop containers, and this one."""
    labels = ["unconfined", "runc", "crun", "rootlesskit"]
    return f"signal (receive) peer={{{','.join(labels if runtime in labels else [*labels, runtime])}}},"
