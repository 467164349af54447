# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of qemu's monitor: https://www.qemu.org/docs/master/interop/qmp-spec.html"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.errors import LabError


class Monitor:
    """One connection to the monitor of the machine in ``directory``; a context manager.

    Raises OSError while qemu does not listen (yet, or any more).
    """

    def __init__(self, directory: Path, timeout: float = 120.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        # Through /proc the path fits into sun_path's 107 bytes however deep the folder is.
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{folder}/qmp.sock")
        except OSError:
            self._socket.close()
            raise
        finally:
            os.close(folder)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._read()  # the greeting
        self.execute("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lines.close()
        self._socket.close()

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("qemu closed its monitor")
        message: dict[str, Any] = json.loads(line)
        return message

    def execute(self, name: str, **arguments: object) -> Any:
        """Run one QMP command and return its result; events that come between are skipped."""
        request = {"execute": name, "arguments": arguments} if arguments else {"execute": name}
        self._socket.sendall(json.dumps(request).encode())
        while True:
            reply = self._read()
            if "error" in reply:
                raise LabError(f"qemu rejected {name}: {reply['error'].get('desc', reply['error'])}")
            if "return" in reply:
                return reply["return"]

    def run_human_command(self, line: str) -> str:
        """Run a command of the human monitor, for what QMP has no command for."""
        return str(self.execute("human-monitor-command", **{"command-line": line}))
