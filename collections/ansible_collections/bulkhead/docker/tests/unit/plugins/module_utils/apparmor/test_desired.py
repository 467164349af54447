# SPDX-License-Identifier: GPL-3.0-or-later
"""apparmor_profiles_list: the blockers, each with the place of the entry, and the profiles."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import desired

SOURCE = """\
include <tunables/global>
profile mine flags=(attach_disconnected) {
  include <abstractions/base>
  signal (receive) peer=runc,
}
"""


@pytest.mark.parametrize(
    "text",
    [
        "profile a {\n}\n",
        "  \t profile a {\n}\n",
        "\n\n\tprofile\ta flags=(attach_disconnected) {\n}\n",
        "abi <abi/4.0>, include <tunables/global> profile a {\n}\n",
        'include "/etc/x" profile "a" {\n}\n',
        "profile b {\n} profile a{\n}\n",
        "#include <tunables/global>\n   profile a\n{\n}\n",
    ],
)
def test_profile_is_found_wherever_the_parser_finds_it(text: str) -> None:
    assert desired.read_apparmor_profiles([{"name": "a", "src": "f", "content": text}]).blockers == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("web", "apparmor_profiles_list: 'web' is not a list; write a list of profiles, or [] for none"),
        (None, "apparmor_profiles_list: None is not a list"),
        (["web"], "apparmor_profiles_list[0]: 'web' is not a profile; write a mapping with a name"),
        ([{"extends": "web"}], "apparmor_profiles_list[0].name: is missing; write the name that `--security-opt apparmor=NAME` will use"),
        ([{"name": "a/b", "extends": "web"}], "apparmor_profiles_list[0].name: 'a/b' is not a valid profile name"),
        ([{"name": "docker-default", "extends": "web"}], "apparmor_profiles_list[0].name: 'docker-default' is used by the system"),
        (
            [{"name": "a", "readble": ["/"], "extends": "web"}],
            "apparmor_profiles_list[0].readble: is not a key of a profile; write readable",
        ),
        ([{"name": "a"}], "apparmor_profiles_list[0]: does not say what it allows; write src, extends"),
        (
            [{"name": "a", "extends": "web", "mode": "permissive"}],
            "apparmor_profiles_list[0].mode: 'permissive' is not valid; write enforce or complain",
        ),
        (
            [{"name": "a", "extends": "web", "state": "gone"}],
            "apparmor_profiles_list[0].state: 'gone' is not valid; write present or absent",
        ),
        ([{"name": "a", "extends": "web", "force": "perhaps"}], "apparmor_profiles_list[0].force: 'perhaps' is not a boolean"),
        ([{"name": "a", "extends": "db"}], "apparmor_profiles_list[0].extends: 'db' is not a preset; write one of any, web"),
        ([{"name": "a", "readable": "/srv"}], "apparmor_profiles_list[0].readable: '/srv' is not a list; write [/srv]"),
        (
            [{"name": "a", "readable": ["/", "srv"]}],
            "apparmor_profiles_list[0].readable[1]: 'srv' is not absolute; write it with a leading /",
        ),
        ([{"name": "a", "writable": ["/a,/b"]}], "apparmor_profiles_list[0].writable[0]: '/a,/b' contains ','"),
        ([{"name": "a", "executable": ["/a\nb"]}], "apparmor_profiles_list[0].executable[0]: '/a\\nb' contains '\\n'"),
        ([{"name": "a", "networks": ["inet tcp"]}], "apparmor_profiles_list[0].networks[0]: 'tcp' is not a socket type"),
        (
            [{"name": "a", "capabilities": ["NET_BIND"]}],
            "apparmor_profiles_list[0].capabilities[0]: 'NET_BIND' is not a capability; write net_admin",
        ),
        ([{"name": "a", "capabilities": ["frobnicate"]}], "'frobnicate' is not a capability; see man 7 capabilities"),
        (
            [{"name": "a", "audited_denies": [{"path": "/a", "acces": "w"}]}],
            "apparmor_profiles_list[0].audited_denies[0]: {'path': '/a', 'acces': 'w'}",
        ),
        (
            [{"name": "a", "audited_denies": [{"path": "/a", "access": "rz"}]}],
            "apparmor_profiles_list[0].audited_denies[0]: 'rz' is not an access",
        ),
        ([{"name": "a", "audited_denies": ["a"]}], "apparmor_profiles_list[0].audited_denies[0]: 'a' is not absolute"),
        ([{"name": "a", "rules": ["}"]}], "apparmor_profiles_list[0].rules[0]: '}' has braces that do not match"),
        (
            [{"name": "a", "extends": "web", "description": "x\ny"}],
            "apparmor_profiles_list[0].description: 'x\\ny' is not one line of text",
        ),
        (
            [{"name": "a", "extends": "web"}, {"name": "a", "state": "absent"}],
            "apparmor_profiles_list[1].name: 'a' is also the name of apparmor_profiles_list[0]; write each profile once",
        ),
        (
            [{"name": "a", "src": "a.profile"}],
            "apparmor_profiles_list[0].src: a.profile was not read; write the path of a profile on the control node",
        ),
        ([{"name": "a", "src": ""}], "apparmor_profiles_list[0].src: '' is not a file name"),
        (
            [{"name": "mine", "src": "f", "content": SOURCE, "readable": ["/"]}],
            "apparmor_profiles_list[0].src: cannot be combined with readable; write either a file or the template's parameters",
        ),
        (
            [{"name": "a", "src": "f", "content": SOURCE}],
            "apparmor_profiles_list[0].src: f has no profile 'a'; write 'profile a … {' there",
        ),
        ([{"name": "a", "src": "f", "content": "# profile a {\nprofile b {\n}\n"}], "f has no profile 'a'"),
        (
            [{"name": "mine", "src": "f", "content": SOURCE.replace("attach_disconnected", "complain")}],
            "apparmor_profiles_list[0].mode: f has flags=(complain), which only logs",
        ),
    ],
)
def test_blockers(entries: Any, message: str) -> None:
    found = desired.read_apparmor_profiles(entries)
    assert len(found.blockers) == 1, found.blockers
    assert message in found.blockers[0]
    assert "\n" not in found.blockers[0]


def test_all_faults_are_reported_at_once() -> None:
    found = desired.read_apparmor_profiles([{"name": "a", "readable": ["x", "y"]}, {"name": "b", "extends": "web"}, {"extends": "web"}])
    assert len(found.blockers) == 3
    assert [profile.name for profile in found.profiles] == ["b"]


def test_extends_adds_to_the_preset() -> None:
    (profile,) = desired.read_apparmor_profiles([{"name": "shop", "extends": "web", "writable": ["/srv/uploads"]}]).profiles
    assert "  /srv/uploads{,/,/**} rwkl,\n" in profile.content
    assert "  /tmp{,/,/**} rwkl,\n" in profile.content
    assert (profile.path, profile.mode, profile.state) == ("/etc/apparmor.d/shop", "enforce", "present")


def test_null_keys_are_ignored() -> None:
    entry = {"name": "a", "extends": "web", "src": None, "readable": None, "mode": None, "state": None, "force": None}
    found = desired.read_apparmor_profiles([entry])
    assert (found.blockers, found.profiles[0].mode) == ([], "enforce")


def test_absent_needs_only_a_name() -> None:
    assert desired.read_apparmor_profiles([{"name": "old", "state": "absent"}]).profiles == [desired.AppArmorProfile("old", state="absent")]


def test_source_is_used_unchanged() -> None:
    found = desired.read_apparmor_profiles([{"name": "mine", "src": "f", "content": SOURCE}])
    assert (found.blockers, found.warnings, found.profiles[0].content) == ([], [], SOURCE)


CHILD = "profile mine {\n  /srv/x#y r,\n  %s\n}\n"


@pytest.mark.parametrize("flag", ["complain", "unconfined", "prompt", "default_allow"])
@pytest.mark.parametrize(
    "text",
    [
        "profile mine flags=(%s) {\n}\n",
        "profile mine (%s) {\n}\n",
        "profile mine flags = ( audit , %s ) {\n}\n",
        "profile mine flags=\n(attach_disconnected\n\t%s) {\n}\n",
        'profile mine flags=("%s"){\n}\n',
        "profile mine /usr/bin/x xattrs=(user.a=b) flags=(%s) {\n}\n",
        "profile mine\n  #include <x> flags=(%s)\n{\n}\n",
        "# profile mine {}\nprofile mine # enforce\n flags=(%s) {\n}\n",
        "@{X}=/a{b,c} # {\nprofile mine flags=(%s) {\n}\n",
        CHILD % "^hat flags=(%s) {\n  }",
        CHILD % "hat other (%s) {\n  }",
        CHILD % "profile child flags=(%s) {\n  }",
        CHILD % "signal peer={a,b}, mount {/a,/b} -> /c, profile unix flags=(%s) {\n  }",
        CHILD % 'owner { "/a # b" r, }\n  if $x { profile child { profile leaf (%s) {\n  } } }',
        "profile mine {\n}\n/usr/bin/other (%s) {\n}\n",
    ],
)
def test_modes_that_do_not_confine_are_blockers(text: str, flag: str) -> None:
    found = desired.read_apparmor_profiles([{"name": "mine", "src": "f", "content": text.replace("%s", flag)}])
    assert len(found.blockers) == 1
    assert f"apparmor_profiles_list[0].mode: f has flags=({flag})" in found.blockers[0]
    assert ("write mode: complain here" in found.blockers[0]) is (flag == "complain")
    accepted = desired.read_apparmor_profiles([{"name": "mine", "src": "f", "content": text.replace("%s", flag), "mode": "complain"}])
    assert bool(accepted.blockers) is (flag != "complain")


def test_escapes_do_not_hide_a_flag() -> None:
    found = desired.read_apparmor_profiles([{"name": "mine", "src": "f", "content": r"profile mine flags=(c\157m\x70lain) {}"}])
    assert "has flags=(complain), which only logs" in found.blockers[0]


@pytest.mark.parametrize(
    "text",
    [
        "profile mine flags=(kill) {\n}\n",
        "profile mine flags=(enforce, kill.signal=term, attach_disconnected.path=/x, error=EPERM) {\n}\n",
        "# flags=(complain)\nprofile mine { # (complain)\n}\n",
        "profile mine xattrs=(user.mode=complain) {\n  /flags=(complain) r,\n}\n",
        'profile mine {\n  "/a (complain) {" r,\n  audit deny { /x r, }\n  dbus peer=(name=a, label=unconfined),\n}\n',
        "profile mine {\n  signal (receive) peer=unconfined,\n  change_profile -> {complain,x},\n  prompt file,\n}\n",
    ],
)
def test_modes_that_confine_are_accepted(text: str) -> None:
    assert desired.read_apparmor_profiles([{"name": "mine", "src": "f", "content": text}]).blockers == []


def test_a_rule_cannot_hold_a_child_that_does_not_confine() -> None:
    found = desired.read_apparmor_profiles([{"name": "a", "extends": "web", "rules": ["/x r", "profile b flags=(complain) { /** rwix, }"]}])
    assert found.blockers == [
        "apparmor_profiles_list[0].rules[1]: has flags=(complain) in profile b, which only logs; remove the flag",
    ]


def test_complain_flag_is_valid_in_complain_mode() -> None:
    text = SOURCE.replace("attach_disconnected", "attach_disconnected, complain")
    assert not desired.read_apparmor_profiles([{"name": "mine", "src": "f", "content": text, "mode": "complain"}]).blockers


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"executable": ["/app"], "writable": ["/app/cache"]}, "files that are written under /app/cache can be executed as well"),
        ({"extends": "web", "writable": ["/usr"]}, "files that are written under /usr can be executed as well"),
        ({"executable": ["/app"], "writable": ["/application"]}, None),
    ],
)
def test_warnings(entry: dict[str, Any], message: str | None) -> None:
    found = desired.read_apparmor_profiles([{"name": "mine", **entry}])
    assert not found.blockers
    assert not found.warnings if message is None else message in found.warnings[0]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("/usr/bin/x Ux,", True),
        ("owner /bin/** rmux,", True),
        ("rpux @{bin}/x,", True),
        ('"/opt/a b" cUx -> child,', True),
        ("change_profile,", True),
        ("change_profile -> unconfined,", True),
        ("change_profile /bin/x -> **,", True),
        ("deny /usr/bin/x ux,", False),
        ("deny { /usr/bin/x ux, }", False),
        ("/usr/bin/ux rix,", False),
        ("/usr/bin/x px,", False),
        ("change_profile -> other,", False),
        ("# /usr/bin/x ux,", False),
        ("network unix,", False),
    ],
)
def test_rules_that_leave_the_profile_are_warnings(rule: str, found: bool) -> None:
    warnings = desired.read_apparmor_profiles([{"name": "mine", "src": "f", "content": f"profile mine {{\n  {rule}\n}}\n"}]).warnings
    assert [warning.startswith("apparmor_profiles_list[0].src: f: '") for warning in warnings] == ([True] if found else [])


def test_resolve_sources_reads_files() -> None:
    files = {"a.profile": SOURCE}

    def read_file(name: str) -> str:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[name]

    entries = [{"name": "mine", "src": "a.profile"}, {"name": "b", "src": "b.profile"}, {"name": "c", "extends": "web"}]
    resolved = desired.resolve_sources(entries, read_file)
    assert resolved[0]["content"] == SOURCE
    assert resolved[2] == entries[2]
    assert desired.read_apparmor_profiles(resolved).blockers == [
        "apparmor_profiles_list[1].src: b.profile cannot be read (No such file or directory); write the path of a profile on the control node"
    ]
