# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of another architecture on this control node, with which mmdebstrap configures packages.

The kernel starts qemu's user emulation for them (binfmt_misc: Documentation/admin-guide/binfmt-misc.rst).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab.architecture import Architecture
from lab.errors import LabError
from lab.progress import say

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_REGISTRATIONS = Path("/usr/lib/binfmt.d")  # of Debian's package; systemd reads it


def ensure_programs_run(architecture: Architecture) -> None:
    """Register qemu's user emulation where systemd has not done so, for example in a container. Raise LabError if programs do not run."""
    if _is_runnable(architecture):
        return
    registration = _REGISTRATIONS / f"qemu-{architecture.machine}.conf"
    if os.geteuid() == 0 and registration.exists():
        say(f"registering {registration} in {_BINFMT}")
        try:
            if not (_BINFMT / "register").exists():
                subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)], check=True)
            (_BINFMT / "register").write_text(registration.read_text(encoding="ascii").strip(), encoding="ascii")
        except (OSError, subprocess.CalledProcessError) as error:
            raise LabError(f"{registration}: cannot be registered in {_BINFMT}: {error}") from error
    if not _is_runnable(architecture):
        raise LabError(
            f"programs of {architecture.name} do not run on this control node; install qemu-user-static, and register it:"
            " sudo systemctl restart systemd-binfmt"
        )


def _is_runnable(architecture: Architecture) -> bool:
    """Say whether this kernel runs programs of that architecture, natively or emulated."""
    try:
        return subprocess.run(["arch-test", architecture.name], capture_output=True, check=False).returncode == 0
    except OSError as error:
        raise LabError(f"arch-test does not run ({error}); `python3 -m lab doctor` says what to install") from error
