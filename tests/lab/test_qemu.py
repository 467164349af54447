# SPDX-License-Identifier: GPL-3.0-or-later
"""Which accelerator, which port, which command line."""

from __future__ import annotations

import pytest

from lab import qemu
from lab.architecture import AMD64, ARM64, Architecture
from lab.errors import LabError

INTEL = "processor : 0\nflags\t\t: fpu vme vmx sse2\n"
AMD = "flags\t\t: fpu svm\n"
NESTED = "flags\t\t: fpu vme hypervisor vmxfoo\nvmx flags : ept\n"


@pytest.mark.parametrize(
    ("cpuinfo", "usable", "override", "expected"),
    [
        (INTEL, True, None, "kvm"),
        (AMD, True, "", "kvm"),
        (INTEL, False, None, "tcg"),
        (NESTED, True, None, "tcg"),
        ("", True, None, "tcg"),
        (NESTED, False, "kvm", "kvm"),
        (INTEL, True, "tcg", "tcg"),
    ],
)
def test_kvm_only_where_the_processor_has_it(cpuinfo: str, usable: bool, override: str | None, expected: str) -> None:
    assert qemu.choose_accelerator(cpuinfo, usable, override) == expected


@pytest.mark.parametrize(
    ("guest", "host", "cpuinfo", "usable", "expected"),
    [
        (ARM64, AMD64, INTEL, True, "tcg"),
        (AMD64, ARM64, "Features\t: fp asimd\n", True, "tcg"),
        (ARM64, ARM64, "Features\t: fp asimd\n", True, "kvm"),
        (ARM64, ARM64, "Features\t: fp asimd\n", False, "tcg"),
    ],
)
def test_kvm_only_for_the_own_architecture(guest: Architecture, host: Architecture, cpuinfo: str, usable: bool, expected: str) -> None:
    assert qemu.choose_accelerator(cpuinfo, usable, guest=guest, host=host) == expected


def test_kvm_cannot_be_forced_for_another_architecture() -> None:
    with pytest.raises(LabError, match="a machine of arm64 needs emulation on amd64"):
        qemu.choose_accelerator(INTEL, True, "kvm", guest=ARM64, host=AMD64)


def test_an_unknown_accelerator_is_rejected() -> None:
    with pytest.raises(LabError, match="BULKHEAD_ACCEL='xen': write kvm or tcg"):
        qemu.choose_accelerator(INTEL, True, "xen")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright", "7.2.22"),
        ("QEMU emulator version 10.0.2\n", "10.0.2"),
    ],
)
def test_version(text: str, version: str) -> None:
    assert qemu.parse_version(text) == version


def test_no_version_is_an_error() -> None:
    with pytest.raises(LabError, match="nothing that looks like a version"):
        qemu.parse_version("command not found")


USERNET = """Hub -1 (net0):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
  TCP[ESTABLISHED]   18       127.0.0.1 51234       10.0.2.15    22     0     0\r
  TCP[HOST_FORWARD]  12       127.0.0.1 46447       10.0.2.15    22     0     0\r
"""


def test_the_forwarded_port_is_found() -> None:
    assert qemu.parse_ssh_port(USERNET) == 46447


@pytest.mark.parametrize("text", ["", USERNET.replace("HOST_FORWARD", "ESTABLISHED"), USERNET.replace(" 22 ", " 80 ")])
def test_no_forwarded_port_is_an_error(text: str) -> None:
    with pytest.raises(LabError, match="forwards no port"):
        qemu.parse_ssh_port(text)


SHAPE = qemu.Shape("tcg", "7.2.22", 2048, 2)


@pytest.mark.parametrize(
    "other",
    [
        qemu.Shape("kvm", "7.2.22", 2048, 2),
        qemu.Shape("tcg", "8.0.0", 2048, 2),
        qemu.Shape("tcg", "7.2.22", 1024, 2),
        qemu.Shape("tcg", "7.2.22", 2048, 4),
        qemu.Shape("tcg", "7.2.22", 2048, 2, processor="0badcafe"),
    ],
)
def test_a_snapshot_belongs_to_one_shape(other: qemu.Shape) -> None:
    assert other.key() != SHAPE.key()


def test_command_line() -> None:
    cold = qemu.build_command(SHAPE, name="x", disk="disk.qcow2", boot=["-kernel", "vmlinuz"])
    warm = qemu.build_command(SHAPE, name="x", disk="disk.qcow2", boot=["-kernel", "vmlinuz"], load_snapshot=True)
    assert warm == [*cold, "-loadvm", "ready"]
    assert "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22" in cold
    assert "-no-reboot" not in cold
    assert "tcg,thread=multi,tb-size=2048" in cold
    assert "host" in qemu.build_command(qemu.Shape("kvm", "7.2.22", 2048, 2), name="x", disk="d", boot=[])


def test_an_arm64_machine_has_its_own_program_and_devices() -> None:
    line = qemu.build_command(qemu.Shape("tcg", "7.2.22", 2048, 1, "neoverse-n1", ARM64), name="x", disk="d", boot=[])
    assert line[:3] == ["qemu-system-aarch64", "-M", "virt,gic-version=max"]
    assert line[line.index("-cpu") + 1] == "neoverse-n1"
    assert "vmgenid,guid=auto" not in line
    assert "vmgenid,guid=auto" in qemu.build_command(SHAPE, name="x", disk="d", boot=[])


def test_the_emulated_processor_is_in_the_key() -> None:
    assert qemu.Shape("tcg", "7.2.22", 2048, 1, "neoverse-n1", ARM64).key() == "tcg-qemu7.2.22-2048m-1c-neoverse-n1"


@pytest.mark.parametrize(("accelerator", "expected"), [("tcg", 1), ("kvm", 2)])
def test_an_emulated_machine_has_one_processor(accelerator: str, expected: int) -> None:
    assert qemu.default_cpus(accelerator) == expected
