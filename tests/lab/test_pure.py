# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's smaller pure functions."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from lab import architecture, doctor, mirror, paths, process, progress
from lab.architecture import AMD64, ARM64
from lab.errors import LabError


@pytest.mark.parametrize("name", ["x", "dev", "molecule-trixie", "a1", "0", "a" * 63])
def test_good_names(name: str) -> None:
    assert paths.check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "cache", "locks", "all", "localhost", "Dev", "a_b", "a.b", "-a", "a-", "a/b", "..", "a b", "a\n", "a" * 64],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(LabError):
        paths.check_name(name)


DEB822 = """Types: deb
URIs: http://mirror.invalid/debian  https://other.invalid/pub/debian/
Suites: trixie
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deb http://mirror.invalid/debian trixie main\n", ["http://mirror.invalid/debian"]),
        ("deb [arch=amd64 signed-by=/k] https://m.invalid/debian/ trixie main\n", ["https://m.invalid/debian/"]),
        (DEB822, ["http://mirror.invalid/debian", "https://other.invalid/pub/debian/"]),
        ("# deb http://mirror.invalid/debian trixie main\n", []),
        ("# URIs: http://mirror.invalid/debian\n", []),
        ("deb-src http://mirror.invalid/debian trixie main\n", []),
        ("deb http://mirror.invalid/debian-security trixie-security main\n", []),
        ("deb http://mirror.invalid/ubuntu noble main\n", []),
        ("deb file:/srv/debian trixie main\n", []),
        ("deb http://m.invalid/debian a main\ndeb http://m.invalid/debian b main\n", ["http://m.invalid/debian"]),
        ("", []),
    ],
)
def test_mirrors_of_the_control_node(text: str, expected: list[str]) -> None:
    assert mirror.parse_sources(text) == expected


def test_a_chosen_mirror_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_MIRROR", "http://mirror.invalid/debian")
    assert mirror.list_mirrors() == ["http://mirror.invalid/debian"]
    monkeypatch.delenv("BULKHEAD_MIRROR")
    assert mirror.list_mirrors()[0] is None


@pytest.mark.parametrize(
    ("failing", "reason", "tried", "raises"),
    [
        ([], "", [None], False),
        ([None], "Failed to fetch", [None, "http://mirror.invalid/debian"], False),
        ([None], "no such package", [None], True),
        ([None, "http://mirror.invalid/debian"], "Failed to fetch", [None, "http://mirror.invalid/debian"], True),
    ],
    ids=["first", "second", "not-the-mirror", "none"],
)
def test_the_next_mirror_is_tried(
    failing: list[str | None], reason: str, tried: list[str | None], raises: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "list_mirrors", lambda: [None, "http://mirror.invalid/debian"])
    seen: list[str | None] = []

    def install(uri: str | None) -> None:
        seen.append(uri)
        if uri in failing:
            raise LabError(reason)

    with pytest.raises(LabError, match=reason) if raises else nullcontext():
        mirror.install_from_first("packages", install, lambda: reason == "Failed to fetch")
    assert seen == tried


STAT = "42 ({name}) {state} 1 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 4 0 {start} 1000 10"


@pytest.mark.parametrize(
    ("name", "state", "expected"),
    [("qemu", "S", "777"), ("a) R (b", "R", "777"), ("qemu", "Z", ""), ("qemu", "X", "")],
)
def test_start_time(name: str, state: str, expected: str) -> None:
    assert process.parse_start_time(STAT.format(name=name, state=state, start=777)) == expected


def test_a_process_is_told_from_a_later_one_of_the_same_number() -> None:
    import os

    started = process.start_time(os.getpid())
    assert process.is_running(os.getpid(), started)
    assert not process.is_running(os.getpid(), started + "0")
    assert not process.is_running(os.getpid(), "")


def test_the_console_is_readable() -> None:
    text = (
        "\x1b[0;32m  OK  \x1b[0m] Started x\r\n\r\n"
        "\x1bM\r\x1b[K[\x1b[0;31m*     \x1b[0m] Job a (1s / no limit)\r\n"
        "\x1bM\r\x1b[K[ \x1b[0;31m*    \x1b[0m] Job a (2s / no limit)\r\n"
        "login:"
    )
    assert progress.clean_lines(text) == ["OK  ] Started x", "[ *    ] Job a (2s / no limit)", "login:"]


def test_package_list() -> None:
    assert doctor.parse_package_list("# a comment\nqemu-utils\n\nxorriso # the seed\n") == ["qemu-utils", "xorriso"]


def test_every_program_is_of_a_listed_package() -> None:
    listed = {*doctor.list_packages(AMD64, AMD64), *doctor.list_packages(ARM64, AMD64)}
    assert set(doctor.PROGRAMS) <= listed
    assert listed >= doctor.OPTIONAL


def test_emulation_of_arm64_is_installed_only_for_arm64() -> None:
    own = set(doctor.list_packages(AMD64, AMD64))
    assert own.isdisjoint({"qemu-system-arm", "qemu-user-static", "arch-test"})
    assert set(doctor.list_packages(ARM64, AMD64)) >= {"qemu-system-arm", "qemu-user-static", "arch-test"}
    assert "qemu-user-static" not in doctor.list_packages(ARM64, ARM64)


def test_an_unknown_architecture_is_named() -> None:
    assert architecture.find_by_machine("aarch64") == ARM64
    with pytest.raises(LabError, match=r"'riscv64'.*x86_64, aarch64"):
        architecture.find_by_machine("riscv64")
