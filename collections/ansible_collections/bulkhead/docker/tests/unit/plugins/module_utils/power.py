# SPDX-License-Identifier: GPL-3.0-or-later
"""The power that goes at every step that a change takes on the disk: what is there then, and what the next run makes of it.

A step is a call that changes the file system or makes it durable. From the one on that is chosen none does anything, so that no `except`
or `finally` tidies up; of a file whose content was not flushed nothing is left, as ext4 has it where a name came before the data.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_STEPS = (
    "replace", "rename", "unlink", "remove", "rmdir", "mkdir", "symlink", "link", "mknod", "chmod", "chown", "lchown", "fchown", "fchmod", "utime",
    "fsync", "fdatasync", "sync", "truncate", "ftruncate", "setxattr", "pwrite",
)  # fmt: skip


class Death(BaseException):
    """The power has gone."""


class Power:
    """at: the number of the step that does not happen. `steps` counts them."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0
        self.dirty: set[int] = set()

    def step(self) -> None:
        self.steps += 1
        if self.steps >= self.at:
            raise Death

    def lose(self, root: Path) -> None:
        """Empty what was written and not flushed."""
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_ino in self.dirty:
                os.truncate(path, 0)


@contextmanager
def failing(root: Path, at: int) -> Iterator[Power]:
    """Within this, the power goes at step `at`; Death does not come out."""
    power = Power(at)
    with pytest.MonkeyPatch.context() as patch:
        for name in _STEPS:
            patch.setattr(os, name, _counted(power, name, getattr(os, name)))
        for place in (builtins, io):
            patch.setattr(place, "open", _opened(power, io.open))
        patch.setattr(os, "open", _opened(power, os.open))
        try:
            yield power
        except Death:
            patch.undo()
            power.lose(root)


def _counted(power: Power, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        power.step()
        result = call(*arguments, **options)
        if name in ("fsync", "fdatasync"):
            power.dirty.discard(os.fstat(arguments[0]).st_ino)
        if name == "sync":
            power.dirty.clear()
        return result

    return counted


def _opened(power: Power, call: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: Any = "r", *arguments: Any, **options: Any) -> Any:
        result = call(file, mode, *arguments, **options)
        writes = mode & (os.O_WRONLY | os.O_RDWR) and mode & os.O_CREAT if isinstance(mode, int) else set(mode) & set("wax+")
        if writes:
            power.dirty.add(os.fstat(result if isinstance(result, int) else result.fileno()).st_ino)
        return result

    return opened


def every_step(root: Path, make: Callable[[], Path], act: Callable[[Path], None], most: int = 3000) -> Iterator[tuple[int, Path]]:
    """For each step of `act`, what is left of a host that `make` makes when the power goes there. Ends when act comes to its end."""
    for at in range(1, most):
        host = make()
        with failing(host, at) as power:
            act(host)
        if power.steps < at:
            assert at > 3, "nothing was done that the power could have met"
            return
        yield at, host
    raise AssertionError(f"{most} steps, and no end")
