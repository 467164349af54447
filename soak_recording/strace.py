# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a log of `strace -f --pidns-translation -s 0 -o FILE` that began before a container: the calls that its tasks made with a seccomp filter. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE = re.compile(r"^(\d+)\s+(.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)$", re.DOTALL)
_RESULT = re.compile(r"=\s+(-?\d+|0x[0-9a-f]+|\?)(?:\s+(E[A-Z0-9]+))?[^=]*$")
# `strace --pidns-translation` of a PID from the container's namespace.
_TRANSLATED = re.compile(r"= \d+ /\* (\d+) in strace's PID NS \*/$")
_SUPERSEDED = re.compile(r"^\+\+\+ superseded by execve in pid (\d+) \+\+\+$")
_CLONES = ("clone", "clone3", "fork", "vfork")
# What a filter answers; a call that only ended so may not have begun.
_DENIED = ("EPERM", "EACCES", "ENOSYS")


@dataclass
class Traced:
    """made: calls that began with a filter in place. denied: those that always ended with an error that a filter may have caused."""

    made: set[str]
    denied: set[str]


@dataclass
class _Call:
    task: int
    name: str
    start: int
    text: str
    end: int = 0
    result: str = "?"
    error: str = ""


@dataclass
class _Task:
    """parent, born: the task that made it, and the line on which that began. thread: whether it shares its parent's process."""

    parent: int = 0
    born: int = 0
    thread: bool = False
    filtered: int = 0


def read_calls(lines: Iterable[str]) -> Traced:
    """Return what tasks with a filter called. Tasks from before the trace count as tasks without one."""
    calls, renamed = _parse(lines)
    tasks = _find_tasks(calls, renamed)
    made, succeeded = set[str](), set[str]()
    for call in calls:
        since = _find_filter(tasks, call.task, call.start)
        if since and call.start > since:
            made.add(call.name)
            if call.error not in _DENIED:
                succeeded.add(call.name)
    return Traced(succeeded, made - succeeded)


def _parse(lines: Iterable[str]) -> tuple[list[_Call], list[tuple[int, int, int]]]:
    """Return calls in the order of their start, and (line, old, new) of tasks that took the ID of their process by execve(2)."""
    calls, open_calls, renamed = list[_Call](), dict[int, _Call](), list[tuple[int, int, int]]()
    for number, task, text in _number(lines):
        if superseded := _SUPERSEDED.match(text):
            renamed.append((number, int(superseded[1]), task))
        elif resumed := _RESUMED.match(text):
            call = open_calls.pop(task, None)
            if call and call.name == resumed[1]:
                _complete(call, number, resumed[2])
        elif match := _CALL.match(text):
            call = _Call(task, match[1], number, match[2])
            calls.append(call)
            if text.endswith("<unfinished ...>"):
                open_calls[task] = call
            else:
                _complete(call, number, match[2])
    return calls, renamed


def _number(lines: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    for number, line in enumerate(lines, 1):
        if match := _LINE.match(line.rstrip("\n")):
            yield number, int(match[1]), match[2]


def _complete(call: _Call, number: int, text: str) -> None:
    call.end, call.text = number, call.text + text
    if result := _RESULT.search(text):
        call.result, call.error = result[1], result[2] or ""
    if translated := _TRANSLATED.search(text):
        call.result = translated[1]


def _find_tasks(calls: list[_Call], renamed: list[tuple[int, int, int]]) -> dict[int, _Task]:
    tasks: dict[int, _Task] = {}
    for call in calls:
        if call.name in _CLONES and call.result.isdigit() and call.result != "0":
            tasks[int(call.result)] = _Task(call.task, call.start, "CLONE_THREAD" in call.text)
    for call in calls:
        sets = call.name == "seccomp" and call.text.startswith("SECCOMP_SET_MODE_FILTER")
        sets = sets or (call.name == "prctl" and call.text.startswith("PR_SET_SECCOMP"))
        if sets and call.result.isdigit():
            process = _find_process(tasks, call.task)
            alike = [task for task in tasks if _find_process(tasks, task) == process] if "TSYNC" in call.text else []
            for task in {call.task, *alike}:
                entry = tasks.setdefault(task, _Task())
                entry.filtered = entry.filtered or call.end
    for number, old, new in renamed:
        if old in tasks and (since := _find_filter(tasks, old, number)):
            tasks.setdefault(new, _Task()).filtered = since
    return tasks


def _find_process(tasks: dict[int, _Task], task: int) -> int:
    while task in tasks and tasks[task].thread:
        task = tasks[task].parent
    return task


def _find_filter(tasks: dict[int, _Task], task: int, line: int) -> int:
    """Return the line since which a task has a filter at this line, its own or that of the task that made it; 0 without one."""
    entry = tasks.get(task)
    if entry is None or (entry.filtered and entry.filtered <= line):
        return entry.filtered if entry else 0
    inherited = _find_filter(tasks, entry.parent, entry.born) if entry.parent else 0
    return max(inherited, entry.born) if inherited else 0
