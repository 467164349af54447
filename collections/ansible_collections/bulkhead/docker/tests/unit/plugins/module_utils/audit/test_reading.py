# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sources as one, and what is missing in spite of all."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit import gaps, journal, kmsg, logs
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.gather import parse_since
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.reading import CombinedReading, Reading, combine_readings
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from . import samples
from .samples import T, denied


def together(*readings: Reading, since: float = T, auditd: bool = False) -> CombinedReading:
    return combine_readings(readings, since, 10, 5.0, auditd)


def of_journal(*lines: str, begins: float = T - 100, since: float = T, limit: int = 100) -> Reading:
    return journal.read_journal(since, limit, lambda command: iter([samples.entry(begins)] if command[-1].endswith("_BOOT_ID") else lines))


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [gap["kind"] for gap in found]


def line(serial: int, at: float = T) -> str:
    return samples.entry(at, _TRANSPORT="kernel", MESSAGE=samples.kernel(samples.AVC.format(pid=1, profile="p"), serial, at))


def audited(serial: int, at: float = T) -> str:
    return samples.entry(
        at,
        _TRANSPORT="audit",
        MESSAGE="AVC " + samples.AVC.format(pid=1, profile="p"),
        _AUDIT_TYPE="1400",
        _AUDIT_ID=str(serial),
        _SOURCE_REALTIME_TIMESTAMP=str(int(at * 1e6)),
    )


def test_each_message_once() -> None:
    found = together(of_journal(line(1), audited(1), line(2), audited(2)), Reading("/dev/kmsg", [denied(2, T - 50)], begins=T - 60))
    assert [message.serial for message in found.messages] == [1, 2]
    assert found.gaps == []


def test_numbers_that_are_nowhere_are_missing() -> None:
    found = together(of_journal(line(1, T + 1), line(2, T + 1), line(5, T + 3), line(9, T + 4)))
    (gap,) = found.gaps
    assert (gap["kind"], gap["lost"], gap["from"], gap["to"]) == (gaps.SERIALS, 5, T + 1, T + 4)
    assert "3 to 4, 6 to 8" in gap["text"]


def test_another_boot_counts_anew_and_lacks_nothing() -> None:
    found = together(of_journal(line(5000), line(5001), samples.entry(T + 9, _TRANSPORT="kernel", MESSAGE=samples.kernel("x", 3, T + 9))))
    assert found.gaps == []


def test_a_little_disorder_is_no_gap() -> None:
    assert together(of_journal(line(2), line(1), line(4), line(3))).gaps == []


SUPPRESSED = samples.entry(T + 2, _TRANSPORT="kernel", MESSAGE="kauditd_printk_skb: 37 callbacks suppressed")


def test_the_kernel_says_that_it_left_some_out() -> None:
    found = together(of_journal(line(1), SUPPRESSED, line(39, T + 2)))
    assert kinds(found.gaps) == [gaps.SERIALS, gaps.RATE_LIMITED]
    assert [gap["lost"] for gap in found.gaps] == [37, 37]


def test_messages_of_the_audit_socket_close_gaps_of_the_log() -> None:
    assert together(of_journal(line(1), audited(1), audited(2), SUPPRESSED, audited(3))).gaps == []


def test_the_socket_overran_as_well() -> None:
    assert gaps.SERIALS in kinds(together(of_journal(audited(1), SUPPRESSED, audited(9))).gaps)


def test_a_full_burst_at_the_end_may_hide_more() -> None:
    burst = [line(number, T + number / 10) for number in range(1, 11)]
    found = together(of_journal(*burst))
    assert kinds(found.gaps) == [gaps.RATE_LIMITED] and found.gaps[0]["lost"] is None
    assert together(of_journal(*burst[:9])).gaps == []
    assert together(of_journal(*burst, line(11, T + 60))).gaps == [], "the kernel would have said so by then"
    assert together(of_journal(*[audited(number, T + number / 10) for number in range(1, 11)])).gaps == []


def test_a_log_that_begins_too_late() -> None:
    found = together(of_journal(line(1, T + 60), begins=T + 50))
    assert kinds(found.gaps) == [gaps.BEGINS]
    assert (found.gaps[0]["from"], found.gaps[0]["to"]) == (T, T + 50)
    older = Reading("/dev/kmsg", [denied(1, T + 60)], begins=T - 5, kernel=True)
    assert together(of_journal(line(1, T + 60), begins=T + 50), older).gaps == [], "the buffer reaches back far enough"


def test_a_journal_without_messages_shows_nothing_under_auditd() -> None:
    quiet = of_journal(samples.entry(T, _TRANSPORT="kernel", MESSAGE="eth0: link up"))
    log = Reading("auditd", [denied(1, T + 60)], [gaps.build_gap(gaps.BEGINS, "auditd", "late", T, T + 60)], T + 60, True)
    assert kinds(together(quiet, log, auditd=True).gaps) == [gaps.BEGINS]
    assert together(quiet, auditd=False).gaps == []


def test_messages_that_journald_missed_are_a_gap() -> None:
    missed = samples.entry(T, _TRANSPORT="driver", MESSAGE="Missed 12 kernel messages", MESSAGE_ID="e9bf28e6e834481bb6f48f548ad13606")
    assert kinds(together(of_journal(line(1), missed)).gaps) == [gaps.MISSED]


def test_more_than_may_be_looked_through() -> None:
    reading = of_journal(*(line(number) for number in range(1, 6)), limit=3)
    assert [message.serial for message in reading.messages] == [1, 2, 3]
    assert kinds(reading.gaps) == [gaps.CUT]


def test_a_journal_that_can_not_be_read() -> None:
    def refuse(command: list[str]) -> Iterator[str]:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "journalctl")

    reading = journal.read_journal(T, 10, refuse)
    assert kinds(reading.gaps) == [gaps.UNREADABLE]
    assert "journalctl" in reading.gaps[0]["text"]
    with pytest.raises(OSError, match="exit code 3"):
        list(journal.run_journalctl(["sh", "-c", "exit 3"]))
    noisy = "yes eee | head -c 1000000 >&2; echo line; exit 3"
    found = journal.run_journalctl(["sh", "-c", noisy])
    assert next(found) == "line\n", "more messages than fit into a pipe"
    with pytest.raises(OSError, match="journalctl: eee"):
        next(found)
    assert next(journal.run_journalctl(["yes"])) == "y\n", "who wants one line does not wait for the rest"


def test_scopes_and_text_that_is_bytes() -> None:
    scope = samples.entry(T + 1, UNIT=f"docker-{'a' * 64}.scope", MESSAGE_ID="39f53479d3a045ac8e11786248231fbf", _TRANSPORT="journal")
    odd = samples.entry(T, _TRANSPORT="kernel", MESSAGE=list(samples.kernel('apparmor="DENIED" name="\xff"', 1).encode()))
    reading = of_journal(scope, odd)
    assert reading.scopes == [("a" * 64, True, T + 1)]
    assert len(reading.messages) == 1


def record(number: int, seconds: float, text: str) -> str:
    return f"5,{number},{int(seconds * 1e6)},-;{text}\n SUBSYSTEM=x\n"


def test_the_kernels_buffer() -> None:
    epoch = T - 100
    found = [
        record(4, 10, "old"),
        record(5, 110, samples.kernel("x", 1, T + 10)),
        record(9, 120, "kauditd_printk_skb: 2 callbacks suppressed"),
    ]
    reading = kmsg.parse_records(found, T, epoch)
    assert [message.serial for message in reading.messages] == [1]
    assert reading.begins == T - 90
    assert [(gap["kind"], gap["lost"]) for gap in reading.gaps] == [(gaps.MISSED, 3), (gaps.RATE_LIMITED, 2)]
    late = kmsg.parse_records([record(7, 150, "x")], T, epoch)
    assert kinds(late.gaps) == [gaps.BEGINS] and "overwritten" in late.gaps[0]["text"]
    booted = kmsg.parse_records([record(0, 150, "x")], T, epoch)
    assert "boot" in booted.gaps[0]["text"]
    assert kinds(kmsg.read_kmsg(T, "/nowhere/kmsg").gaps) == [gaps.UNREADABLE]


def audit_log(folder: Path, files: dict[str, list[tuple[int, float]]], config: str = "") -> Host:
    place = folder / "var/log/audit"
    place.mkdir(parents=True)
    for name, messages in files.items():
        text = "".join(f"type=AVC msg=audit({at:.3f}:{serial}): {samples.AVC.format(pid=1, profile='p')}\n" for serial, at in messages)
        (place / name).write_text(text + "garbage\n")
    (folder / "etc/audit").mkdir(parents=True)
    (folder / "etc/audit/auditd.conf").write_text(config)
    return Host(folder)


def test_auditds_log_with_its_rotated_files(tmp_path: Path) -> None:
    host = audit_log(
        tmp_path, {"audit.log.2": [(1, T - 90)], "audit.log.1": [(2, T - 10), (3, T + 1)], "audit.log": [(4, T + 2)], "other": []}
    )
    reading = logs.read_auditd_log(host, T, 100)
    assert [message.serial for message in reading.messages] == [3, 4]
    assert reading.gaps == [] and reading.unlimited
    assert kinds(logs.read_auditd_log(host, T, 2).gaps) == [gaps.CUT]
    assert kinds(logs.read_auditd_log(host, T - 100, 100).gaps) == [gaps.BEGINS]


def test_auditds_log_is_read_from_the_configured_path(tmp_path: Path) -> None:
    host = audit_log(tmp_path, {"mine.log": [(1, T + 1)]}, "log_format = ENRICHED\nlog_file = /var/log/audit/mine.log\n")
    assert [message.serial for message in logs.read_auditd_log(host, T, 100).messages] == [1]
    nowhere = logs.read_auditd_log(Host(tmp_path / "nowhere"), T, 100)
    assert (nowhere.messages, nowhere.gaps) == ([], [])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15m", T - 900), ("1.5h", T - 5400), ("7d", T - 604800), (str(T - 1), T - 1), ("2025-11-24T15:00:00Z", 1763996400)],
)
def test_moments(text: str, seconds: float) -> None:
    assert parse_since(text, T) == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [("yesterday", "is not a time; write an age such as"), (str(T + 9), "in the future"), ("-5", "before 1970"), ("", "is not a time")],
)
def test_invalid_times_are_rejected(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_since(text, T)
