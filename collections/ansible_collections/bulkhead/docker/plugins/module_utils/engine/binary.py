# SPDX-License-Identifier: GPL-3.0-or-later
"""The validation of a configuration by dockerd, without side effects."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

_NOBODY = 65534
_LOGGED = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"(?:.*? error="((?:[^"\\]|\\.)*)")?')
_GOOD = ("configuration OK", "dockerd needs to be started with root privileges")


def validate_config(dockerd: str, text: str, flags: Sequence[str] = ("-H", "fd://"), path: str = "/etc/docker/daemon.json") -> str | None:
    """Return the engine's error message for this daemon.json with these flags; None when it accepts them.

    It runs as nobody: as root, `--validate` with `userns-remap: default` creates a user and its ranges. Without that option (20.10), a plain
    start checks the file and then stops for lack of root privileges (cmd/dockerd/daemon.go, `start`). The text, which may contain a
    password, is passed in an anonymous file in memory.
    """
    arguments = [*remove_flag(flags, "config-file"), "--config-file", "/proc/self/fd/0"]
    output = _run_as_nobody([dockerd, "--validate", *arguments], text)
    if "unknown flag: --validate" in output:
        output = _run_as_nobody([dockerd, *arguments], text)
    if any(word in output for word in _GOOD):
        return None
    message = extract_error(output)
    if "permission denied" in message and "/proc/self/fd" not in message:
        return None  # a file that only root may read, such as a TLS key, is not an error of the configuration
    return message.replace("/proc/self/fd/0", path)


def remove_flag(flags: Sequence[str], name: str) -> list[str]:
    """Return a command line without one flag that has a value."""
    kept: list[str] = []
    skip = False
    for word in flags:
        if skip:
            skip = False
        elif word == f"--{name}":
            skip = True
        elif not word.startswith(f"--{name}="):
            kept.append(word)
    return kept


def extract_error(output: str) -> str:
    """Return the error line of dockerd's output: the last one that is not a log line, otherwise the last logged error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    plain = [
        line for line in lines if not line.startswith("time=") and "level=" not in line and not line.startswith("See 'dockerd --help'")
    ]
    if plain:
        return plain[-1]
    logged = [found for line in lines if (found := _LOGGED.search(line))]
    if logged:
        return ": ".join(text.replace('\\"', '"') for text in logged[-1].groups() if text)
    return lines[-1] if lines else "the engine printed nothing"


def _run_as_nobody(command: list[str], text: str) -> str:
    handle = os.memfd_create("daemon.json", os.MFD_CLOEXEC)
    try:
        os.write(handle, text.encode("utf-8", "surrogateescape"))
        run = subprocess.run(
            command,
            stdin=handle,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            user=_NOBODY,
            group=_NOBODY,
            extra_groups=[],
            timeout=60,
            check=False,
            text=True,
            errors="replace",
        )
    finally:
        os.close(handle)
    return run.stdout
