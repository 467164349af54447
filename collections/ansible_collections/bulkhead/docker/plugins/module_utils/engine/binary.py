# SPDX-License-Identifier: GPL-3.0-or-later
"""The program dockerd: where it is, which keys of daemon.json it knows, and its own word on a configuration, without side effects."""

from __future__ import annotations

import json
import mmap
import os
import pwd
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Debian's docker.io and docker-ce; then what administrators build themselves.
PLACES = ("/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/bin/dockerd", "/usr/local/sbin/dockerd", "/opt/bin/dockerd")
_NOBODY = 65534
_LOGGED = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"(?:.*? error="((?:[^"\\]|\\.)*)")?')
_GOOD = ("configuration OK", "dockerd needs to be started with root privileges")


def find_dockerd(running: int | None = None) -> str | None:
    """The path of dockerd: the running one's when its process is given, otherwise the first of the usual places."""
    if running:
        try:
            return os.readlink(f"/proc/{running}/exe").removesuffix(" (deleted)")
        except OSError:
            pass
    for place in PLACES:
        if os.access(place, os.X_OK):
            return place
    return None


def read_version(dockerd: str) -> str | None:
    """`28.5.2` from `dockerd --version`; None when it does not say."""
    run = subprocess.run([dockerd, "--version"], capture_output=True, text=True, timeout=30, check=False)
    match = re.search(r"version (\d+(?:\.\d+)*)", run.stdout)
    return match[1] if match else None


def contains_text(program: str, key: str) -> bool:
    """Whether the program's file has this text anywhere. A Go program carries the names of its flags and JSON keys literally,
    so `False` is certain; `True` may be a chance."""
    with open(program, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as image:
        return image.find(key.encode()) >= 0


def knows_key(dockerd: str, key: str, value: Any) -> bool:
    """Whether this engine takes `key` with `value` in daemon.json: looked up in the program first, then asked of it."""
    if not contains_text(dockerd, key):
        return False
    return validate_config(dockerd, json.dumps({key: value})) is None


def would_create_user(content: Mapping[str, Any]) -> bool:
    """Whether the engine, given this, would want to create the user dockremap, which its validation does as well."""
    if content.get("userns-remap") not in ("default", "dockremap"):
        return False
    try:
        pwd.getpwnam("dockremap")
    except KeyError:
        return True
    return False


def validate_config(dockerd: str, text: str, flags: Sequence[str] = ("-H", "fd://"), path: str = "/etc/docker/daemon.json") -> str | None:
    """The engine's own error message for this daemon.json under these flags, in its words; None when it has none.

    Always as nobody, never as root: as root `--validate` with `userns-remap: default` creates a user and its ranges. Where the
    option does not exist (20.10), a plain start gets as far as its demand for root privileges, and that comes after the check of
    the file (cmd/dockerd/daemon.go, `start`). The text reaches it through a nameless file in memory: it may hold a password.
    """
    arguments = [*remove_flag(flags, "config-file"), "--config-file", "/proc/self/fd/0"]
    said = _as_nobody([dockerd, "--validate", *arguments], text)
    if "unknown flag: --validate" in said:
        said = _as_nobody([dockerd, *arguments], text)
    if any(word in said for word in _GOOD):
        return None
    message = extract_error(said)
    if "permission denied" in message and "/proc/self/fd" not in message:
        return None  # something that only root may read, a TLS key for instance: not the configuration's fault
    return message.replace("/proc/self/fd/0", path)


def remove_flag(flags: Sequence[str], name: str) -> list[str]:
    """A command line without one flag that takes a value."""
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
    """The one line of dockerd's output that says why: the last that is no ordinary log line, otherwise the last error logged."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    plain = [
        line for line in lines if not line.startswith("time=") and "level=" not in line and not line.startswith("See 'dockerd --help'")
    ]
    if plain:
        return plain[-1]
    logged = [found for line in lines if (found := _LOGGED.search(line))]
    if logged:
        return ": ".join(text.replace('\\"', '"') for text in logged[-1].groups() if text)
    return lines[-1] if lines else "no word from the engine"


def _as_nobody(command: list[str], text: str) -> str:
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
    """What changes when the program is replaced."""
    status = Path(program).stat()
    return {"path": program, "size": status.st_size, "mtime": int(status.st_mtime)}


def recall_known_keys(remembered: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What this host's dockerd knows (engine/observe_config.py), so that the next observation need not read the whole program."""
    program = find_dockerd()
    if program is None:
        return {}
    this, before = read_identity(program), remembered.get("dockerd", {})
    if {name: before.get(name) for name in this} == this:
        return dict(before)
    return {**this, "knows": {key: knows_key(program, key, 100)}}
