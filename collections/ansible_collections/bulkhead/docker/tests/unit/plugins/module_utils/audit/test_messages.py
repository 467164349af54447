# SPDX-License-Identifier: GPL-3.0-or-later
"""One message, wherever it was written down."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit import netlink, status
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.messages import (
    parse_auditd_line,
    parse_fields,
    parse_journal_entry,
    parse_kernel_line,
)

from . import samples


def test_a_datagram_is_one_message() -> None:
    text = samples.kernel("x", 1).removeprefix("audit: type=1400 ").encode() + b"\0"
    raw = struct.pack("=IHHII", 16 + len(text), 1400, 0, 0, 0) + text
    assert netlink.parse_datagram(raw) == [(1400, text.decode().strip("\0"))]
    assert netlink.parse_datagram(b"short") == []


def test_the_same_record_is_the_same_out_of_every_source() -> None:
    text = samples.AVC.format(pid=1, profile="docker-default")
    log = parse_kernel_line(samples.kernel(text, 7, samples.T + 0.123))
    journal = parse_journal_entry(1400, 7, int((samples.T + 0.123) * 1e6), f"AVC {text}", samples.BOOT)
    file = parse_auditd_line(f'type=AVC msg=audit({samples.T + 0.123:.3f}:7): {text}\x1dARCH=x86_64 AUID="unset"\n')
    assert log and file
    assert log.key == journal.key == file.key
    assert journal.fields["operation"] == "open"


def test_records_of_other_types_only_count() -> None:
    other = parse_kernel_line(samples.kernel("op=set", 8, kind=1305))
    assert other and (other.kind, other.serial, other.text) == (0, 8, "")
    assert parse_kernel_line("audit: initializing netlink subsys (disabled)") is None
    assert parse_kernel_line("eth0: link up") is None
    unknown = parse_auditd_line(f"type=UNKNOWN[1420] msg=audit({samples.T:.3f}:9): subj=x")
    assert unknown and unknown.kind == 0
    assert parse_auditd_line("no record at all") is None
    assert parse_auditd_line(f"type=DAEMON_START msg=audit({samples.T:.3f}:7655): op=start") is None  # auditd's own number


def test_what_a_process_chose_is_decoded_from_hex() -> None:
    fields = parse_fields('comm=612022 name="/x" profile="p" exe=2F746D702F61C3A4 requested_mask="w" denied_mask="AB"')
    assert fields["comm"] == 'a "'
    assert fields["exe"] == "/tmp/aä"
    assert fields["denied_mask"] == "AB"


def test_the_kernels_status() -> None:
    body = struct.pack("=10I", 0, 1, 1, 321, 0, 64, 5, 0, 7, 0)
    parsed = status.parse_audit_status(struct.pack("=IHHII", 16 + len(body), 1000, 0, 1, 0) + body)
    assert (parsed["enabled"], parsed["auditd_pid"], parsed["lost"]) == (1, 321, 5)
    with pytest.raises(OSError, match="not permitted"):
        status.parse_audit_status(struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -1) + b"\0" * 16)
    with pytest.raises(OSError, match="not an audit status"):
        status.parse_audit_status(b"")


@pytest.mark.parametrize(
    ("apparmor", "actions", "words"),
    [
        ("normal\n", "kill_process kill_thread trap errno trace log\n", []),
        (None, None, []),
        ("quiet\n", None, ["is quiet; write normal"]),
        ("normal", "errno log", ["kill_process, kill_thread"]),
    ],
)
def test_a_kernel_that_is_told_to_be_silent(apparmor: str | None, actions: str | None, words: list[str]) -> None:
    found = status.find_disabled_logging(apparmor, actions)
    assert len(found) == len(words)
    assert all(word in gap["text"] for word, gap in zip(words, found, strict=True))
