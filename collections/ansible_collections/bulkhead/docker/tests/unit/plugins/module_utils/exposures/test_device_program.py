# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import ctypes
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures import device_rules
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.device_program import (
    NotEvaluatedError,
    evaluate_policy,
    explain_policy,
    run_program,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.device_rules import DeviceRules, decode_rules, encode_rules
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import bpf

from ...builders import write_files
from .device_programs import ALLOW_ALL, DEFAULT, assemble, build_crun, build_runc, build_systemd

RULES = (*DEFAULT, ("b", 8, -1, "r"), ("c", 189, 5, "rw"), ("c", 240, 300000, "rwm"))
LIST = "\n".join(f"{kind} {'*' if major < 0 else major}:{'*' if minor < 0 else minor} {access}" for kind, major, minor, access in RULES)


def allows(rules: DeviceRules, kind: str, major: int, minor: int, access: str) -> bool | None:
    """Return what the rules allow once the control node has them."""
    rules = decode_rules(json.loads(json.dumps(encode_rules(rules))))
    return None if rules.error or rules.policy is None else evaluate_policy(rules.policy, kind, major, minor, access)


POLICIES = {
    "runc": (build_runc(RULES),),
    "crun": (build_crun(RULES),),
    "systemd": (build_systemd(RULES),),
    "list": LIST,
    "two": (build_runc(RULES), ALLOW_ALL),
}
CASES = [
    ("c", 1, 3, "rw", True),
    ("c", 1, 1, "r", False),
    ("c", 1, 1, "m", True),
    ("b", 8, 0, "r", True),
    ("b", 8, 17, "r", True),
    ("b", 8, 0, "w", False),
    ("b", 8, 0, "rw", False),
    ("c", 8, 0, "r", False),
    ("b", 253, 0, "m", True),
    ("c", 136, 77, "rwm", True),
    ("c", 189, 5, "rw", True),
    ("c", 189, 5, "rwm", False),
    ("c", 189, 6, "r", False),
    ("c", 240, 300000, "w", True),
]


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize(("kind", "major", "minor", "access", "allowed"), CASES)
def test_policies_of_runtimes(policy: device_rules.Policy, kind: str, major: int, minor: int, access: str, allowed: bool) -> None:
    assert allows(DeviceRules("x", policy), kind, major, minor, access) is allowed


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ((), True),
        ((ALLOW_ALL,), True),
        ("a *:* rwm", True),
        ("", False),
        ((build_runc(()),), False),
        ((ALLOW_ALL, build_systemd(())), False),
        ((build_runc((("b", 8, 0, "rwm"),), allow=False),), False),
        ((build_runc((("b", 9, 0, "rwm"),), allow=False),), True),
    ],
)
def test_policies_for_a_disk(policy: device_rules.Policy, allowed: bool) -> None:
    assert allows(DeviceRules("x", policy), "b", 8, 0, "rw") is allowed


def test_error_is_no_answer() -> None:
    assert allows(DeviceRules("x", (ALLOW_ALL,), "error"), "b", 8, 0, "r") is None
    assert allows(DeviceRules("x"), "b", 8, 0, "r") is None


CONTEXT = struct.pack("<3I", 2 << 16 | 2, 1, 3)
EXIT = assemble(0x95)
SET = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K


@pytest.mark.parametrize(
    ("program", "result"),
    [
        (assemble(SET, value=7) + assemble(0x07, value=-3), 4),  # add
        (assemble(SET, value=7) + assemble(0x17, value=3), 4),  # sub
        (assemble(SET, value=4) + assemble(0x47, value=3), 7),  # or
        (assemble(SET, value=7) + assemble(0xA7, value=2), 5),  # xor
        (assemble(SET, value=-8) + assemble(0xC7, value=1), (1 << 64) - 4),  # arithmetic shift
        (assemble(SET, value=-8) + assemble(0xC4, value=1), (1 << 32) - 4),  # the same of 32 bits
        (assemble(SET, value=-8) + assemble(0x74, value=1), 0x7FFFFFFC),  # right shift of 32 bits
        (assemble(SET, value=1) + assemble(0x67, value=33), 1 << 33),  # left shift
        (assemble(SET, value=1) + assemble(0x64, value=33), 2),  # the same of 32 bits: by 33 modulo 32
        (assemble(SET, value=-1), (1 << 64) - 1),
        (assemble(0xB4, value=-1), (1 << 32) - 1),
        (assemble(0x18, 0, value=5) + assemble(0, value=1), 1 << 32 | 5),
        (assemble(0x69, 0, 1, 2), 2),  # the upper half of access_type
        (assemble(0x71, 0, 1, 8), 3),
        (assemble(0xBF, 6, 1) + assemble(0x61, 0, 6, 4), 1),  # a copy of the pointer
        (assemble(SET, 11, value=9) + assemble(0xA7, 11, value=8) + assemble(0xBF, 0, 11), 1),  # a blinded constant
    ],
)
def test_instructions(program: bytes, result: int) -> None:
    assert run_program(program + EXIT, CONTEXT) == result


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(
    ("opcode", "left", "right", "taken"),
    [
        (0x10, 3, 3, True),
        (0x10, 3, 4, False),
        (0x20, -1, 1, True),
        (0x20, 1, 1, False),
        (0x30, 1, 1, True),
        (0x40, 6, 2, True),
        (0x40, 6, 1, False),
        (0x50, 6, 1, True),
        (0x60, -1, 1, False),
        (0x60, 1, -1, True),
        (0x70, -1, -1, True),
        (0xA0, 1, 2, True),
        (0xA0, -1, 2, False),
        (0xB0, 2, 2, True),
        (0xC0, -1, 0, True),
        (0xD0, 0, -1, False),
    ],
)
def test_jumps(wide: bool, opcode: int, left: int, right: int, taken: bool) -> None:
    operation = opcode | (5 if wide else 6)
    setup = assemble(SET, 2, value=left) + assemble(SET, 3, value=right) + assemble(SET, value=1)
    for jump in (assemble(operation, 2, offset=1, value=right), assemble(operation | 8, 2, 3, 1)):
        assert run_program(setup + jump + assemble(SET, value=0) + EXIT, CONTEXT) == taken


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (assemble(0x85, value=1) + EXIT, "opcode 0x85"),  # a call
        (assemble(0x18, 1, 1) + assemble(0) + EXIT, "opcode 0x18"),  # a map
        (assemble(0x63, 10, 1) + EXIT, "opcode 0x63"),  # the stack
        (assemble(0xBF, 0, 1, 8) + EXIT, "opcode 0xbf"),  # a move with sign extension
        (assemble(0x79, 0, 1) + EXIT, "opcode 0x79"),
        (assemble(0x61, 0, 1, 12) + EXIT, "other memory"),
        (assemble(0x61, 0, 10, -4) + EXIT, "other memory"),
        (assemble(0x05, offset=-1), "no end"),
    ],
)
def test_other_programs_are_not_evaluated(program: bytes, message: str) -> None:
    with pytest.raises(NotEvaluatedError, match=message):
        run_program(program, CONTEXT)
    assert allows(DeviceRules("x", (program,)), "c", 1, 3, "r") is None


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("0::/system.slice/docker-1.scope\n", "/sys/fs/cgroup/system.slice/docker-1.scope"),
        ("7:devices:/docker/1\n8:pids:/docker/2\n0::/\n", "/sys/fs/cgroup/devices/docker/1"),
        ("3:pids:/x\n", None),
    ],
)
def test_folder_of_a_process(text: str, folder: str | None) -> None:
    assert device_rules.find_devices_folder(text) == folder


def test_list_of_version_1(tmp_path: Path) -> None:
    rules = device_rules.read_device_rules(write_files(tmp_path, {"c/devices.list": "c 1:3 rwm\n"}), "/c")
    assert (rules.source, rules.error, allows(rules, "c", 1, 3, "r"), allows(rules, "c", 1, 5, "r")) == ("/c/devices.list", "", True, False)


def test_errors_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path)
    assert "No such file" in device_rules.read_device_rules(host, "/none").error
    (tmp_path / "c").mkdir()
    rules = device_rules.read_device_rules(host, "/c")  # no cgroup file system
    assert rules.error and rules.policy is None and rules.source == "bpftool cgroup show /c effective"
    monkeypatch.setattr(bpf, "CALL_NUMBERS", {})
    assert "no known number" in device_rules.read_device_rules(host, "/c").error
    monkeypatch.setattr(device_rules, "_read_programs", lambda *unused: (assemble(0x85) + EXIT,))
    assert "opcode 0x85" in explain_policy(device_rules.read_device_rules(host, "/c").policy)


def test_program_that_is_replaced_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reads: list[int] = []

    def read(identifier: int) -> bytes:
        reads.append(identifier)
        if len(reads) == 1:
            raise FileNotFoundError
        return ALLOW_ALL

    def answer(_command: int, _layout: str, *values: int) -> tuple[int, bytes]:
        ctypes.c_uint32.from_address(values[4]).value = 9
        return 0, struct.pack("IIIIQI", *values[:5], 1)

    monkeypatch.setattr(device_rules, "_read_program", read)
    monkeypatch.setattr(device_rules, "call_bpf", answer)
    assert device_rules.read_device_rules(Host(tmp_path), "/").policy == (ALLOW_ALL,)
    assert reads == [9, 9]


@pytest.fixture
def attach() -> Iterator[Callable[[bytes], str]]:
    """Attach a program to a new control group; skips where that is not permitted."""
    roots = [path for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if os.path.exists(f"{path}/cgroup.controllers")]
    if os.geteuid() or not roots:
        pytest.skip("needs root and cgroup v2")
    folder = f"{roots[0]}/bulkhead-unit-{os.getpid()}"
    with contextlib.ExitStack() as stack:

        def load(program: bytes) -> str:
            code, licence = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"GPL")
            try:
                os.mkdir(folder)
                stack.callback(os.rmdir, folder)
                values = (15, len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence))
                loaded = device_rules.call_bpf(5, "IIQQ", *values)[0]  # BPF_PROG_LOAD of BPF_PROG_TYPE_CGROUP_DEVICE
                stack.callback(os.close, loaded)
                group = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, group)
                device_rules.call_bpf(8, "IIII", group, loaded, 6, 2)  # BPF_PROG_ATTACH with BPF_F_ALLOW_MULTI
            except OSError as error:
                pytest.skip(f"not permitted: {error}")
            return folder

        yield load


@pytest.mark.parametrize("policy", ["runc", "crun", "systemd"])
def test_programs_that_the_kernel_returns(attach: Callable[[bytes], str], policy: str) -> None:
    folder = attach(POLICIES[policy][0])  # type: ignore[arg-type]
    rules = device_rules.read_device_rules(Host(), folder)
    assert rules.error == "" and rules.source == f"bpftool cgroup show {folder} effective"
    assert [allows(rules, *case[:4]) for case in CASES] == [case[4] for case in CASES]
