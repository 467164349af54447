# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a container: the attacks over the network, or the neighbour that they look for."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

from . import attacks_network, runner


def main() -> None:
    """Run the attacks as the runner runs the others."""
    runner.modules.append(attacks_network)
    runner.main()


def listen() -> None:
    """Accept and close connections on port $PORT for $SECONDS seconds."""
    listener = socket.create_server(("0.0.0.0", int(os.environ["PORT"])))
    listener.settimeout(1.0)
    deadline = time.monotonic() + float(os.environ["SECONDS"])
    while time.monotonic() < deadline:
        with suppress(TimeoutError):
            listener.accept()[0].close()
