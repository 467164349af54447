# SPDX-License-Identifier: GPL-3.0-or-later
"""The fork bomb starts threads, and only a PIDs limit counts as what stopped it."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.attack import attacks_host
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.calls import Blocked, NotPrepared, preparation


class Library:
    """A C library whose third thread fails with this errno."""

    def __init__(self, number: int) -> None:
        self.number, self.started = number, 0
        self.pause = None

    def pthread_attr_init(self, attributes: ctypes.Array[ctypes.c_char]) -> int:
        return 0

    def pthread_attr_setstacksize(self, attributes: ctypes.Array[ctypes.c_char], size: ctypes.c_size_t) -> int:
        return 0

    def pthread_create(self, *arguments: object) -> int:
        self.started += 1
        return self.number if self.started == 3 else 0


@pytest.fixture(autouse=True)
def tasks() -> Iterator[None]:
    preparation["tasks"] = 540
    yield
    del preparation["tasks"]


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, hits: list[int | None]) -> None:
    """Let the third task fail, and let the PIDs limit have been reached `hits[0]` times before and `hits[1]` times after."""
    monkeypatch.setattr(attacks_host, "libc", Library(number))
    monkeypatch.setattr(attacks_host, "read_limit_hits", lambda: hits.pop(0))


def test_without_a_limit_all_tasks_start(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_at(monkeypatch, 0, [0])
    assert attacks_host.fork_bomb() == "540 tasks at once"


@pytest.mark.parametrize("hits", [[0, 1], [7, 9], [None, None]])
def test_the_pids_limit_stops_it(monkeypatch: pytest.MonkeyPatch, hits: list[int | None]) -> None:
    fail_at(monkeypatch, errno.EAGAIN, hits)
    with pytest.raises(Blocked) as stopped:
        attacks_host.fork_bomb()
    assert (stopped.value.step, stopped.value.number) == ("task 3", errno.EAGAIN)


@pytest.mark.parametrize(("number", "hits"), [(errno.ENOMEM, [0, 0]), (errno.EAGAIN, [5, 5]), (errno.ENOMEM, [None, None])])
def test_another_limit_is_no_result(monkeypatch: pytest.MonkeyPatch, number: int, hits: list[int | None]) -> None:
    fail_at(monkeypatch, number, hits)
    with pytest.raises(NotPrepared, match=r"task 3 failed with E\w+, and not because of the container's PIDs limit"):
        attacks_host.fork_bomb()
