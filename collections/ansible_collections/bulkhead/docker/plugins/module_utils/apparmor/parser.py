# SPDX-License-Identifier: GPL-3.0-or-later
"""apparmor_parser (man 8 apparmor_parser): compiling, naming and loading policy. Raises PolicyError with the parser's own reason."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

from ..host.root import Host
from . import sources

_MESSAGE = re.compile(r"AppArmor parser error(?: for (?P<file>\S+))?(?: in profile (?P<inside>\S+))? at line (?P<line>\d+): (?P<reason>.*)")


class PolicyError(Exception):
    """The parser, or the kernel behind it, refuses a profile; the message is one sentence."""


@dataclass(frozen=True)
class Parser:
    """path: the program. Loading needs root; compiling doesn't."""

    path: str

    @classmethod
    def find(cls, host: Host) -> Parser | None:
        path = sources.find_parser(host)
        return cls(str(host.path(path))) if path else None

    def compile(self, file: str) -> bytes:
        """What loading `file` would hand to the kernel, mode links included: no kernel (-S), no cache (-K -T)."""
        return self._run(["-S", "-K", "-T", file], os.path.basename(file))

    def check(self, name: str, text: str) -> None:
        """Compile a text that is not on disk yet, and see that it holds the profile `name` and no other (its children aside)."""
        self._run(["-S", "-K", "-T"], name, text)
        held = [found for found in self._run(["-N"], name, text).decode("utf-8", "replace").split("\n") if found and "//" not in found]
        if held != [name]:
            listed = ", ".join(held) or "none"
            raise PolicyError(f"profile {name}: the text holds the profiles {listed}; it must hold {name} alone, one text for each profile")

    def load(self, file: str) -> None:
        """Put a file's policy into the kernel in place of the old (-r). The cache is written for the next boot (-W), not read (-T)."""
        self._run(["-r", "-T", "-W", file], os.path.basename(file))

    def load_compiled(self, name: str, policy: bytes) -> None:
        """Put policy back that was taken from the kernel."""
        self._run(["-r", "-B"], name, policy)

    def version(self) -> str:
        first = self._run(["-V"], "").decode("utf-8", "replace").splitlines()[:1]
        return first[0].rsplit(" ", 1)[-1] if first else "unknown"

    def _run(self, arguments: list[str], name: str, given: str | bytes = b"") -> bytes:
        text = given.encode("utf-8", "surrogateescape") if isinstance(given, str) else given
        try:
            done = subprocess.run(
                [self.path, *arguments], input=text, capture_output=True, timeout=300, env={**os.environ, "LC_ALL": "C.UTF-8"}, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PolicyError(f"profile {name}: {self.path} could not be run: {error}") from error
        if done.returncode:
            raise PolicyError(explain_parser_error(name, done.stderr.decode("utf-8", "replace")))
        return done.stdout


def explain_parser_error(name: str, stderr: str) -> str:
    """The parser's complaint, with the profile's name and the line, and without the warnings around it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith(("Warning", "Cache"))]
    for line in lines:
        found = _MESSAGE.match(line)
        if found:
            file = found["inside"] or found["file"]
            inside = f"{file} " if file and os.path.basename(file) != name else ""
            return f"profile {name}, {inside}line {found['line']}: {found['reason']}"
    reason = "; ".join(lines) or "apparmor_parser gives no reason"
    return reason if reason.startswith(f"profile {name}") else f"profile {name}: {reason}"
