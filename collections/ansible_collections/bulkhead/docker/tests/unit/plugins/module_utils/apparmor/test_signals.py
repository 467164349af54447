# SPDX-License-Identifier: GPL-3.0-or-later
"""Which profiles keep a container from being stopped, on hosts whose runtimes have different labels."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import desired, signals

KILLED, STUCK = "`docker stop` waits until its timeout and ends in SIGKILL (exit code 137)", "neither `docker stop` nor `docker kill`"
IGNORED = "a container that ignores SIGTERM is not stopped"
# Loaded profiles. Debian 12 has none for runtimes; Debian 13 and Ubuntu 24.04 have several.
OLD, NEW = ["docker-default"], ["docker-default", "runc", "crun", "rootlesskit"]


def describe(rules: str, modes: list[str], runtime: str = "runc", rootless: bool = False) -> str | None:
    text = f"include <tunables/global>\n@{{kinds}} = runc\n@{{kinds}} += unconfined\nprofile mine {{\n  {rules}\n}}\n"
    return signals.describe_stopping(signals.read_signal_policy(text, "mine"), *signals.list_labels(modes, runtime, rootless))


@pytest.mark.parametrize(
    "rules",
    [
        "signal,",
        "all,",
        "signal receive,",
        "signal (receive) ,",
        "signal (send,receive) peer=**,",
        "signal rw,",
        "audit allow signal (send receive) set=(kill, term) peer={unconfined,runc},",
        "signal (receive) set=kill,\n  signal (receive) set=term,",
        "signal (receive) peer=unconfined,\n  signal (receive) peer=runc,",
        'signal (receive)\n    peer="{runc,unconfined}",',
        "signal (receive) peer=@{kinds},",
        "signal (receive) peer=@{of_an_included_file},",
        "signal (receive) peer={r?nc,[t-v]nconfined},",
        "allow { signal, }",
        "if $x { signal, } else { file, }",
        "deny signal (send), signal (receive),",
        "deny signal set=(hup), signal,",
        "deny signal peer=cupsd, signal,",
        "priority=1 signal, deny signal,",
        "include <abstractions/base>\n  signal (receive) peer=runc,",
    ],
)
@pytest.mark.parametrize("modes", [OLD, NEW])
def test_good_rules_need_no_warning(rules: str, modes: list[str]) -> None:
    assert describe(rules, modes) is None


@pytest.mark.parametrize(
    ("rules", "old", "new"),
    [
        ("file,", STUCK, STUCK),
        ("# signal,", STUCK, STUCK),
        ("signal (send),", STUCK, STUCK),
        ("signal (send) peer=runc,", STUCK, STUCK),
        ("deny signal, signal,", STUCK, STUCK),
        ("signal, deny { signal (receive) peer=*, }", STUCK, STUCK),
        ("profile child { signal, }", STUCK, STUCK),
        ("signal peer=@{profile_name},", STUCK, STUCK),
        ("signal peer=mine,", STUCK, STUCK),
        ("signal (receive) set=(hup),", STUCK, STUCK),
        ("signal (receive) set=(exists),", STUCK, STUCK),
        ("signal (receive) set=(term),", IGNORED, IGNORED),
        ("signal (receive) set=(quit, kill),", KILLED, KILLED),
        ("deny signal (receive) set=term, signal,", KILLED, KILLED),
        ("signal (receive) peer=unconfined,", None, KILLED),
        ("include <abstractions/base>", None, KILLED),
        ("signal (receive) peer=runc,", STUCK, None),
        ("signal (receive) peer=/usr/sbin/runc,", STUCK, STUCK),
        ("signal (receive) peer=crun,", STUCK, STUCK),
        ("priority=1 deny signal, signal,", STUCK, STUCK),
    ],
)
def test_rules_that_keep_a_container_running(rules: str, old: str | None, new: str | None) -> None:
    for modes, expected in ((OLD, old), (NEW, new)):
        found = describe(rules, modes)
        assert (found is None) if expected is None else (found and expected in found), modes


@pytest.mark.parametrize(
    ("modes", "runtime", "rootless", "labels"),
    [
        (OLD, "runc", False, ("unconfined", "unconfined")),
        (NEW, "runc", False, ("runc", "unconfined")),
        (NEW, "/usr/bin/crun", False, ("crun", "unconfined")),
        (["/usr/sbin/runc"], "runc", False, ("/usr/sbin/runc", "unconfined")),
        (NEW, "/usr/local/libexec/bulkhead/rootless/runc", True, ("runc", "rootlesskit")),
        (["bulkhead-rootlesskit"], "runc", True, ("bulkhead-rootlesskit", "bulkhead-rootlesskit")),
        (["/home/joe/bin/rootlesskit"], "runc", True, ("/home/joe/bin/rootlesskit", "/home/joe/bin/rootlesskit")),
        (OLD, "runc", True, ("unconfined", "unconfined")),
        (NEW, "kata-runtime", False, ("unconfined", "unconfined")),
    ],
)
def test_labels_of_runtimes(modes: list[str], runtime: str, rootless: bool, labels: tuple[str, str]) -> None:
    assert signals.list_labels(modes, runtime, rootless) == labels
    (profile,) = desired.read_apparmor_profiles([{"name": "own", "extends": "web"}]).profiles
    policy = signals.read_signal_policy(profile.content, "own")
    assert signals.describe_stopping(policy, *labels) is None, "our own rule names them all"
    assert policy.is_allowed("usr1", "own") and not policy.is_allowed("term", "cupsd")


def test_an_included_file_may_have_the_rule() -> None:
    found = describe("include if exists <local/mine>\n  include <abstractions/base>", NEW)
    assert found and found.endswith("(exit code 137), unless it includes such a rule (local/mine)")
