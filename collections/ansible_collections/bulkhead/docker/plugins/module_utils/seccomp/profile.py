# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses a seccomp profile in Docker's format, strictly, with a message per fault.

The engine is not strict. It takes `{}` for "no seccomp", ignores unknown keys and system calls, and ignores the case of keys (Go's
encoding/json). So a typing error weakens a container. Here it is an error.
Format: moby/profiles seccomp/seccomp.go, opencontainers/runtime-spec config-linux.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..capabilities import CAPABILITIES
from . import bpf
from .errnos import ERRNOS
from .semantics import ACTIONS, EPERM, MAX_ERRNO, OPERATORS, Condition, ParsedProfile, ProfileError, RuleFilter, SyscallRule, build_answer

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
FLAGS = (
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
)
_CAPABILITIES = tuple(f"CAP_{name}" for name in CAPABILITIES)

_TOP = {
    "defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap", "syscalls", "flags", "listenerPath", "listenerMetadata",
}  # fmt: skip
_SYSCALL = {"names", "name", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes"}
_ARG = {"index", "value", "valueTwo", "op"}
_FILTER = {"caps", "arches", "minKernel"}
_MAP = {"architecture", "subArchitectures"}


def parse_profile(text: str, where: str) -> ParsedProfile:
    """Return the profile in a JSON text. Raises ProfileError; its messages begin with `where` (a file or a variable) and the JSON path."""
    reader = _Reader(where)
    profile = reader.read_profile(_parse_json(text, where))
    if reader.problems:
        raise ProfileError(reader.problems)
    return profile


def _parse_json(text: str, where: str) -> Any:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        for key, unused in pairs:
            if sum(key == other for other, unused in pairs) > 1:
                raise ProfileError(
                    [f'{where}: the key "{key}" is in one object twice, and the engine uses the last one; remove the others']
                )
        return found

    if text.startswith("\ufeff"):
        raise ProfileError([f"{where}: begins with a byte order mark, which the engine cannot read; save it as UTF-8 without BOM"])
    try:
        return json.loads(text, object_pairs_hook=no_duplicates)
    except ProfileError:
        raise
    except RecursionError as error:
        raise ProfileError([f"{where}: is nested too deeply for a seccomp profile"]) from error
    except ValueError as error:
        raise ProfileError([f"{where}: is not valid JSON: {error}"]) from error


@dataclass
class _Reader:
    """Reads a profile from parsed JSON and collects its faults."""

    where: str
    problems: list[str] = field(default_factory=list)

    def add_fault(self, path: str, text: str) -> None:
        self.problems.append(f"{self.where}: {path}: {text}" if path else f"{self.where}: {text}")

    def read_profile(self, data: Any) -> ParsedProfile:
        if not isinstance(data, dict):
            self.add_fault("", f"a seccomp profile is a JSON object, not {_name_kind(data)}")
            return ParsedProfile(bpf.ERRNO)
        self.check_keys(data, _TOP, "")
        if "defaultAction" not in data:
            self.add_fault(
                "defaultAction", 'is missing, and without it the engine may start containers without a filter; write "SCMP_ACT_ERRNO"'
            )
        action, errno = self.read_action(data, "defaultAction", "defaultErrnoRet", "")
        if action == bpf.USER_NOTIF:
            self.add_fault("defaultAction", "runc rejects SCMP_ACT_NOTIFY as default; write SCMP_ACT_ERRNO")
        if data.get("architectures") and data.get("archMap"):
            self.add_fault("archMap", 'cannot be combined with "architectures"; keep one of them')
        for at, flag in enumerate(self.read_list(data, "flags", "")):
            self.read_choice(flag, FLAGS, f"flags[{at}]", "a filter flag")
        rules = tuple(self.read_rule(entry, f"syscalls[{at}]") for at, entry in enumerate(self.read_list(data, "syscalls", "")))
        if any(bpf.extract_action(rule.answer) == bpf.USER_NOTIF for rule in rules) and not data.get("listenerPath"):
            self.add_fault(
                "listenerPath",
                "is missing, and SCMP_ACT_NOTIFY needs a supervisor that listens there; write its path or use another action",
            )
        return ParsedProfile(
            default=build_answer(action, errno),
            architectures=self.read_architectures(data, "architectures", ""),
            arch_map=tuple(self.read_arch_map(entry, f"archMap[{at}]") for at, entry in enumerate(self.read_list(data, "archMap", ""))),
            rules=rules,
            errno=errno,
        )

    def read_rule(self, data: Any, path: str) -> SyscallRule:
        if not isinstance(data, dict):
            self.add_fault(path, f"{_name_kind(data)} is not a rule; write an object with names and action")
            return SyscallRule((), bpf.ERRNO)
        self.check_keys(data, _SYSCALL, path)
        if "name" in data and data.get("names"):
            self.add_fault(f"{path}.name", 'cannot be combined with "names"; keep "names"')
        names = [data["name"]] if data.get("name") else self.read_list(data, "names", path)
        if not names:
            self.add_fault(f"{path}.names", "is empty or missing; write the system calls of this rule")
        for at, name in enumerate(names):
            if not isinstance(name, str) or not name:
                self.add_fault(f"{path}.names[{at}]", f"{_name_kind(name)} is not the name of a system call; write a string")
        if "action" not in data:
            self.add_fault(f"{path}.action", 'is missing; write for example "SCMP_ACT_ALLOW"')
        action, errno = self.read_action(data, "action", "errnoRet", path)
        if action == bpf.USER_NOTIF and "write" in names:
            self.add_fault(f"{path}.names", "runc rejects SCMP_ACT_NOTIFY for write; remove it from this rule")
        return SyscallRule(
            names=tuple(name for name in names if isinstance(name, str)),
            answer=build_answer(action, errno),
            conditions=tuple(self.read_condition(arg, f"{path}.args[{at}]") for at, arg in enumerate(self.read_list(data, "args", path))),
            includes=self.read_filter(data, "includes", path),
            excludes=self.read_filter(data, "excludes", path),
        )

    def read_condition(self, data: Any, path: str) -> Condition:
        if not isinstance(data, dict):
            self.add_fault(path, f"{_name_kind(data)} is not a condition; write an object with index, value and op")
            return Condition(0, "SCMP_CMP_EQ", 0)
        self.check_keys(data, _ARG, path)
        for key in ("index", "value", "op"):
            if key not in data:
                self.add_fault(f"{path}.{key}", "is missing, and the engine would use 0 or nothing; write it")
        op = self.read_choice(data.get("op", "SCMP_CMP_EQ"), OPERATORS, f"{path}.op", "a comparison")
        if data.get("valueTwo") and op != "SCMP_CMP_MASKED_EQ":
            self.add_fault(f"{path}.valueTwo", f"has no meaning with {op}; remove it, or write SCMP_CMP_MASKED_EQ with the mask in value")
        return Condition(
            self.read_number(data, "index", path, 5),
            op,
            self.read_number(data, "value", path, 2**64 - 1),
            self.read_number(data, "valueTwo", path, 2**64 - 1),
        )

    def read_filter(self, data: Mapping[str, Any], key: str, path: str) -> RuleFilter:
        path = f"{path}.{key}"
        value = data.get(key)
        if value is None:
            return RuleFilter()
        if not isinstance(value, dict):
            self.add_fault(path, f"{_name_kind(value)} is not a filter; write an object with caps, arches or minKernel")
            return RuleFilter()
        self.check_keys(value, _FILTER, path)
        caps = [
            self.read_choice(cap, _CAPABILITIES, f"{path}.caps[{at}]", "a capability")
            for at, cap in enumerate(self.read_list(value, "caps", path))
        ]
        arches = [
            self.read_choice(arch, tuple(ARCHITECTURES.values()), f"{path}.arches[{at}]", "an architecture name of Docker")
            for at, arch in enumerate(self.read_list(value, "arches", path))
        ]
        kernel = value.get("minKernel") or None
        match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", kernel) if isinstance(kernel, str) else None
        if kernel is not None and not match:
            self.add_fault(f"{path}.minKernel", f'{json.dumps(kernel)} is not a kernel version; write it like "5.10"')
        return RuleFilter(tuple(caps), tuple(arches), (int(match[1]), int(match[2])) if match else None)

    def read_arch_map(self, data: Any, path: str) -> tuple[str, tuple[str, ...]]:
        if not isinstance(data, dict):
            self.add_fault(path, f"{_name_kind(data)} is not an entry of archMap; write an object with architecture and subArchitectures")
            return "", ()
        self.check_keys(data, _MAP, path)
        name = self.read_choice(data.get("architecture"), tuple(ARCHITECTURES), f"{path}.architecture", "an architecture")
        return name, self.read_architectures(data, "subArchitectures", path)

    def read_architectures(self, data: Mapping[str, Any], key: str, path: str) -> tuple[str, ...]:
        prefix = f"{path}.{key}" if path else key
        return tuple(
            self.read_choice(name, tuple(ARCHITECTURES), f"{prefix}[{at}]", "an architecture")
            for at, name in enumerate(self.read_list(data, key, path))
        )

    def read_action(self, data: Mapping[str, Any], key: str, errno_key: str, path: str) -> tuple[int, int | None]:
        name = self.read_choice(data.get(key, "SCMP_ACT_ERRNO"), tuple(ACTIONS), f"{path}.{key}" if path else key, "an action")
        errno = None if data.get(errno_key) is None else self.read_number(data, errno_key, path, MAX_ERRNO)
        if name not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
            for each in (errno_key, errno_key.removesuffix("Ret")):
                if data.get(each) not in (None, ""):
                    self.add_fault(f"{path}.{each}" if path else each, f"has no meaning with {name}; remove it or write SCMP_ACT_ERRNO")
        else:
            self.check_error_name(data, errno_key, path, EPERM if errno is None else errno)
        return ACTIONS.get(name, bpf.ERRNO), errno

    def check_error_name(self, data: Mapping[str, Any], errno_key: str, path: str, errno: int) -> None:
        """Check that the key for other engines agrees with what Docker uses.

        Podman and CRI-O read `errno` and `defaultErrno`, a name or a number as text, before the keys with Ret (containers/common
        pkg/seccomp/seccomp_linux.go, getErrno). Docker ignores them.
        """
        key = errno_key.removesuffix("Ret")
        name, where = data.get(key), f"{path}.{key}" if path else key
        if name is None or name == "":
            return
        number = ERRNOS.get(name) or (int(name) if re.fullmatch(r"[0-9]{1,9}", name) else None) if isinstance(name, str) else None
        if number is None:
            near = _find_nearest(name, ERRNOS) if isinstance(name, str) else None
            self.add_fault(where, f"{json.dumps(name)} is not an error of Linux; write {json.dumps(near or 'EPERM')}")
        elif number != errno:
            used = f'"{errno_key}": {errno}' if errno_key in data else f"{errno}, because {errno_key} is missing"
            self.add_fault(
                where,
                f'"{name}" is error {number}, but Docker ignores this key and uses {used}; write "{errno_key}": {number}, or remove it',
            )

    def check_keys(self, data: Mapping[str, Any], known: Iterable[str], path: str) -> None:
        for key in data:
            if key not in known:
                near = next((k for k in known if k.lower() == key.lower()), None) or _find_nearest(key, known)
                hint = f'; write "{near}"' if near else f"; known are {', '.join(sorted(known))}"
                self.add_fault(f"{path}.{key}" if path else key, f"is not a key of a seccomp profile, and the engine would ignore it{hint}")

    def read_list(self, data: Mapping[str, Any], key: str, path: str) -> list[Any]:
        value = data.get(key)
        if value is None or isinstance(value, list):
            return value or []
        self.add_fault(f"{path}.{key}" if path else key, f"{_name_kind(value)} is not a list; write a list")
        return []

    def read_number(self, data: Mapping[str, Any], key: str, path: str, largest: int) -> int:
        value = data.get(key, 0)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
            return value
        self.add_fault(f"{path}.{key}" if path else key, f"{json.dumps(value)[:80]} is not an integer from 0 to {largest}; write one")
        return 0

    def read_choice(self, value: Any, known: tuple[str, ...], path: str, what: str) -> str:
        if isinstance(value, str) and value in known:
            return value
        near = _find_nearest(value, known) if isinstance(value, str) else None
        self.add_fault(path, f"{json.dumps(value)[:80]} is not {what}; write {near or 'one of ' + ', '.join(known)}")
        return known[0]


def _name_kind(value: Any) -> str:
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


def _find_nearest(word: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # only needed for messages

    return next(iter(get_close_matches(word, list(known), 1, 0.75)), None)
