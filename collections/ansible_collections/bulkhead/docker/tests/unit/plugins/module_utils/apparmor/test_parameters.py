# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of a profile's parameters: what is accepted, and the messages for the rest."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import names, parameters


@pytest.mark.parametrize("name", ["web", "bulkhead-web", "A.b_c-1", "x" * 64])
def test_good_names(name: str) -> None:
    assert names.describe_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is not a valid profile name"),
        (None, "is not a valid profile name"),
        ("/usr/bin/nginx", "is not a valid profile name"),
        ("../x", "is not a valid profile name"),
        (".hidden", "is not a valid profile name"),
        ("1web", "is not a valid profile name"),
        ("a b", "is not a valid profile name"),
        ("a//b", "is not a valid profile name"),
        ("web\n", "is not a valid profile name"),
        ("x" * 65, "64 at most"),
        ("docker-default", "such as 'my-docker-default'"),
        ("runc", "is used by the system"),
        ("abstractions", "is used by the system"),
        ("web.dpkg-old", "'.dpkg-old'"),
        ("web.orig", "at boot"),
    ],
)
def test_bad_names(name: object, message: str) -> None:
    assert message in str(names.describe_name_problem(name))


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/etc/passwd",
        "/srv/**",
        "/a{b,c}/*",
        "/a{,b{c,d}}",
        "/[a-z]?",
        "/[^a,b]",
        "@{PROC}/@{pid}/status",
        "/été",
        "/a:b=c~d%e!f",
        "/*",
    ],
)
def test_good_paths(path: str) -> None:
    assert parameters.describe_path_problem(path) is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "write an absolute path"),
        (None, "write an absolute path"),
        (7, "write an absolute path"),
        ("srv/data", "write it with a leading /"),
        ("@PROC/x", "write it with a leading /"),
        ("/a b", "write ? instead"),
        ('/a"b', "write ? instead"),
        ("/a\n  capability sys_admin,", "write ? instead"),
        ("/a#b", "write ? instead"),
        ("/a\\b", "write ? instead"),
        ("/a\x00", "write ? instead"),
        ("/a rw, /b", "write ? instead"),
        ("/a,/b", "one list entry per path"),
        ("/a{b,c},", "one list entry per path"),
        ("/a{b", "do not match"),
        ("/a}b{", "do not match"),
        ("/a[b", "do not match"),
        ("/a/../b", "without '//', '.' and '..'"),
        ("/a//b", "without '//', '.' and '..'"),
        ("/./b", "without '//', '.' and '..'"),
    ],
)
def test_bad_paths(path: object, message: str) -> None:
    assert message in str(parameters.describe_path_problem(path))


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("net_raw", "net_raw"),
        ("NET_RAW", "net_raw"),
        ("CAP_NET_RAW", "net_raw"),
        ("net_rwa", None),
        ("", None),
        (5, None),
        ("net_raw,", None),
    ],
)
def test_capability(given: object, plain: str | None) -> None:
    assert parameters.normalize_capability(given) == plain


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("inet", None),
        ("inet6  stream", None),
        ("netlink raw", None),
        ("", "write a family"),
        (None, "write a family"),
        ("inet stream tcp", "write a family"),
        ("ipv4", "'ipv4' is not a network family"),
        ("inet tcp", "'tcp' is not a socket type"),
        ("inet,", "'inet,' is not a network family"),
    ],
)
def test_networks(value: object, message: str | None) -> None:
    problem = parameters.describe_network_problem(value)
    assert problem is None if message is None else message in str(problem)


@pytest.mark.parametrize(
    ("value", "good"), [("r", True), ("rwklmx", True), ("", False), ("ra", False), ("ww", False), ("r,", False), (None, False)]
)
def test_access(value: object, good: bool) -> None:
    assert (parameters.describe_access_problem(value) is None) is good


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mount fstype=tmpfs -> /scratch/,", None),
        ("include <abstractions/nameservice>", None),
        ("/a{b,c} r,", None),
        ("", "is not a rule"),
        (None, "is not a rule"),
        ("/a r,\n/b w,", "one list entry per rule"),
        ("#include <abstractions/base>", "write 'include <…>'"),
        ("} profile evil {", "which would end or extend"),
        ("profile child {", "which would end or extend"),
    ],
)
def test_rules(value: object, message: str | None) -> None:
    problem = parameters.describe_rule_problem(value)
    assert problem is None if message is None else message in str(problem)
