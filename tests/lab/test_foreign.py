# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of another architecture: registered with the kernel only where they do not run yet, and only by root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import foreign
from lab.architecture import ARM64
from lab.errors import LabError

LINE = ":qemu-aarch64:M::magic:mask:/usr/libexec/qemu-binfmt/aarch64-binfmt-P:OPF"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a file in place of the kernel's `register`. Programs run when something was written to it."""
    register = tmp_path / "register"
    register.touch()
    (tmp_path / "qemu-aarch64.conf").write_text(f"{LINE}\n")
    monkeypatch.setattr(foreign, "_BINFMT", tmp_path)
    monkeypatch.setattr(foreign, "_REGISTRATIONS", tmp_path)
    monkeypatch.setattr(foreign, "_is_runnable", lambda architecture: register.read_text() != "")
    monkeypatch.setattr(foreign.os, "geteuid", lambda: 0)
    yield register


def test_root_registers_once(kernel: Path) -> None:
    foreign.ensure_programs_run(ARM64)
    assert kernel.read_text() == LINE
    kernel.write_text("already")
    foreign.ensure_programs_run(ARM64)
    assert kernel.read_text() == "already"


def test_other_users_learn_what_to_do(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign.os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="programs of arm64 do not run on this control node; install qemu-user-static"):
        foreign.ensure_programs_run(ARM64)
    assert kernel.read_text() == ""


def test_a_package_without_a_registration_is_not_enough(kernel: Path) -> None:
    (kernel.parent / "qemu-aarch64.conf").unlink()
    with pytest.raises(LabError, match="programs of arm64 do not run"):
        foreign.ensure_programs_run(ARM64)
