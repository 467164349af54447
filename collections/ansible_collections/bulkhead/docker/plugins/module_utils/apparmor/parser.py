# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs apparmor_parser (man 8 apparmor_parser) to compile, list and load policy. Raises PolicyError with the parser's message."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .compiler import Compiler, PolicyError, explain_parser_error

__all__ = ["Parser", "PolicyError", "explain_parser_error"]


@dataclass(frozen=True)
class Parser(Compiler):
    """The program at `path`. Loading needs root; compiling does not."""

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
