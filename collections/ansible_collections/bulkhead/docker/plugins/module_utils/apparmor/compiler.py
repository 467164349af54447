# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles policy by apparmor_parser (man 8 apparmor_parser). Raises PolicyError with the parser's message. parser.py also checks and loads it."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import Self

from ..host.root import Host
from . import sources

_MESSAGE = re.compile(r"AppArmor parser error(?: for (?P<file>\S+))?(?: in profile (?P<inside>\S+))? at line (?P<line>\d+): (?P<reason>.*)")


class PolicyError(Exception):
    """The parser or the kernel rejects a profile."""


@dataclass(frozen=True)
class Compiler:
    """The program at `path`. Compiling does not need root."""

    path: str

    @classmethod
    def find_installed(cls, host: Host) -> Self | None:
        """Return the host's parser; None if it is not installed."""
        path = sources.find_parser(host)
        return cls(str(host.path(path))) if path else None

    def compile(self, file: str) -> bytes:
        """Return the policy that loading `file` gives to the kernel, including mode links: no kernel (-S), no cache (-K -T)."""
        return self._run(["-S", "-K", "-T", file], os.path.basename(file))

    def _run(self, arguments: list[str], name: str, given: str | bytes = b"") -> bytes:
        text = given.encode("utf-8", "surrogateescape") if isinstance(given, str) else given
        try:
            done = subprocess.run(
                [self.path, *arguments], input=text, capture_output=True, timeout=300, env={**os.environ, "LC_ALL": "C.UTF-8"}, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PolicyError(f"profile {name}: {self.path} cannot be run: {error}") from error
        if done.returncode:
            raise PolicyError(explain_parser_error(name, done.stderr.decode("utf-8", "replace")))
        return done.stdout


def explain_parser_error(name: str, stderr: str) -> str:
    """Return the parser's error with the profile's name and the line, without warnings."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith(("Warning", "Cache"))]
    for line in lines:
        found = _MESSAGE.match(line)
        if found:
            file = found["inside"] or found["file"]
            inside = f"{file} " if file and os.path.basename(file) != name else ""
            return f"profile {name}, {inside}line {found['line']}: {found['reason']}"
    reason = "; ".join(lines) or "apparmor_parser gives no reason"
    return reason if reason.startswith(f"profile {name}") else f"profile {name}: {reason}"
