# SPDX-License-Identifier: GPL-3.0-or-later
"""A seccomp profile as Docker reads it: parsed strictly, every fault told in a sentence.

The engine is not strict: it takes `{}` for "no seccomp", ignores a key that it does not know and a system call that its libseccomp does
not know, and spells keys without regard to case (Go's encoding/json). So a typing error opens a container. Here it is an error.
Format: moby/profiles seccomp/seccomp.go, opencontainers/runtime-spec config-linux.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import bpf

EPERM, ENOSYS = 1, 38
MAX_ERRNO = 4095  # what the kernel caps a filter's errno at (kernel/seccomp.c)

ACTIONS = {
    "SCMP_ACT_KILL_PROCESS": bpf.KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": bpf.KILL_THREAD,
    "SCMP_ACT_KILL": bpf.KILL_THREAD,
    "SCMP_ACT_TRAP": bpf.TRAP,
    "SCMP_ACT_ERRNO": bpf.ERRNO,
    "SCMP_ACT_NOTIFY": bpf.USER_NOTIF,
    "SCMP_ACT_TRACE": bpf.TRACE,
    "SCMP_ACT_LOG": bpf.LOG,
    "SCMP_ACT_ALLOW": bpf.ALLOW,
}
# Name in a profile → name in `includes` and `excludes` (libseccomp's; moby seccomp_linux.go nativeToSeccomp).
ARCHITECTURES = {
    "SCMP_ARCH_X86": "x86",
    "SCMP_ARCH_X86_64": "amd64",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_ARM": "arm",
    "SCMP_ARCH_AARCH64": "arm64",
    "SCMP_ARCH_LOONGARCH64": "loongarch64",
    "SCMP_ARCH_MIPS": "mips",
    "SCMP_ARCH_MIPS64": "mips64",
    "SCMP_ARCH_MIPS64N32": "mips64n32",
    "SCMP_ARCH_MIPSEL": "mipsel",
    "SCMP_ARCH_MIPSEL64": "mipsel64",
    "SCMP_ARCH_MIPSEL64N32": "mips3l64n32",
    "SCMP_ARCH_PPC": "ppc",
    "SCMP_ARCH_PPC64": "ppc64",
    "SCMP_ARCH_PPC64LE": "ppc64le",
    "SCMP_ARCH_RISCV64": "riscv64",
    "SCMP_ARCH_S390": "s390",
    "SCMP_ARCH_S390X": "s390x",
}
OPERATORS = (
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
)  # fmt: skip
FLAGS = (
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
)
# In the order of their bits (linux/capability.h).
CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ]
)
# What the engine gives a container that asks for nothing (moby oci/caps/defaults.go).
DEFAULT_CAPABILITIES = frozenset(
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
)

_TOP = {
    "defaultAction", "defaultErrnoRet", "architectures", "archMap", "syscalls", "flags", "listenerPath", "listenerMetadata",
}  # fmt: skip
_SYSCALL = {"names", "name", "action", "errnoRet", "args", "comment", "includes", "excludes"}
_ARG = {"index", "value", "valueTwo", "op"}
_FILTER = {"caps", "arches", "minKernel"}
_MAP = {"architecture", "subArchitectures"}


class ProfileError(ValueError):
    """A profile that cannot be used; `problems` holds one sentence for each fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Condition:
    """One comparison of an argument; with SCMP_CMP_MASKED_EQ, `value` is the mask and `value_two` what remains behind it."""

    index: int
    op: str
    value: int
    value_two: int = 0


@dataclass(frozen=True)
class RuleFilter:
    """For which containers and hosts a rule counts."""

    caps: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    min_kernel: tuple[int, int] | None = None


@dataclass(frozen=True)
class SyscallRule:
    """One entry of `syscalls`; `answer` is the filter's return value."""

    names: tuple[str, ...]
    answer: int
    conditions: tuple[Condition, ...] = ()
    includes: RuleFilter = RuleFilter()
    excludes: RuleFilter = RuleFilter()


@dataclass(frozen=True)
class ParsedProfile:
    """A whole profile; `arch_map` pairs an architecture with those that come with it."""

    default: int
    architectures: tuple[str, ...] = ()
    arch_map: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rules: tuple[SyscallRule, ...] = ()
    errno: int | None = None


def parse_profile(text: str, where: str) -> ParsedProfile:
    """The profile in a JSON text. Raises ProfileError; its sentences begin with `where` (a file or a variable) and the JSON path."""
    reader = _Reader(where)
    profile = reader.profile(_json(text, where))
    if reader.problems:
        raise ProfileError(reader.problems)
    return profile


def _json(text: str, where: str) -> Any:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        for key, unused in pairs:
            if sum(key == other for other, unused in pairs) > 1:
                raise ProfileError(
                    [f'{where}: the key "{key}" stands twice in one object; the engine takes the last one, so keep that one alone.']
                )
        return found

    if text.startswith("\ufeff"):
        raise ProfileError([f"{where}: begins with a byte order mark, which the engine does not read; save it as UTF-8 without BOM."])
    try:
        return json.loads(text, object_pairs_hook=no_duplicates)
    except ProfileError:
        raise
    except RecursionError as error:
        raise ProfileError([f"{where}: is nested too deeply to be a seccomp profile."]) from error
    except ValueError as error:
        raise ProfileError([f"{where}: is not valid JSON: {error}."]) from error


@dataclass
class _Reader:
    """Reads a profile from parsed JSON and collects what is wrong with it."""

    where: str
    problems: list[str] = field(default_factory=list)

    def fault(self, path: str, text: str) -> None:
        self.problems.append(f"{self.where}: {path}: {text}." if path else f"{self.where}: {text}.")

    def profile(self, data: Any) -> ParsedProfile:
        if not isinstance(data, dict):
            self.fault("", f"a seccomp profile is a JSON object, this is {_kind(data)}")
            return ParsedProfile(bpf.ERRNO)
        self.keys(data, _TOP, "")
        if "defaultAction" not in data:
            self.fault(
                "defaultAction", 'is missing, and without it the engine may start containers with no filter at all; write "SCMP_ACT_ERRNO"'
            )
        action, errno = self.action(data, "defaultAction", "defaultErrnoRet", "")
        if action == bpf.USER_NOTIF:
            self.fault("defaultAction", "runc refuses SCMP_ACT_NOTIFY as default; write SCMP_ACT_ERRNO")
        if data.get("architectures") and data.get("archMap"):
            self.fault("archMap", 'stands beside "architectures", and the engine refuses both together; keep one')
        for at, flag in enumerate(self.entries(data, "flags", "")):
            self.choice(flag, FLAGS, f"flags[{at}]", "filter flag")
        rules = tuple(self.rule(entry, f"syscalls[{at}]") for at, entry in enumerate(self.entries(data, "syscalls", "")))
        if any(bpf.extract_action(rule.answer) == bpf.USER_NOTIF for rule in rules) and not data.get("listenerPath"):
            self.fault(
                "listenerPath", "is missing, and SCMP_ACT_NOTIFY needs a supervisor that listens there; write its path or another action"
            )
        return ParsedProfile(
            default=_answer(action, errno),
            architectures=self.architectures(data, "architectures", ""),
            arch_map=tuple(self.arch_map(entry, f"archMap[{at}]") for at, entry in enumerate(self.entries(data, "archMap", ""))),
            rules=rules,
            errno=errno,
        )

    def rule(self, data: Any, path: str) -> SyscallRule:
        if not isinstance(data, dict):
            self.fault(path, f"an object with names and action belongs here, not {_kind(data)}")
            return SyscallRule((), bpf.ERRNO)
        self.keys(data, _SYSCALL, path)
        if "name" in data and data.get("names"):
            self.fault(f"{path}.name", 'stands beside "names", and the engine refuses both together; keep "names"')
        names = [data["name"]] if data.get("name") else self.entries(data, "names", path)
        if not names:
            self.fault(f"{path}.names", "is empty or missing; write the system calls that this rule is about")
        for at, name in enumerate(names):
            if not isinstance(name, str) or not name:
                self.fault(f"{path}.names[{at}]", f"a system call's name belongs here, not {_kind(name)}")
        if "action" not in data:
            self.fault(f"{path}.action", 'is missing; write for example "SCMP_ACT_ALLOW"')
        action, errno = self.action(data, "action", "errnoRet", path)
        if action == bpf.USER_NOTIF and "write" in names:
            self.fault(f"{path}.names", "runc refuses SCMP_ACT_NOTIFY for write; take it out of this rule")
        return SyscallRule(
            names=tuple(name for name in names if isinstance(name, str)),
            answer=_answer(action, errno),
            conditions=tuple(self.condition(arg, f"{path}.args[{at}]") for at, arg in enumerate(self.entries(data, "args", path))),
            includes=self.filter(data, "includes", path),
            excludes=self.filter(data, "excludes", path),
        )

    def condition(self, data: Any, path: str) -> Condition:
        if not isinstance(data, dict):
            self.fault(path, f"an object with index, value and op belongs here, not {_kind(data)}")
            return Condition(0, "SCMP_CMP_EQ", 0)
        self.keys(data, _ARG, path)
        for key in ("index", "value", "op"):
            if key not in data:
                self.fault(f"{path}.{key}", "is missing, and the engine would take 0 or nothing for it; write it")
        op = self.choice(data.get("op", "SCMP_CMP_EQ"), OPERATORS, f"{path}.op", "comparison")
        if data.get("valueTwo") and op != "SCMP_CMP_MASKED_EQ":
            self.fault(f"{path}.valueTwo", f"has no meaning with {op}; it belongs to SCMP_CMP_MASKED_EQ, where value is the mask")
        return Condition(
            self.number(data, "index", path, 5),
            op,
            self.number(data, "value", path, 2**64 - 1),
            self.number(data, "valueTwo", path, 2**64 - 1),
        )

    def filter(self, data: Mapping[str, Any], key: str, path: str) -> RuleFilter:
        path = f"{path}.{key}"
        value = data.get(key)
        if value is None:
            return RuleFilter()
        if not isinstance(value, dict):
            self.fault(path, f"an object with caps, arches or minKernel belongs here, not {_kind(value)}")
            return RuleFilter()
        self.keys(value, _FILTER, path)
        caps = [
            self.choice(cap, CAPABILITIES, f"{path}.caps[{at}]", "capability") for at, cap in enumerate(self.entries(value, "caps", path))
        ]
        arches = [
            self.choice(arch, tuple(ARCHITECTURES.values()), f"{path}.arches[{at}]", "architecture, as Docker calls it here")
            for at, arch in enumerate(self.entries(value, "arches", path))
        ]
        kernel = value.get("minKernel") or None
        match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", kernel) if isinstance(kernel, str) else None
        if kernel is not None and not match:
            self.fault(f"{path}.minKernel", f'{json.dumps(kernel)} is no kernel version; write it like "5.10"')
        return RuleFilter(tuple(caps), tuple(arches), (int(match[1]), int(match[2])) if match else None)

    def arch_map(self, data: Any, path: str) -> tuple[str, tuple[str, ...]]:
        if not isinstance(data, dict):
            self.fault(path, f"an object with architecture and subArchitectures belongs here, not {_kind(data)}")
            return "", ()
        self.keys(data, _MAP, path)
        name = self.choice(data.get("architecture"), tuple(ARCHITECTURES), f"{path}.architecture", "architecture")
        return name, self.architectures(data, "subArchitectures", path)

    def architectures(self, data: Mapping[str, Any], key: str, path: str) -> tuple[str, ...]:
        prefix = f"{path}.{key}" if path else key
        return tuple(
            self.choice(name, tuple(ARCHITECTURES), f"{prefix}[{at}]", "architecture")
            for at, name in enumerate(self.entries(data, key, path))
        )

    def action(self, data: Mapping[str, Any], key: str, errno_key: str, path: str) -> tuple[int, int | None]:
        name = self.choice(data.get(key, "SCMP_ACT_ERRNO"), tuple(ACTIONS), f"{path}.{key}" if path else key, "action")
        errno = None if data.get(errno_key) is None else self.number(data, errno_key, path, MAX_ERRNO)
        if errno is not None and name not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
            self.fault(f"{path}.{errno_key}" if path else errno_key, f"has no meaning with {name}; leave it out or write SCMP_ACT_ERRNO")
        return ACTIONS.get(name, bpf.ERRNO), errno

    def keys(self, data: Mapping[str, Any], known: Iterable[str], path: str) -> None:
        for key in data:
            if key not in known:
                near = next((k for k in known if k.lower() == key.lower()), None) or _nearest(key, known)
                hint = f'; write "{near}"' if near else f"; known are {', '.join(sorted(known))}"
                self.fault(f"{path}.{key}" if path else key, f"is no key of a seccomp profile, and the engine would ignore it{hint}")

    def entries(self, data: Mapping[str, Any], key: str, path: str) -> list[Any]:
        value = data.get(key)
        if value is None or isinstance(value, list):
            return value or []
        self.fault(f"{path}.{key}" if path else key, f"a list belongs here, not {_kind(value)}")
        return []

    def number(self, data: Mapping[str, Any], key: str, path: str, largest: int) -> int:
        value = data.get(key, 0)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
            return value
        self.fault(f"{path}.{key}" if path else key, f"{json.dumps(value)[:80]} is no whole number from 0 to {largest}")
        return 0

    def choice(self, value: Any, known: tuple[str, ...], path: str, what: str) -> str:
        if isinstance(value, str) and value in known:
            return value
        near = _nearest(value, known) if isinstance(value, str) else None
        self.fault(path, f"{json.dumps(value)[:80]} is no {what}; write {near or 'one of ' + ', '.join(known)}")
        return known[0]


def _answer(action: int, errno: int | None) -> int:
    """The filter's return value; runc answers EPERM where a profile names no number (runc libcontainer/seccomp/seccomp_linux.go)."""
    return action | (EPERM if errno is None else errno) if action in (bpf.ERRNO, bpf.TRACE) else action


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)


def _nearest(word: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # only where something is wrong

    return next(iter(get_close_matches(word, list(known), 1, 0.75)), None)
