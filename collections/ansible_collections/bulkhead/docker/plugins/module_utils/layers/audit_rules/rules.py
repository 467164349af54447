# SPDX-License-Identifier: GPL-3.0-or-later
"""What audit rules watch, which rules of the kernel count, and the text of the files. Pure; planning, judging and the controls share it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...engine.instance import SYSTEM_UNITS, get_observed_instance
from ...host.audit_loading import KEY
from ..registry import SWITCHES
from .kernel import ALWAYS, EXCLUDE, EXIT, NEVER, TASK, Kernel, Rule

LAYER = __package__.rpartition(".")[2]
SWITCH, EXCLUDED = SWITCHES[LAYER], "docker_audit_rules_exclude"
_HEAD = "# Managed by Bulkhead, role docker_audit_rules. Rules of your own belong in another file of this folder.\n"
# -i: a rule whose folder is missing at boot would keep the rules after it from being loaded, and auditd 4 from starting (man 8 auditctl).
_IGNORE = "# The next line ignores a rule that cannot be loaded, because its folder does not exist.\n-i\n"
_LINE = re.compile(rf"-w (/\S*) -p wa -k {KEY}")
_UNITS = {"docker_service": "docker.service", "docker_socket": "docker.socket"}
_RUN = "containerd_run"
# Records without which it is not known who changed what: AUDIT_SYSCALL, AUDIT_PATH.
_RECORDS = {1300: "SYSCALL", 1302: "PATH"}


@dataclass(frozen=True)
class WatchedKind:
    """One thing that is watched. title: for messages. control: of the benchmark. folder: whether all below it is watched."""

    title: str
    control: str
    folder: bool = False


KINDS: dict[str, WatchedKind] = {
    "dockerd": WatchedKind("program of the engine", "CIS-1.1.3"),
    _RUN: WatchedKind("runtime folder of containerd", "CIS-1.1.4", True),
    "data_root": WatchedKind("data of the engine", "CIS-1.1.5", True),
    "etc_docker": WatchedKind("folder of the engine's configuration", "CIS-1.1.6", True),
    "docker_service": WatchedKind("docker.service", "CIS-1.1.7"),
    "containerd_socket": WatchedKind("socket of containerd", "CIS-1.1.8"),
    "docker_socket": WatchedKind("docker.socket", "CIS-1.1.9"),
    "default_docker": WatchedKind("environment of the engine", "CIS-1.1.10"),
    "daemon_json": WatchedKind("configuration of the engine", "CIS-1.1.11"),
    "containerd_config": WatchedKind("configuration of containerd", "CIS-1.1.12"),
    "sysconfig_docker": WatchedKind("environment of the engine", "CIS-1.1.13"),
    "containerd": WatchedKind("program of containerd", "CIS-1.1.14"),
    "containerd_shim": WatchedKind("program of containerd", "CIS-1.1.15"),
    "containerd_shim_v1": WatchedKind("program of containerd", "CIS-1.1.16"),
    "containerd_shim_v2": WatchedKind("program of containerd", "CIS-1.1.17"),
    "runc": WatchedKind("program of the runtime", "CIS-1.1.18"),
}
# Read by this layer on the host, and by layer `files`. What the engine configures is not in them.
_OWN = {
    _RUN: "/run/containerd",
    "containerd": "/usr/bin/containerd",
    "containerd_shim": "/usr/bin/containerd-shim",
    "containerd_shim_v1": "/usr/bin/containerd-shim-runc-v1",
    "containerd_shim_v2": "/usr/bin/containerd-shim-runc-v2",
}
_OF_FILES = {
    "etc_docker": "/etc/docker",
    "containerd_socket": "/run/containerd/containerd.sock",
    "default_docker": "/etc/default/docker",
    "containerd_config": "/etc/containerd/config.toml",
    "sysconfig_docker": "/etc/sysconfig/docker",
}


@dataclass(frozen=True)
class WatchedPath:
    """A path that is watched. real: without links, which the kernel watches; empty if it does not exist. unfit: why it gets no rule."""

    name: str
    path: str
    real: str
    unfit: str = ""

    @property
    def kind(self) -> WatchedKind:
        return KINDS[self.name]

    @property
    def described(self) -> str:
        link = f", {self.real}" if self.real not in ("", self.path) else ""
        return f"{self.path}{link} ({self.kind.title})"

    @property
    def names(self) -> set[str]:
        """The paths by which a rule watches it. The kernel does not follow a link at the end of a rule's path, only those before."""
        alias = {f"/usr{self.path}", self.path.replace("/var/run/", "/run/", 1)}
        return {self.real, self.path} if self.real in alias else {self.real}


def list_places(observed: Mapping[str, Any]) -> dict[str, WatchedPath]:
    """Return every place by name, in the order of KINDS, whether it exists or not."""
    own, files = observed["layers"][LAYER]["places"], observed["layers"]["files"]["files"]
    found = {name: tuple(own[name]) for name in ("dockerd", "data_root")}
    found |= {name: tuple(own[path]) for name, path in _OWN.items()}
    found["runc"] = tuple(own["/usr/bin/runc"] if own["/usr/bin/runc"][1] else own["/usr/sbin/runc"])
    named = {**_OF_FILES, "daemon_json": observed["daemon_json"]["path"]}
    for name, unit in _UNITS.items():
        candidates = [f"{folder}/{unit}" for folder in SYSTEM_UNITS]
        named[name] = next((path for path in candidates if path in files), f"{SYSTEM_UNITS[3]}/{unit}")
    found |= {name: (path, (files[path].get("target") or path) if path in files else "") for name, path in named.items()}
    return {
        name: WatchedPath(name, found[name][0], found[name][1] or "", _explain_unfit(observed, name, found[name][1] or ""))
        for name in KINDS
    }


def _explain_unfit(observed: Mapping[str, Any], name: str, real: str) -> str:
    """Return why a place gets no rule. A user's engine names its files, and a rule of root about any folder could overload the host."""
    instance = get_observed_instance(observed)
    if instance.rootless and name in ("data_root", "daemon_json") and real and not real.startswith(f"{instance.home}/"):
        return f"is outside of {instance.home}, and user {instance.user} chose it"
    if real == "/":
        return "is the whole file system"
    return "has a character that a file of audit rules cannot contain" if re.search(r"[^!-~]", real) else ""


def list_watched(observed: Mapping[str, Any], excluded: Iterable[str]) -> list[WatchedPath]:
    """Return the places that need a rule: those that exist, once each. excluded: paths that need none."""
    leave, found = set(excluded), dict[str, WatchedPath]()
    for place in list_places(observed).values():
        if place.real and not place.unfit and not {place.path, place.real} & leave:
            found.setdefault(place.real, place)
    return list(found.values())


def list_covering(kernel: Kernel, place: WatchedPath) -> list[Rule]:
    """Return the rules that watch all of a place, for some permissions. A rule with other conditions does not count."""
    return [
        rule
        for rule in kernel.rules
        if (rule.filter, rule.action) == (EXIT, ALWAYS)
        and rule.path
        and not rule.narrow
        and any(_covers(rule, place, name) for name in place.names)
    ]


def is_covered(rules: Iterable[Rule]) -> bool:
    """Return whether rules together record writing and changes of attributes."""
    return {"w", "a"} <= {letter for rule in rules for letter in rule.permissions}


def _covers(rule: Rule, place: WatchedPath, name: str) -> bool:
    watched = rule.path.rstrip("/")
    if name == watched:
        return rule.folder or not place.kind.folder
    return rule.folder and name.startswith(f"{watched}/")


def list_suppressed(kernel: Kernel, places: Iterable[WatchedPath]) -> dict[str, bool]:
    """Return what keeps records from being made in spite of rules that watch: message -> whether all records of a place are missing.

    Of rules of filter exit, the first that matches decides.
    """
    found: dict[str, bool] = {}
    first = [
        (place, min((kernel.rules.index(rule) for rule in list_covering(kernel, place)), default=len(kernel.rules))) for place in places
    ]
    for number, rule in enumerate(kernel.rules):
        texts: dict[str, bool] = {}
        if rule.filter == TASK and rule.action == NEVER:
            texts["a rule of filter task keeps new processes from being audited (-a never,task)"] = not rule.narrow
        elif rule.filter == EXCLUDE and not (rule.types and set(rule.types).isdisjoint(_RECORDS)):
            names = ", ".join(_RECORDS[kind] for kind in rule.types if kind in _RECORDS) or "any type"
            texts[f"a rule of filter exclude drops records of {names}"] = not rule.narrow
        elif rule.filter == EXIT and rule.action == NEVER:
            texts = _describe_never(rule, [place for place, index in first if number < index])
        found |= {text: found.get(text, False) or is_all for text, is_all in texts.items()}
    return found


def _describe_never(rule: Rule, places: Iterable[WatchedPath]) -> dict[str, bool]:
    found = {}
    for place in places:
        if not rule.path:
            found["a rule keeps some system calls from being audited (-a never,exit)"] = not rule.narrow
        elif any(_covers(rule, place, name) for name in place.names):
            found[f"a rule keeps changes of {place.path} from being audited (-a never,exit about {rule.path})"] = not rule.narrow
        elif place.kind.folder and rule.path.startswith(f"{place.real}/"):
            found[f"a rule keeps changes of {rule.path}, below {place.path}, from being audited (-a never,exit)"] = False
    return found


def format_rules(paths: Iterable[str]) -> str:
    """Return the rules as `auditctl -l` shows them."""
    return "".join(f"-w {path} -p wa -k {KEY}\n" for path in paths)


def render_rules(places: Iterable[WatchedPath]) -> str:
    """Return the file of rules for the next boot; empty without rules."""
    lines = format_rules(place.real for place in places)
    return f"{_HEAD}{_IGNORE}{lines}" if lines else ""


def render_folders(places: Iterable[WatchedPath]) -> str:
    """Return the file of tmpfiles.d(5) that creates watched folders below /run before the rules are loaded; empty without one."""
    lines = "".join(f"d {place.real} 0711 root root -\n" for place in places if place.name == _RUN and place.real.startswith("/run/"))
    return f"{_HEAD.partition('.')[0]}. A rule about a folder includes all below it only if the folder exists.\n{lines}" if lines else ""


def parse_rules(text: str | None) -> set[str]:
    """Return the paths that Bulkhead's file of rules has."""
    return {match[1] for line in (text or "").splitlines() if (match := _LINE.fullmatch(line.strip()))}


def list_unmanaged(text: str | None) -> list[str]:
    """Return the lines of Bulkhead's file of rules that Bulkhead does not write."""
    lines = [line.strip() for line in (text or "").splitlines()]
    return [line for line in lines if line and line not in (_HEAD.strip(), *_IGNORE.splitlines()) and not _LINE.fullmatch(line)]


def list_finding_controls(name: str) -> list[str]:
    """Return the controls of a finding of this layer. name: without the layer's name, such as `dockerd`."""
    return [KINDS[name].control] if name in KINDS else []
