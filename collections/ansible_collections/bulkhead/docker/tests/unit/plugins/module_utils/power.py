# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a power cut at every step of a change on disk.

A step is a call that changes the file system or makes it durable. From the chosen step on, no call has an effect, so that no `except` or
`finally` cleans up. A file whose content was not flushed is empty, as on ext4 when the name is written before the data.
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


class PowerCut(BaseException):
    """The power is cut."""


class Power:
    """Counts steps. at: number of the step at which the power is cut."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0
        self.dirty: set[int] = set()

    def step(self) -> None:
        self.steps += 1
        if self.steps >= self.at:
            raise PowerCut

    def drop_unflushed(self, root: Path) -> None:
        """Empty the files that were written and not flushed."""
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_ino in self.dirty:
                os.truncate(path, 0)


@contextmanager
def cut_power(root: Path, at: int) -> Iterator[Power]:
    """Cut the power at step `at` of the block, without an exception outside of it."""
    power = Power(at)
    with pytest.MonkeyPatch.context() as patch:
        for name in _STEPS:
            patch.setattr(os, name, _count_step(power, name, getattr(os, name)))
        for place in (builtins, io):
            patch.setattr(place, "open", _track_open(power, io.open))
        patch.setattr(os, "open", _track_open(power, os.open))
        try:
            yield power
        except PowerCut:
            patch.undo()
            power.drop_unflushed(root)


def _count_step(power: Power, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        power.step()
        result = call(*arguments, **options)
        if name in ("fsync", "fdatasync"):
            power.dirty.discard(os.fstat(arguments[0]).st_ino)
        if name == "sync":
            power.dirty.clear()
        return result

    return counted


def _track_open(power: Power, call: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: Any = "r", *arguments: Any, **options: Any) -> Any:
        result = call(file, mode, *arguments, **options)
        writes = mode & (os.O_WRONLY | os.O_RDWR) and mode & os.O_CREAT if isinstance(mode, int) else set(mode) & set("wax+")
        if writes:
            power.dirty.add(os.fstat(result if isinstance(result, int) else result.fileno()).st_ino)
        return result

    return opened


def cut_at_every_step(root: Path, make: Callable[[], Path], act: Callable[[Path], None], most: int = 3000) -> Iterator[tuple[int, Path]]:
    """Yield number and folder of a host from `make` after a power cut at each step of `act`; end when `act` completes."""
    for at in range(1, most):
        host = make()
        with cut_power(host, at) as power:
            act(host)
        if power.steps < at:
            assert at > 3, "act has no steps"
            return
        yield at, host
    raise AssertionError(f"act does not end within {most} steps")
