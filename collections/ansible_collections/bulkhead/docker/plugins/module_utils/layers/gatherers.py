# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions that gather evidence for the layers that need more than the states of processes.

Ansible sends a host the files that import statements name, so the imports are spelled out; a test compares them with the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from ..host.root import Host
from .apparmor import gather as apparmor
from .seccomp import gather as seccomp

Gatherer = Callable[[Host, Optional[Mapping[str, Any]], Mapping[str, Any]], dict[str, Any]]  # noqa: UP045 (evaluated at run time)

# Layer -> the function that gathers its own evidence: (host, probe container or None, expectation) -> evidence.
GATHERERS: dict[str, Gatherer] = {"seccomp": seccomp.gather_evidence, "apparmor": apparmor.gather_evidence}
