# SPDX-License-Identifier: GPL-3.0-or-later
"""The seccomp filter of a container without options on an arm64 host: for calls of arm64, and for those of 32-bit ARM."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import AARCH64, AUDIT_ARCH, load_table
from testinfra.host import Host

# Prints the newest filter of process PID (man 2 ptrace: PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_SECCOMP_GET_FILTER).
READ_FILTER = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 3 + [ctypes.c_void_p]
assert libc.ptrace(0x4206, PID, 0, None) == 0 and libc.ptrace(0x4207, PID, 0, None) == 0
os.waitpid(PID, 0x40000000)
length = libc.ptrace(0x420C, PID, 0, None)
filter = ctypes.create_string_buffer(8 * length)
assert libc.ptrace(0x420C, PID, 0, filter) == length
print(filter.raw.hex())
"""
EXIT_CODE = 42
KILLED_BY_SECCOMP = 128 + 31  # SIGSYS
PROGRAM = "/root/exit32"


@pytest.fixture(scope="module")
def program(host: Host, pid: int) -> bpf.Program:
    return bpf.decode_program(bytes.fromhex(host.check_output(f"python3 -c '{READ_FILTER.replace('PID', str(pid))}'")))


def build_exit_program() -> bytes:
    """Return a static program of 32-bit ARM that makes one call, exit(42). ELF header, program header, three instructions (man 5 elf)."""
    code = struct.pack("<3I", 0xE3A00000 | EXIT_CODE, 0xE3A07001, 0xEF000000)  # mov r0, #42; mov r7, #1; svc 0
    base, start = 0x20000, 52 + 32
    identity = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)
    header = identity + struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, base + start, 52, 0, 0x5000000, 52, 32, 1, 40, 0, 0)
    size = start + len(code)
    return header + struct.pack("<8I", 1, 0, base, base, size, size, 5, 0x1000) + code


@pytest.fixture(scope="module")
def exit_program(host: Host) -> Iterator[str]:
    """Install the 32-bit program on the host. Skip if the host's kernel does not run it."""
    text = base64.b64encode(build_exit_program()).decode()
    host.check_output(f"echo {text} | base64 -d > {PROGRAM} && chmod 755 {PROGRAM}")
    try:
        if host.run(PROGRAM).rc != EXIT_CODE:
            pytest.skip("the kernel does not run 32-bit ARM programs")
        yield PROGRAM
    finally:
        host.run(f"rm -f {PROGRAM}")


def test_the_filter_agrees_with_the_profile(host: Host, program: bpf.Program) -> None:
    profile = json.loads(host.file(json.loads(host.file("/etc/docker/daemon.json").content_string)["seccomp-profile"]).content_string)
    plain = [rule for rule in profile["syscalls"] if not rule.get("args") and not rule.get("includes") and not rule.get("excludes")]
    allowed = {name for rule in plain if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    conditional = {name for rule in profile["syscalls"] if rule not in plain for name in rule["names"]}
    answers = {name: bpf.is_allowing(bpf.run_program(program, number, AUDIT_ARCH[AARCH64])) for name, number in load_table(AARCH64).items()}
    assert {name for name in answers if answers[name]} - conditional == (allowed & set(answers)) - conditional
    assert len(allowed & set(answers)) > 200
    assert not any(answers[name] for name in ("mount", "keyctl", "bpf", "kexec_load", "io_uring_setup"))


def test_the_filter_allows_no_call_of_32_bit_arm(program: bpf.Program) -> None:
    assert not any(bpf.is_allowing(bpf.run_program(program, number, AUDIT_ARCH["arm"])) for number in range(1024))


@pytest.mark.parametrize(("options", "code"), [("--security-opt seccomp=unconfined", EXIT_CODE), ("", KILLED_BY_SECCOMP)])
@pytest.mark.usefixtures("plain")  # builds the image
def test_a_32_bit_program_ends_at_its_first_call(host: Host, exit_program: str, options: str, code: int) -> None:
    done = host.run(f"docker run --rm --network none --volume {exit_program}:{exit_program}:ro {options} testimage {exit_program}")
    assert done.rc == code, done.stderr
