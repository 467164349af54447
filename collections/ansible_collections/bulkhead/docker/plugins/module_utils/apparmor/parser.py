# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs apparmor_parser (man 8 apparmor_parser) to compile, list and load policy. Raises PolicyError with the parser's message."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

from ..host.root import Host
from . import sources

_MESSAGE = re.compile(r"AppArmor parser error(?: for (?P<file>\S+))?(?: in profile (?P<inside>\S+))? at line (?P<line>\d+): (?P<reason>.*)")


class PolicyError(Exception):
    """The parser or the kernel rejects a profile."""


@dataclass(frozen=True)
class Parser:
    """The program at `path`. Loading needs root; compiling does not."""

    path: str

    @classmethod
    def find_installed(cls, host: Host) -> Parser | None:
        """Return the host's parser; None if it is not installed."""
        path = sources.find_parser(host)
        return cls(str(host.path(path))) if path else None

    def compile(self, file: str) -> bytes:
        """Return the policy that loading `file` gives to the kernel, including mode links: no kernel (-S), no cache (-K -T)."""
        return self._run(["-S", "-K", "-T", file], os.path.basename(file))

    def compile_text(self, name: str, text: str) -> bytes:
        """Return the policy that loading a text gives to the kernel."""
        return self._run(["-S", "-K", "-T"], name, text)

    def expand_includes(self, name: str, text: str) -> str:
        """Return a text in which includes are replaced by what they include (-p)."""
        return self._run(["-p"], name, text).decode("utf-8", "surrogateescape")

    def check(self, name: str, text: str) -> None:
        """Compile a text and check that it contains the profile `name` and no other, except its children."""
        self.compile_text(name, text)
        names = [found for found in self._run(["-N"], name, text).decode("utf-8", "replace").split("\n") if found and "//" not in found]
        if names != [name]:
            listed = ", ".join(names) or "none"
            raise PolicyError(f"profile {name}: the text contains the profiles {listed}; write one text per profile, here {name} alone")

    def load(self, file: str) -> None:
        """Load a file's policy in place of the old one (-r). The cache is written for the next boot (-W) and not read (-T)."""
        self._run(["-r", "-T", "-W", file], os.path.basename(file))

    def load_compiled(self, name: str, policy: bytes) -> None:
        """Load compiled policy, as the kernel gave it."""
        self._run(["-r", "-B"], name, policy)

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
