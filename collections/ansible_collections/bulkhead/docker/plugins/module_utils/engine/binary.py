# SPDX-License-Identifier: GPL-3.0-or-later
"""The program dockerd: its path, the keys of daemon.json that it knows, and its validation of a configuration, without side effects."""

from __future__ import annotations

import json
import mmap
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Of Debian's docker.io and docker-ce; then of builds by administrators.
PLACES = ("/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/bin/dockerd", "/usr/local/sbin/dockerd", "/opt/bin/dockerd")
_NOBODY = 65534
_LOGGED = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"(?:.*? error="((?:[^"\\]|\\.)*)")?')
_GOOD = ("configuration OK", "dockerd needs to be started with root privileges")


def find_dockerd(running: int | None = None) -> str | None:
    """Return the path of dockerd: of the process `running` when given, otherwise the first of the usual paths; None when not installed."""
    if running:
        try:
            return os.readlink(f"/proc/{running}/exe").removesuffix(" (deleted)")
        except OSError:
            pass
    for place in PLACES:
        if os.access(place, os.X_OK):
            return place
    return None


def contains_text(program: str, key: str) -> bool:
    """Return whether the program's file contains this text. A Go program contains the names of its flags and JSON keys literally, so `False`
    is certain; `True` may be a coincidence."""
    with open(program, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as image:
        return image.find(key.encode()) >= 0


def knows_key(dockerd: str, key: str, value: Any) -> bool:
    """Return whether this engine accepts `key` with `value` in daemon.json."""
    if not contains_text(dockerd, key):
        return False
    return validate_config(dockerd, json.dumps({key: value})) is None


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


def read_identity(program: str) -> dict[str, Any]:
    """Return path, size and mtime, which differ after the program is replaced."""
    status = Path(program).stat()
    return {"path": program, "size": status.st_size, "mtime": int(status.st_mtime)}


def recall_known_keys(remembered: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return dockerd's identity and whether it knows `key`, from memory (the state file) when it is the same program; empty without dockerd.

    Otherwise the whole program, 100 MB, has to be read.
    """
    program = find_dockerd()
    if program is None:
        return {}
    identity, before = read_identity(program), remembered.get("dockerd", {})
    if {name: before.get(name) for name in identity} == identity:
        return dict(before)
    return {**identity, "knows": {key: knows_key(program, key, 100)}}
