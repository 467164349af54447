# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs processes that listen or connect in network namespaces of their own.

The namespaces end with the processes, and with them the devices and routes of the host that belong to them. The processes end with this one, even if it is
killed (man 2 prctl, PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x40000000, 1
_libc = ctypes.CDLL(None, use_errno=True)
Work = Callable[[dict[str, Any], Callable[[Any], None]], None]


class ProbeError(OSError):
    """Nothing could be tried."""


class NamespaceProcess:
    """A process that waits for orders, one after the other, and answers with JSON lines."""

    def __init__(self, pid: int, orders: int, answers: int) -> None:
        self.pid, self._orders, self._answers = pid, orders, os.fdopen(answers, encoding="utf-8")

    def tell(self, order: dict[str, Any]) -> None:
        os.write(self._orders, json.dumps(order).encode() + b"\n")

    def ask(self) -> Any:
        line = self._answers.readline()
        answer = json.loads(line) if line else {"error": "a process in another network namespace ended"}
        if isinstance(answer, dict) and "error" in answer:
            raise ProbeError(answer["error"])
        return answer

    def end(self) -> None:
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(OSError):
            os.waitpid(self.pid, 0)
        os.close(self._orders)
        self._answers.close()


@contextmanager
def start_process(work: Work, apart: bool = True) -> Iterator[NamespaceProcess]:
    """Run `work` in a process of its own. apart: in an empty network namespace. work: gets each order, and a function that sends an answer."""
    (order_end, orders), (answers, answer_end) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(orders)
        os.close(answers)
        _run_child(work, apart, order_end, answer_end)
    os.close(order_end)
    os.close(answer_end)
    process = NamespaceProcess(pid, orders, answers)
    try:
        process.ask()
        yield process
    finally:
        process.end()


def _run_child(work: Work, apart: bool, orders: int, answers: int) -> None:
    """Run in the child, and never return."""

    def answer(content: Any) -> None:
        os.write(answers, json.dumps(content).encode() + b"\n")

    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if apart and _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        answer(True)
        with os.fdopen(orders, encoding="utf-8") as handle:
            for line in iter(handle.readline, ""):
                work(json.loads(line), answer)
    except BaseException as error:
        with suppress(OSError):
            answer({"error": str(error)})
    finally:
        os._exit(0)


def run_ip_batch(commands: Iterable[str], *options: str) -> None:
    """Run commands of ip in one process. options: such as `-force`. Raises ProbeError with the message of a command that fails."""
    run_ip(*options, "-batch", "-", text="".join(f"{command}\n" for command in commands))


def run_ip(*arguments: str, text: str = "") -> str:
    """Return the output of ip (man 8 ip). text: its input. Raises ProbeError."""
    try:
        done = subprocess.run(["ip", *arguments], input=text, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProbeError(f"ip {' '.join(arguments)}: {error}") from error
    if done.returncode:
        raise ProbeError(f"ip {' '.join(arguments)}: {' '.join(done.stderr.split())}")
    return done.stdout
