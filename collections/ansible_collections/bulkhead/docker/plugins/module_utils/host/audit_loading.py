# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the kernel audit rules and takes them back, one by one, and writes the files that load them at boot.

`augenrules --load` would delete the rules that others loaded since boot. A rule of Bulkhead is known by its key and its form.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from . import state
from .audit_rules import FOLDERS, RULES, read_kernel
from .files import fsync_folder, write_atomically
from .root import Host

KEY = "bulkhead-docker"
_ADD, _DELETE, _LIST = 1011, 1012, 1013  # linux/audit.h: AUDIT_ADD_RULE, AUDIT_DEL_RULE, AUDIT_LIST_RULES
_WATCH, _PERM, _DIR, _FILTERKEY = 105, 106, 107, 210
_EXIT, _ALWAYS, _WRITE_AND_ATTRIBUTES = 4, 2, 2 | 8
EQUAL = 0x40000000  # AUDIT_EQUAL
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
# struct audit_rule_data: flags, action, field_count, mask[64], fields[64], values[64], fieldflags[64], buflen
LAYOUT = struct.Struct("=3I64I64I64I64II")

Watch = tuple[str, bool]  # a path, and whether all below it


@dataclass
class AuditLoading:
    """What is done: the texts of files by path (empty: removed), and rules. failed: rule -> why the kernel does not take it."""

    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    added: list[Watch] = field(default_factory=list)
    removed: list[Watch] = field(default_factory=list)
    failed: dict[Watch, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.before != self.after or bool(self.added or self.removed)


def apply_rules(host: Host, rules: Iterable[Watch], texts: tuple[str, str], load: bool, check: bool) -> AuditLoading:
    """Make these the only rules of Bulkhead. texts: of RULES and FOLDERS. load: change the kernel. check: change nothing.

    Raises BlockingIOError, OSError.
    """
    if check:
        return _apply(host, list(rules), texts, load, check)
    with state.lock_host(host):
        return _apply(host, list(rules), texts, load, check)


def _apply(host: Host, rules: list[Watch], texts: tuple[str, str], load: bool, check: bool) -> AuditLoading:
    loading = AuditLoading(after=dict(zip((RULES, FOLDERS), texts, strict=True)))
    loading.before = {path: host.read(path) or "" for path in loading.after}
    present = list_managed(read_kernel()) if load else []
    more = [rule for rule in rules if rule not in dict(present)] if load else []
    less = [(rule, data) for rule, data in present if rule not in rules]
    if not check:
        for path, text in loading.after.items():
            _write(host, path, text, loading.before[path])
    for rule in more:
        if check or _send(loading, _ADD, rule, build_rule(*rule)):
            loading.added.append(rule)
    for rule, data in less:
        if check or _send(loading, _DELETE, rule, data):
            loading.removed.append(rule)
    return loading


def _write(host: Host, path: str, text: str, before: str) -> None:
    place = host.path(path)
    if text and text != before:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, text, 0o640 if path == RULES else 0o644)
    elif not text and os.path.lexists(place):
        place.unlink()
        fsync_folder(place.parent)


def build_rule(path: str, folder: bool) -> bytes:
    """Return a struct audit_rule_data as `auditctl -w PATH -p wa -k KEY` sends it: for every system call."""
    name, key = os.fsencode(path), KEY.encode()
    fields = ((_DIR if folder else _WATCH, len(name)), (_PERM, _WRITE_AND_ATTRIBUTES), (_FILTERKEY, len(key)))
    rest = [0] * (64 - len(fields))
    numbers = [*(kind for kind, _value in fields), *rest, *(value for _kind, value in fields), *rest, *[EQUAL] * len(fields), *rest]
    return LAYOUT.pack(_EXIT, _ALWAYS, len(fields), *[0xFFFFFFFF] * 64, *numbers, len(name) + len(key)) + name + key


def list_managed(answers: bytes) -> list[tuple[Watch, bytes]]:
    """Return the rules of Bulkhead among the kernel's answers, each with its data."""
    return [(rule, data) for data in _split_rules(answers) if (rule := parse_managed(data))]


def _split_rules(answers: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(answers):
        length, kind = HEADER.unpack_from(answers, at)[:2]
        data = answers[at + HEADER.size : at + length]
        if kind == 2:  # NLMSG_ERROR
            number = -struct.unpack_from("=i", data)[0]
            raise OSError(number, os.strerror(number))
        if kind == _LIST:
            yield data
        at += length + 3 & ~3


def parse_managed(data: bytes) -> Watch | None:
    """Return what a rule of Bulkhead watches; None for a rule of another form or with another key."""
    numbers = LAYOUT.unpack_from(data)
    fields, texts, at = numbers[67:70], {}, LAYOUT.size
    for kind, value in zip(fields, numbers[131:134], strict=True):
        if kind in (_WATCH, _DIR, _FILTERKEY):
            texts[kind] = os.fsdecode(data[at : at + value])
            at += value
    folder = _DIR in texts
    rule = texts.get(_DIR if folder else _WATCH, ""), folder
    is_same = numbers[:3] == (_EXIT, _ALWAYS, 3) and texts.get(_FILTERKEY) == KEY and rule[0] and _PERM in fields
    permissions = dict(zip(fields, numbers[131:134], strict=True)).get(_PERM)
    return rule if is_same and permissions == _WRITE_AND_ATTRIBUTES and set(numbers[3:66]) == {0xFFFFFFFF} else None


def _send(loading: AuditLoading, kind: int, rule: Watch, data: bytes) -> bool:
    """Send a rule and return whether the kernel takes it; otherwise note why."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 9) as link:  # NETLINK_AUDIT
        link.settimeout(30)  # a rule about a folder takes longer the more mounts are below it
        link.send(HEADER.pack(HEADER.size + len(data), kind, 5, 1, 0) + data)  # NLM_F_REQUEST | NLM_F_ACK
        answer = link.recv(1 << 16)
    number = -struct.unpack_from("=i", answer, HEADER.size)[0]
    if number and not (kind == _ADD and number == 17):  # EEXIST
        loading.failed[rule] = os.strerror(number)
    return not number
