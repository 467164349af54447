# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that did not run is explained by the last line of what Python wrote."""

from __future__ import annotations

from types import SimpleNamespace

from ansible_collections.bulkhead.docker.plugins.plugin_utils.module_failure import add_reason

TRACE = "Traceback (most recent call last):\n  File x\nImportError: cannot import name 'Self' from 'typing'\n"
MESSAGE = (
    "the module did not run: ImportError: cannot import name 'Self' from 'typing'. "
    "Bulkhead needs Python 3.11 or later on the host; set ansible_python_interpreter"
)


def test_an_old_python_is_named() -> None:
    summary = SimpleNamespace(event=SimpleNamespace(formatted_traceback=TRACE))
    assert add_reason({"failed": True, "exception": summary})["msg"] == MESSAGE
    unread = {"failed": True, "msg": "Module result deserialization failed", "module_stderr": TRACE, "rc": 1}
    assert add_reason(unread) == {**unread, "msg": MESSAGE}


def test_other_ends_have_their_own_last_line() -> None:
    killed = {"failed": True, "msg": "Module result deserialization failed", "module_stderr": "Killed\n"}
    assert add_reason(killed)["msg"] == "the module did not run: Killed"
    silent = {"failed": True, "msg": "No start of json char found", "module_stderr": ""}
    assert add_reason(silent)["msg"] == "the module did not run: No start of json char found"
    assert add_reason({"failed": True})["msg"] == "the module did not run: it printed nothing"


def test_the_modules_own_message_stays() -> None:
    for answer in ({"failed": True, "msg": "no engine"}, {"failed": False}, {"unreachable": True, "msg": "no route"}):
        assert add_reason(answer) == answer
