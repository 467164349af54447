# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import subprocess

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import dump


def test_filters_are_restored_from_text() -> None:
    raw = [b"\x20\0\0\0\0\0\0\0" * 900, b"\x06\0\0\0\0\0\xff\x7f"]
    assert dump.decode_filters(dump.encode_filters(raw)) == raw


@pytest.mark.parametrize("text", ["!", "AAAA"])
def test_damaged_text_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        dump.decode_filters([text])


def test_process_does_not_exist() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(dump.DumpError, match="does not exist"):
        dump.read_filters(process.pid)


@pytest.mark.parametrize(
    ("request_", "number", "message"),
    [
        (dump._SEIZE, errno.EPERM, "CAP_SYS_PTRACE is missing.*ptrace_scope is 3"),
        (dump._SEIZE, errno.ESRCH, "ended during the read"),
        (dump._GET_FILTER, errno.EACCES, "CAP_SYS_ADMIN and a reader without a filter"),
        (dump._GET_FILTER, errno.EINVAL, "CONFIG_CHECKPOINT_RESTORE"),
        (dump._INTERRUPT, errno.EIO, "0x4207 on process 7"),
    ],
)
def test_error_messages(request_: int, number: int, message: str) -> None:
    with pytest.raises(OSError, match=message):
        raise dump.DumpError(dump._explain_errno(request_, 7, number))
