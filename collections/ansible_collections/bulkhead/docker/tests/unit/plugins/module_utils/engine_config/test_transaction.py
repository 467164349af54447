# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions are undone as a whole, by this run or the next."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.transaction import Transaction, list_ended, list_open
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

OLD, NEW = "/etc/docker/daemon.json", "/etc/systemd/system/docker-.scope.d/10-x.conf"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "etc/docker").mkdir(parents=True)
    (tmp_path / "etc/docker/daemon.json").write_text("old \udcff", errors="surrogateescape")
    os.chmod(tmp_path / "etc/docker/daemon.json", 0o640)
    os.utime(tmp_path / "etc/docker/daemon.json", (1, 1))
    return Host(tmp_path)


def _changed(host: Host) -> Transaction:
    transaction = Transaction.begin(host, [OLD, NEW], {"running": True})
    transaction.write(OLD, "new")
    transaction.write(NEW, "[Scope]")
    return transaction


def test_files_are_written_and_the_journal_is_open(host: Host) -> None:
    transaction = _changed(host)
    assert (host.read(OLD), host.read(NEW)) == ("new", "[Scope]")
    assert [t.id for t in list_open(host)] == [transaction.id]
    assert transaction.folder.stat().st_mode & 0o777 == 0o700
    assert (transaction.folder / "0").stat().st_mode & 0o777 == 0o600


def test_restore_of_text_mode_and_time(host: Host) -> None:
    transaction = _changed(host)
    assert transaction.restore() == [OLD, NEW]
    transaction.mark_undone()
    status = host.path(OLD).stat()
    assert (host.read(OLD), status.st_mode & 0o777, status.st_mtime) == ("old \udcff", 0o640, 1)
    assert not host.path("/etc/systemd").exists()
    assert list_open(host) == []


def test_next_run_can_undo(host: Host) -> None:
    _changed(host).record_step("restart")
    (again,) = list_open(host)
    assert again.has_step("restart") and not again.has_step("daemon-reload")
    assert again.journal["facts"] == {"running": True}
    again.restore()
    assert host.read(OLD) == "old \udcff" and host.read(NEW) is None


def test_restoring_twice_changes_nothing(host: Host) -> None:
    transaction = _changed(host)
    transaction.restore()
    assert transaction.restore() == []


def test_edited_file_is_copied_with_mode_and_owner(host: Host) -> None:
    transaction = _changed(host)
    assert transaction.list_edited() == [] and transaction.copy_edited() == {}
    host.path(OLD).write_text("edited")
    os.chmod(host.path(OLD), 0o604)
    host.path(NEW).unlink()
    (again,) = list_open(host)
    assert again.list_edited() == [OLD]
    (copy,) = again.copy_edited().values()
    again.restore()
    again.mark_undone()
    assert (host.read(OLD), copy.read_text(), copy.stat().st_mode & 0o777) == ("old \udcff", "edited", 0o604)
    for _number in range(6):
        Transaction.begin(host, [OLD], {}).commit()
    assert copy.exists()


def test_edited_file_that_was_not_written_is_copied(host: Host) -> None:
    Transaction.begin(host, [OLD, NEW], {})
    host.path(OLD).write_text("edited")
    (again,) = list_open(host)
    assert [copy.read_text() for copy in again.copy_edited().values()] == ["edited"]


def test_committed_change_is_not_open(host: Host) -> None:
    _changed(host).commit()
    assert list_open(host) == []
    assert host.read(OLD) == "new"


def test_removing_a_drop_in_removes_its_empty_folder(host: Host) -> None:
    _changed(host).commit()
    transaction = Transaction.begin(host, [NEW], {})
    transaction.remove(NEW)
    assert not host.path(NEW).parent.exists()
    transaction.restore()
    assert host.read(NEW) == "[Scope]"


def test_symbolic_link_stays_a_link(host: Host) -> None:
    host.path("/etc/real.json").write_text("old")
    host.path("/etc/link.json").symlink_to("real.json")
    transaction = Transaction.begin(host, ["/etc/link.json"], {})
    transaction.write("/etc/link.json", "new")
    assert host.path("/etc/link.json").is_symlink() and host.read("/etc/real.json") == "new"
    transaction.restore()
    assert host.path("/etc/link.json").is_symlink() and host.read("/etc/real.json") == "old"


def test_file_outside_of_the_transaction_is_not_written(host: Host) -> None:
    transaction = Transaction.begin(host, [OLD], {})
    with pytest.raises(ValueError, match="was not part of the transaction"):
        transaction.write(NEW, "x")


def test_truncated_journal_is_ignored(host: Host) -> None:
    transaction = _changed(host)
    (transaction.folder / "journal.json").write_text("{")
    assert list_open(host) == []


def test_last_five_transactions_are_kept(host: Host) -> None:
    for number in range(8):
        transaction = Transaction.begin(host, [OLD], {})
        transaction.write(OLD, str(number))
        transaction.commit()
    folders = sorted((host.root / "var/lib/bulkhead/transactions").iterdir())
    assert len(folders) == 5
    assert (folders[-1] / "0").read_text() == "6"
    assert json.loads((folders[0] / "journal.json").read_text())["state"] == "committed"


def test_order_with_a_clock_that_is_set_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for moment in (1e9, 1e9, 5e8, 5e8 + 1, 2e9):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        transaction = Transaction.begin(host, [], {})
        transaction.commit()
        names.append(transaction.id)
    assert [t.id for t in list_ended(host)] == names[::-1]
    assert len(set(names)) == 5
