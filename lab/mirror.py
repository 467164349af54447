# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Debian packages come from."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError
from lab.progress import say


def parse_sources(text: str) -> list[str]:
    """Return the URIs of the Debian archives in one apt sources file, of either format (man 5 sources.list).

    An archive is told by its path: the main archive's ends in ``/debian``, wherever it is mirrored.
    """
    found: list[str] = []
    for line in text.splitlines():
        line = line.strip()
        one_line = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s", line)
        deb822 = re.match(r"URIs:\s*(.*)", line, re.IGNORECASE)
        if one_line:
            found.append(one_line.group(1))
        elif deb822:
            found += deb822.group(1).split()
    return list(dict.fromkeys(uri for uri in found if re.fullmatch(r"https?://\S+/debian/?", uri)))


def list_mirrors() -> list[str | None]:
    """Return the mirrors to try in turn; None stands for mmdebstrap's own default.

    ``BULKHEAD_MIRROR`` decides alone. Otherwise the control node's own archives come after the default.
    """
    chosen = os.environ.get("BULKHEAD_MIRROR")
    if chosen:
        return [chosen]
    folder = Path("/etc/apt")
    own: list[str] = []
    for path in (folder / "sources.list", *sorted(folder.glob("sources.list.d/*"))):
        try:
            own += parse_sources(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return [None, *dict.fromkeys(own)]


def install_from_first(what: str, install: Callable[[str | None], None], is_out_of_reach: Callable[[], bool] = lambda: True) -> None:
    """Call ``install`` with one mirror after the other until it does not raise LabError.

    what: what is installed, for messages. is_out_of_reach: whether the failure is the mirror's; any other one, and the last, is raised.
    """
    for uri in (uris := list_mirrors()):
        say(f"installing {what} from {uri or 'the default mirror'}")
        try:
            install(uri)
            return
        except LabError:
            if uri == uris[-1] or not is_out_of_reach():
                raise
            say("trying the next mirror")
