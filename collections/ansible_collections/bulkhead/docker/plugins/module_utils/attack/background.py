# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs attacks after the module has answered, so that the control node can show progress."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..engine.temporary import identify_process, is_running
from ..host.root import Host

FOLDERS = "/run"
PREFIX = "bulkhead-attack-"
# Files in its folder: its process, the folder of the module's code, one line per finished configuration, and the answer.
OWNER, CODE, PROGRESS, ANSWER = "owner", "code", "progress", "answer.json"


class BackgroundRun:
    """A folder on the host with the progress of one run. Creating it removes folders of interrupted runs. Raises OSError."""

    def __init__(self, host: Host, name: str) -> None:
        for folder in host.path(FOLDERS).glob(f"{PREFIX}*"):
            owner = folder / OWNER
            if owner.exists() and not is_running(host, owner.read_text()):
                code = folder / CODE
                if code.exists() and code.read_text():
                    shutil.rmtree(code.read_text(), ignore_errors=True)
                shutil.rmtree(folder, ignore_errors=True)
        self._host = host
        self._folder = host.path(f"{FOLDERS}/{PREFIX}{name}")
        self._folder.mkdir(mode=0o700)

    def start(self, answer: Callable[[], None]) -> None:
        """Continue in a new process. The one that Ansible waits for answers and exits.

        It exits without cleanup: the new process removes the archive of the module's code when it ends.
        """
        self._write(CODE, find_unpacked(__file__))
        process = os.fork()
        if process:
            self._write(OWNER, identify_process(self._host, process))
            try:
                answer()
            except SystemExit:
                sys.stdout.flush()
                os._exit(0)
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)

    def add_progress(self, text: str) -> None:
        with (self._folder / PROGRESS).open("a") as handle:
            handle.write(f"{text}\n")

    def finish(self, answer: dict[str, Any]) -> None:
        self._write(ANSWER, json.dumps(answer))

    def _write(self, name: str, text: str) -> None:
        draft = Path(f"{self._folder}/.{name}")
        draft.write_text(text)
        draft.replace(self._folder / name)


def find_unpacked(path: str) -> str:
    """Return the folder of the archive from which Ansible runs a module's code; empty if it runs from files.

    path: any of its files (ansible-core: _internal/_ansiballz/_wrapper.py).
    """
    archive = next((parent for parent in Path(path).parents if parent.suffix == ".zip"), None)
    return str(archive.parent) if archive and "_payload_" in archive.parent.name else ""
