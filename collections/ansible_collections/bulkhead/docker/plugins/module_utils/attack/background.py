# SPDX-License-Identifier: GPL-3.0-or-later
"""Playing on after the module has answered, so that the control node can show how far it is."""

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
# What stands in a job's folder: whose it is, where the module's code lies, a line each configuration that is done, and the answer.
OWNER, CODE, PROGRESS, ANSWER = "owner", "code", "progress", "answer.json"


class Job:
    """A folder on the host in which a run tells what it does. Raises OSError."""

    def __init__(self, host: Host, name: str) -> None:
        for left in host.path(FOLDERS).glob(f"{PREFIX}*"):
            owner = left / OWNER
            if owner.exists() and not is_running(host, owner.read_text()):
                code = left / CODE
                if code.exists() and code.read_text():
                    shutil.rmtree(code.read_text(), ignore_errors=True)
                shutil.rmtree(left, ignore_errors=True)
        self._host = host
        self._folder = host.path(f"{FOLDERS}/{PREFIX}{name}")
        self._folder.mkdir(mode=0o700)

    def begin(self, answer: Callable[[], None]) -> None:
        """Go on in a process of its own, while the one that Ansible waits for answers and ends.

        It ends without cleaning up: the archive with the module's code is removed by the process that goes on, when it is done with it.
        """
        self._write(CODE, unpacked(__file__))
        process = os.fork()
        if process:
            self._write(OWNER, identify_process(self._host, process))
            try:
                answer()
            except SystemExit:
                sys.stdout.flush()
                os._exit(0)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)

    def told(self, text: str) -> None:
        with (self._folder / PROGRESS).open("a") as handle:
            handle.write(f"{text}\n")

    def end(self, answer: dict[str, Any]) -> None:
        self._write(ANSWER, json.dumps(answer))

    def _write(self, name: str, text: str) -> None:
        draft = Path(f"{self._folder}/.{name}")
        draft.write_text(text)
        draft.replace(self._folder / name)


def unpacked(path: str) -> str:
    """The folder into which Ansible put the archive that a module's code is run from; empty where it is run from files.

    path: of any of its files (ansible-core: _internal/_ansiballz/_wrapper.py).
    """
    archive = next((parent for parent in Path(path).parents if parent.suffix == ".zip"), None)
    return str(archive.parent) if archive and "_payload_" in archive.parent.name else ""
