# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of runs, which only root can read: temporary containers and images, and journals of transactions (engine_config/transaction.py).

Nothing that an image or a container says of itself identifies them: labels of an image become labels of its containers. A random token is in
their names and in the record (/var/lib/bulkhead/temporary/TOKEN.json), and a container also has to be of the recorded image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..host.root import STATE_DIR, Host

FOLDER = f"{STATE_DIR}/temporary"
OPEN, COMMITTED, UNDONE, LEFT = "open", "committed", "undone", "left"  # states of a transaction of the engine's configuration


@dataclass
class Temporary:
    """What one run creates in one engine.

    token: random hexadecimal digits. owner: the process, as `identify_process` returns it. socket: of the engine. name: of the image.
    containers, networks: names. image: ID of the image; empty until it exists, and no container is created before.
    """

    token: str
    owner: str
    socket: str
    name: str
    containers: list[str]
    image: str = ""
    networks: list[str] = field(default_factory=list)

    def has_container(self, entry: Mapping[str, Any]) -> bool:
        """Return whether an entry of `/containers/json` is one of these containers."""
        names = {name.lstrip("/") for name in entry.get("Names") or ()}
        return bool(self.image) and entry.get("ImageID") == self.image and bool(names & set(self.containers))

    def has_image(self, entry: Mapping[str, Any]) -> bool:
        """Return whether an entry of `/images/json` is this image."""
        return entry.get("Id") == self.image if self.image else f"{self.name}:1" in (entry.get("RepoTags") or ())


def read_records(host: Host) -> list[Temporary]:
    """Return the records of all runs on this host, those that run now included. A damaged record is left out."""
    found = []
    folder = host.path(FOLDER)
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        with suppress(OSError, ValueError, TypeError):
            record = Temporary(**json.loads(host.read(f"{FOLDER}/{path.name}") or ""))
            if path.name == f"{record.token}.json":
                found.append(record)
    return found


def get_base(host: Host) -> Path:
    """Return the folder of all transactions."""
    return host.path(f"{STATE_DIR}/transactions")


def read_journals(host: Host) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield folder and journal of each transaction, the newest first."""
    base = get_base(host)
    for folder in sorted(base.iterdir(), reverse=True) if base.is_dir() else []:
        try:
            journal = json.loads((folder / "journal.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # interrupted before its journal was written, so before any change
        yield folder, journal


def list_open_ids(host: Host) -> list[str]:
    """Return the IDs of the changes of interrupted runs, the newest first."""
    return [folder.name for folder, journal in read_journals(host) if journal.get("state") == OPEN]
