# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import files, state
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.subid import apply
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.allocate import RangeRequest
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.apply import SubidError, SubidOutcome, apply_ranges
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.decide import UserRequest

PASSWD = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n"
GROUP = "root:x:0:\nalice:x:1000:\nnogroup:x:65534:\n"
UNMANAGED = "# by hand\r\nalice:100000:65536"
DOCKREMAP = UserRequest(RangeRequest("dockremap"), "dockremap", create=True)
GONE = UserRequest(RangeRequest("dockremap"), present=False)


class Tools:
    """Stands for useradd and its kin."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.ran: list[str] = []
        self.between: Callable[[], None] = lambda: None

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        self.ran.append(" ".join(command))
        passwd = self.host.path("/etc/passwd")
        name = command[-1]
        if command[0] == "useradd":
            passwd.write_text(passwd.read_text() + f"{name}:x:105:110::/nonexistent:/usr/sbin/nologin\n")
            self.between()
        elif command[0] == "groupadd":
            group = self.host.path("/etc/group")
            group.write_text(group.read_text() + f"{name}:x:110:\n")
        elif command[0] == "userdel":
            passwd.write_text("".join(row for row in passwd.read_text().splitlines(True) if not row.startswith(name)))
        return 0, "", ""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for folder in ("etc", "proc", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    for name, text in (("passwd", PASSWD), ("group", GROUP), ("subuid", UNMANAGED), ("subgid", UNMANAGED)):
        (tmp_path / "etc" / name).write_bytes(text.encode())
    return Host(tmp_path)


@pytest.fixture
def tools(host: Host) -> Tools:
    return Tools(host)


def content(host: Host, name: str) -> str:
    return host.path(f"/etc/{name}").read_bytes().decode()


def run(host: Host, tools: Tools, *requests: UserRequest, check: bool = False) -> SubidOutcome:
    return apply_ranges(host, requests or (DOCKREMAP,), "userns", check, tools)


def everything(host: Host) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(host.root.rglob("*")) if path.is_file()}


def test_first_run_second_run_and_back(host: Host, tools: Tools) -> None:
    before = everything(host)
    planned = run(host, tools, check=True)
    assert everything(host) == before
    assert planned.changed
    assert tools.ran == []

    host.path("/etc/subuid").chmod(0o640)
    done = run(host, tools)
    assert done.changed
    assert done.diff == planned.diff
    assert done.ranges == [{"user": "dockremap", "uid": 105, "subuid": [[231072, 65536]], "subgid": [[231072, 65536]]}]
    assert tools.ran[0] == "groupadd --system dockremap"
    assert tools.ran[1].startswith("useradd --system --gid dockremap --no-create-home")
    assert content(host, "subuid") == content(host, "subgid") == UNMANAGED + "\ndockremap:231072:65536\n"
    assert content(host, "subuid-") == content(host, "subgid-") == UNMANAGED
    assert host.path("/etc/subuid").stat().st_mode & 0o777 == 0o640
    assert host.path("/etc/subuid-").stat().st_mode & 0o777 == 0o640

    after = everything(host)
    again = run(host, tools)
    assert not again.changed
    assert again.diff == []
    assert everything(host) == after

    removed = run(host, tools, GONE)
    assert removed.changed
    assert tools.ran[-1] == "userdel dockremap"
    assert [entry["before_header"] for entry in removed.diff] == ["/etc/passwd", "/etc/subuid", "/etc/subgid"]
    assert content(host, "subuid") == content(host, "subgid") == UNMANAGED + "\n"
    assert state.load(host, "userns") == {}
    assert not run(host, tools, GONE).changed


def test_missing_files_are_created(host: Host, tools: Tools) -> None:
    host.path("/etc/subuid").unlink()
    host.path("/etc/subgid").unlink()
    run(host, tools)
    assert content(host, "subuid") == "dockremap:231072:65536\n"
    assert host.path("/etc/subuid").stat().st_mode & 0o777 == 0o644
    assert not host.path("/etc/subuid-").exists()


def test_the_backup_keeps_the_time(host: Host, tools: Tools) -> None:
    os.utime(host.path("/etc/subuid"), (1000, 2000))
    run(host, tools)
    assert host.path("/etc/subuid-").stat().st_mtime == 2000


def test_existing_user_is_unmanaged(host: Host, tools: Tools) -> None:
    host.path("/etc/passwd").write_text(PASSWD + "dockremap:x:105:110::/:/bin/false\n")
    run(host, tools)
    run(host, tools, GONE)
    assert not any(command.startswith("user") for command in tools.ran)
    assert content(host, "subuid") == UNMANAGED + "\n"


def test_existing_lines_are_unmanaged(host: Host, tools: Tools) -> None:
    text = UNMANAGED + "\ndockremap:300000:65536\n"
    for name in ("subuid", "subgid"):
        host.path(f"/etc/{name}").write_bytes(text.encode())
    run(host, tools)
    assert content(host, "subuid") == text
    removed = run(host, tools, GONE)
    assert content(host, "subuid") == text
    assert removed.notes == ["the user dockremap is kept: it has subordinate ranges that others gave it, which userdel would remove"]
    assert "userdel dockremap" not in tools.ran


def test_not_removed_while_in_use(host: Host, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    run(host, tools)
    (host.root / "proc/4711").mkdir()
    real = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        found = real(path, **options)
        return os.stat_result((*found[:4], 231105, *found[5:])) if path.name == "4711" else found

    monkeypatch.setattr(Path, "stat", stat)
    before = everything(host)
    with pytest.raises(SubidError, match="process 4711 runs with the ID 231105 of a range of dockremap"):
        run(host, tools, GONE)
    assert everything(host) == before


def test_decision_is_repeated_under_locks(host: Host, tools: Tools) -> None:
    """Another program takes the range between the observation and the lock."""
    tools.between = lambda: host.path("/etc/subuid").write_text("bob:231072:65536\n") and None
    done = run(host, tools)
    assert content(host, "subuid") == "bob:231072:65536\ndockremap:296608:65536\n"
    assert content(host, "subgid") == UNMANAGED + "\ndockremap:296608:65536\n"
    assert any("296608" in note for note in done.notes)


def test_both_files_or_none(host: Host, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, text: str, *args: object) -> None:
        if path.name == "subgid":
            raise OSError(28, "No space left on device", str(path))
        files.write_atomically(path, text)

    monkeypatch.setattr(apply, "write_atomically", write)
    with pytest.raises(OSError, match="No space left"):
        run(host, tools)
    assert content(host, "subuid") == content(host, "subgid") == UNMANAGED
    assert not host.path("/etc/subuid.lock").exists()


def test_two_users_get_different_ranges(host: Host, tools: Tools) -> None:
    host.path("/etc/passwd").write_text(PASSWD + "bob:x:1001:1001::/home/bob:/bin/bash\n")
    done = run(host, tools, UserRequest(RangeRequest("bob")), UserRequest(RangeRequest("alice", 400000)))
    assert [entry["subuid"] for entry in done.ranges] == [[[231072, 65536]], [[100000, 65536]]]
    done = run(host, tools, UserRequest(RangeRequest("bob")), UserRequest(RangeRequest("dockremap"), create=True))
    assert done.ranges[1]["subuid"] == [[296608, 65536]]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (UserRequest(RangeRequest("carol")), "the user carol does not exist on this host"),
        (UserRequest(RangeRequest("dockremap", 100000, 10, exact=True), create=True), "cannot be allocated to dockremap: /etc/subuid:2"),
    ],
)
def test_error_before_any_change(host: Host, tools: Tools, request_: UserRequest, message: str) -> None:
    before = everything(host)
    with pytest.raises(SubidError, match=message):
        run(host, tools, request_)
    assert everything(host) == before
    assert tools.ran == []


def test_failing_tool_is_quoted(host: Host) -> None:
    with pytest.raises(SubidError, match="groupadd --system dockremap failed: cannot lock /etc/group"):
        apply_ranges(host, [DOCKREMAP], "userns", False, lambda command: (10, "", "cannot lock /etc/group; try again later.\n"))
    assert content(host, "subuid") == UNMANAGED


def test_exact_request_replaces_managed_range(host: Host, tools: Tools) -> None:
    run(host, tools)
    exact = UserRequest(RangeRequest("dockremap", 300000, 65536, exact=True), "dockremap", create=True)
    assert run(host, tools, exact).changed
    assert content(host, "subuid") == UNMANAGED + "\ndockremap:300000:65536\n"
    assert not run(host, tools, exact).changed
    run(host, tools, GONE)
    assert content(host, "subuid") == UNMANAGED + "\n"


def test_failed_user_removal_is_retried(host: Host, tools: Tools) -> None:
    run(host, tools)
    with pytest.raises(SubidError, match="userdel dockremap failed"):
        apply_ranges(host, [GONE], "userns", False, lambda command: (8, "", "user dockremap is currently used"))
    assert content(host, "subuid") == UNMANAGED + "\n"
    assert state.load(host, "userns") == {"users": {"dockremap": {"user": True}}}
    assert run(host, tools, GONE).changed
    assert "dockremap" not in content(host, "passwd")
    assert state.load(host, "userns") == {}
