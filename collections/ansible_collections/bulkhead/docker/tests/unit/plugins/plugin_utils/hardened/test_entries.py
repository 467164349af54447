# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of hardened_container_list: each problem gets one message that names variable, value and what to write instead.

Measured on trixie (compose 2.26.1, docker.io 26.1.5, runc 1.1.15): what is rejected here is rejected there, or read differently.
"""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.plugin_utils.hardened import entries

DEFAULTS = yaml.safe_load((Path(__file__).resolve().parents[5] / "roles/hardened_container/defaults/main.yml").read_text())
VARIABLE = entries.VARIABLE


def resolve_list(*given: Any, **variables: Any) -> list[dict[str, Any]]:
    return entries.resolve_containers({**DEFAULTS, VARIABLE: list(given), **variables}, KINDS)


def resolve(**entry: Any) -> dict[str, Any]:
    return resolve_list({"name": "shop", "image": "shop:1", **entry})[0]


def list_problems(*given: Any, **variables: Any) -> list[str]:
    with pytest.raises(entries.ContainerEntryError) as error:
        resolve_list(*given, **variables)
    return error.value.problems


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"nam": "x"}, "hardened_container_list[0].nam: is not a setting; write name"),
        ({"name": "a b"}, ".name: 'a b' is not a name"),
        ({"image": ""}, ".image: '' is not an image"),
        ({"image": 3}, ".image: 3 is not a text"),
        ({"command": "sh -c x"}, ".command: 'sh -c x' is not a list"),
        ({"user": "root"}, ".user: 'root' is root; write the user"),
        ({"user": "0:33"}, ".user: '0:33' is root"),
        ({"user": 0}, ".user: 0 is root"),
        ({"capabilities": ["NET_BIND"]}, "contains 'NET_BIND', which is not a capability; write NET_"),
        ({"tmpfs": ["tmp"]}, "write /tmp"),
        ({"ports": ["80"]}, "write HOST:CONTAINER"),
        ({"memory": "plenty"}, ".memory: 'plenty' is not a size; write a number with k, m or g"),
        ({"pids_limit": -1}, ".pids_limit: -1 is not a limit"),
        ({"pids_limit": True}, ".pids_limit: True is not a limit"),
        ({"cpus": 0}, ".cpus: 0 is not a number of CPUs"),
        ({"restart_policy": "never"}, ".restart_policy: 'never' is not valid; write no, always"),
        ({"allow_exposures": "device"}, ".allow_exposures: 'device' is not a list"),
        ({"allow_exposures": ["devise"]}, "contains 'devise', which is not a kind of exposure; write device"),
        ({"allow_exposures": ["xyzzy"]}, "contains 'xyzzy', which is not a kind of exposure; known are privileged, "),
        ({"allow_exposures": [["device"]]}, "contains ['device'], which is not a kind of exposure"),
        ({"state": "started"}, ".state: 'started' is not valid; write present or absent"),
    ],
)
def test_invalid_entries_get_a_message(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(entries.ContainerEntryError) as error:
        resolve(**entry)
    assert words in str(error.value)


def test_names_are_unique() -> None:
    with pytest.raises(entries.ContainerEntryError, match=r"hardened_container_list\[1\].name: shop is already"):
        entries.resolve_containers({**DEFAULTS, VARIABLE: [{"name": "shop", "image": "a"}] * 2}, KINDS)


def test_invalid_project_name() -> None:
    with pytest.raises(
        entries.ContainerEntryError, match="hardened_container_project: 'My Shop' is not a name for a compose project; write small letters"
    ):
        entries.resolve_containers({**DEFAULTS, entries.PROJECT: "My Shop"}, KINDS)


ENTRY = "hardened_container_list[0]"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ": null has no value; put it in quotes"),
        (True, ": True is a boolean, as YAML reads yes, no, on, off, true and false; put it in quotes"),
        (False, ": False is a boolean"),
        (datetime.date(2024, 1, 1), "is a date; put it in quotes"),
        (datetime.datetime(2024, 1, 1, 12), "is a date; put it in quotes"),
        ({"a": 1}, ": {'a': 1} is a mapping and not a text; put it in quotes"),
        ([1], ": [1] is a list and not a text; put it in quotes"),
        (b"raw", "is not a text; put it in quotes"),
        (math.nan, ": nan is not a number; put it in quotes"),
        (-math.inf, ": -inf is not a number; put it in quotes"),
        (1 << 300, "is too large for a number; put it in quotes"),
        ("a\0b", ": contains a NUL character, at which the kernel ends a text; remove it"),
        ("half \ud800", "contains a part of a character (a surrogate)"),
        ("x" * (128 << 10), "has 131072 bytes and the kernel accepts fewer than 131072; put it into a file in a volume"),
    ],
)
def test_a_value_that_is_not_a_text_needs_quotes(value: Any, words: str) -> None:
    for entry, place in (({"environment": {"A": value}}, ".environment.A"), ({"command": ["serve", value]}, ".command[1]")):
        (problem,) = list_problems({"name": "shop", "image": "shop:1", **entry})
        assert problem.startswith(ENTRY + place + ":")
        assert words in problem


def test_a_secret_is_not_shown() -> None:
    assert "hunter2" not in str(list_problems({"name": "shop", "image": "shop:1", "environment": {"PASSWORD": "hunter2\0"}}))


@pytest.mark.parametrize("value", ["", "no", "null", "18", " a\tb\nc ", "ü😀\u2028", 18, -1, 0, 1.5, 10**30])
def test_a_text_or_a_number_reaches_the_container(value: Any) -> None:
    assert resolve(environment={"A": value}, command=[value])["environment"] == {"A": value}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (True, ".environment.True: the name is not a text; put the name in quotes"),
        (1, ".environment.1: the name is not a text"),
        ("", ".environment.: is not a name for a variable"),
        ("A=B", ".environment.A=B: is not a name for a variable; write one without blanks, =, $ and control characters"),
        ("A B", "is not a name"),
        ("A$B", "is not a name"),
        ("A\n", "is not a name"),
        ("x-key", ".environment.x-key: begins with x-, which compose drops"),
    ],
)
def test_names_of_variables(name: Any, words: str) -> None:
    assert words in list_problems({"name": "shop", "image": "shop:1", "environment": {name: "secret"}})[0]


def test_arguments_and_variables_have_a_size_together() -> None:
    (problem,) = list_problems({"name": "shop", "image": "shop:1", "environment": {f"A{n}": "x" * 100_000 for n in range(22)}})
    assert ".environment: has 22" in problem


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"environment": ["A=1"]}, ".environment: ['A=1'] is not a mapping; write NAME: value"),
        ({"environment": None}, ".environment: null has no value; leave it out, or write a mapping"),
        ({"command": None}, ".command: null has no value; leave it out, or write a list"),
        ({"name": 123}, ".name: 123 is not a text; put it in quotes"),
        ({"name": "a"}, ".name: 'a' is not a name for a container; write two or more"),
        ({"name": "shop\n"}, "is not a name"),
        ({"image": "Shop:1"}, ".image: 'Shop:1' is not an image; write shop:1"),
        ({"image": "shop:1 "}, "is not an image; write REGISTRY/NAME:TAG"),
        ({"image": "shop?all=1"}, "is not an image"),
        ({"image": "shop:"}, "is not an image"),
        ({"image": "shop:" + "t" * 129}, "is not an image"),
        ({"image": "http://shop"}, "is not an image"),
        ({"image": "a/" * 130 + "a"}, "is not an image"),
        ({"image": "0" * 64}, "is an ID; write sha256:000"),
        ({"image": "shop@sha256:123"}, "is not an image"),
        ({"user": None}, ".user: null has no value"),
        ({"user": True}, ".user: True is a boolean"),
        ({"user": 1.5}, ".user: 1.5 is not a user"),
        ({"user": ""}, ".user: '' is not a user"),
        ({"user": -1}, ".user: -1 is not a user"),
        ({"user": "00:33"}, ".user: '00:33' is root"),
        ({"user": "+0"}, ".user: '+0' is root"),
        ({"user": "root:web"}, "is root"),
        ({"user": "1:2:3"}, "is not a user; write USER or USER:GROUP"),
        ({"user": "1:"}, "is not a user"),
        ({"user": "1 "}, "is not a user"),
        ({"user": "٣"}, "is not a user"),
        ({"user": 1 << 31}, "contains an ID above 2147483647, which the engine rejects"),
        ({"user": "1:4294967296"}, "contains an ID above"),
        ({"read_only": "no"}, ".read_only: 'no' is not a boolean; write true or false, without quotes"),
        ({"read_only": 0}, ".read_only: 0 is not a boolean"),
        ({"read_only": None}, ".read_only: null has no value"),
        ({"capabilities": "NET_RAW"}, ".capabilities: 'NET_RAW' is not a list"),
        ({"capabilities": ["ALL"]}, "contains 'ALL', which is not a capability; list the ones"),
        ({"capabilities": [None]}, "contains None, which is not a capability"),
        ({"capabilities": [12]}, "contains 12, which is not a capability"),
        ({"seccomp_profile": "../web"}, ".seccomp_profile: '../web' is not the name of a profile"),
        ({"seccomp_profile": "unconfined"}, ".seccomp_profile: 'unconfined' confines nothing"),
        ({"seccomp_profile": None}, ".seccomp_profile: null has no value"),
        ({"apparmor_profile": "unconfined"}, ".apparmor_profile: 'unconfined' confines nothing; write the name of a profile"),
        ({"apparmor_profile": ":ns:unconfined"}, "confines nothing"),
        ({"apparmor_profile": "my web"}, "is not the name of a profile"),
        ({"apparmor_profile": False}, ".apparmor_profile: False is not a text; put it in quotes"),
        ({"pids_limit": "100"}, ".pids_limit: '100' is not a limit"),
        ({"pids_limit": 0}, "is not a limit"),
        ({"pids_limit": 1.5}, "is not a limit"),
        ({"pids_limit": (1 << 22) + 1}, "is more than the kernel can count; write a number from 1 to 4194304"),
        ({"memory": "6291455"}, ".memory: '6291455' is less than the engine accepts; write 6m or more"),
        ({"memory": "0"}, "is less than the engine accepts"),
        ({"memory": -1}, ".memory: -1 is not a size"),
        ({"memory": None}, ".memory: null is not a size"),
        ({"memory": 1.5}, ".memory: 1.5 is not a size"),
        ({"memory": True}, "is not a size"),
        ({"memory": "256 m"}, "is not a size"),
        ({"memory": "25٣m"}, "is not a size"),
        ({"memory": "256\u212a"}, "is not a size"),
        ({"memory": "9999999999g"}, "is not a size"),
        ({"memory": "9" * 5000}, "is not a size"),
        ({"memory": 10**5000}, "is not a size"),
        ({"cpus": "0.5"}, ".cpus: '0.5' is not a number of CPUs"),
        ({"cpus": math.nan}, ".cpus: nan is not a number of CPUs"),
        ({"cpus": math.inf}, ".cpus: inf is not a number of CPUs"),
        ({"cpus": True}, "is not a number of CPUs"),
        ({"cpus": 0.001}, "is not a number of CPUs that the kernel can limit; write a number from 0.01"),
        ({"cpus": 10**400}, "is not a number of CPUs"),
        ({"restart_policy": False}, ".restart_policy: False is a boolean, as YAML reads no without quotes; put it in quotes"),
        ({"restart_policy": None}, ".restart_policy: null is not valid"),
        ({"restart_policy": ["no"]}, "is not valid; write no"),
        ({"log_max_size": "0m"}, ".log_max_size: '0m' is not a size of a file"),
        ({"log_max_file": 0}, ".log_max_file: 0 is not a number of files; write an integer of 1 or more"),
        ({"log_max_file": "many"}, ".log_max_file: 'many' is not a number of files"),
        ({"log_max_file": True}, "is not a number of files"),
        ({"stop_signal": 15}, ".stop_signal: 15 is not a text; put it in quotes"),
        ({"stop_signal": "SIGQIUT"}, ".stop_signal: 'SIGQIUT' is not a signal; write SIGQUIT, or its number"),
        ({"stop_signal": "0"}, "is not a signal"),
        ({"stop_signal": "65"}, "is not a signal"),
        ({"stop_signal": "SIGRTMIN+16"}, "is not a signal"),
        ({"ulimits": ["nofile=1"]}, ".ulimits: ['nofile=1'] is not a mapping"),
        ({"ulimits": {"nofiles": 1}}, ".ulimits: {'nofiles': 1} contains 'nofiles', which is not a limit; write nofile"),
        ({"ulimits": {"as": 1}}, "contains 'as', which is not a limit"),  # the engine does not know it
        ({"ulimits": {"nofile": True}}, ".ulimits.nofile: True is not a limit; write an integer"),
        ({"ulimits": {"nofile": "1024"}}, ".ulimits.nofile: '1024' is not a limit; write an integer"),
        ({"ulimits": {"nofile": None}}, ".ulimits.nofile: null is not a limit"),
        ({"ulimits": {"nproc": -2}}, ".ulimits.nproc: -2 is not a limit"),
        ({"ulimits": {"nofile": -1}}, ".ulimits.nofile: -1 is more than the kernel allows for nofile; write a number up to 2147483584"),
        ({"ulimits": {"nofile": {"soft": 1}}}, ".ulimits.nofile: {'soft': 1} is not a limit; write a number, or soft and hard"),
        ({"ulimits": {"nofile": {"soft": 2, "hard": 1}}}, "has a soft limit above the hard one"),
        ({"ulimits": {"core": {"soft": -1, "hard": 1}}}, "has a soft limit above the hard one"),
        ({"ulimits": {"core": {"soft": 1.5, "hard": -1}}}, ".ulimits.core.soft: 1.5 is not a limit"),
        ({"ulimit": []}, ".ulimit: is not a setting; write ulimits"),
        ({"state": True}, ".state: True is a boolean"),
        ({"state": None}, ".state: null is not valid; write present or absent"),
        ({"mem_limit": "1g"}, ".mem_limit: is not a setting; write memory"),
        ({"cap_add": []}, ".cap_add: is not a setting; write capabilities"),
        ({"xyzzy": 1}, ".xyzzy: is not a setting; known are name, image"),
        ({True: 1}, ".True: is not a setting"),
    ],
)
def test_settings_that_would_be_rejected_or_misread(entry: dict[Any, Any], words: str) -> None:
    (problem,) = list_problems({"name": "shop", "image": "shop:1", **entry})
    assert problem.startswith(ENTRY)
    assert words in problem


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (1342, "contains 1342, which is not a text; write HOST:CONTAINER in quotes"),
        (80, "contains 80, which is not a text"),
        ({"target": 80}, "which is not a text; write HOST:CONTAINER"),
        (None, "which is not a text"),
        ("80", "which is not a port; write HOST:CONTAINER"),
        ("80:80/TCP", "which is not a port"),
        ("8000-8010:8000-8010", "which is not a port"),
        ("٨٠:80", "which is not a port"),
        ("80:80\n", "which is not a port"),
        ("::1:80:80", "which is not a port"),
        ("99999:80", "whose port is not from 1 to 65535"),
        ("80:0", "whose port is not from 1 to 65535"),
        ("300.1.1.1:80:80", "whose address 300.1.1.1 does not exist; write an IP address"),
        ("127.1:80:80", "whose address 127.1 does not exist"),
        ("[127.0.0.1]:80:80", "write IPv6 addresses in brackets"),
    ],
)
def test_ports_that_would_be_rejected_or_misread(port: Any, words: str) -> None:
    (problem,) = list_problems({"name": "shop", "image": "shop:1", "ports": [port]})
    assert problem.startswith(f"{ENTRY}.ports: [")
    assert words in problem


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (None, "which is not a text; write 'SOURCE:TARGET' in quotes"),
        ({"type": "bind"}, "which is not a text"),
        ("", "which is not a volume"),
        ("/a:", "which is not a volume"),
        ("/a:/b:ro:z", "which is not a volume"),
        ("./data:/data", "whose source is not absolute"),
        ("~/data:/data", "whose source is not absolute"),
        ("..:/data", "whose source is not absolute"),
        ("d:/data", "whose source is not a name for a volume; write an absolute path, or two or more letters"),
        ("my data:/data", "whose source is not a name for a volume"),
        ("$HOME:/data", "whose source is not a name for a volume"),
        ("data:data", "whose target is not absolute; write /data"),
        ("/data:ro", "whose target is not absolute"),
        ("data:/", "whose target is the root folder; write a folder in it"),
        ("data:/x/..", "whose target is the root folder"),
        ("data://", "whose target is the root folder"),
        ("data:/a/../b", "whose target is not a plain path; write /b"),
        ("data:/a//b", "whose target is not a plain path; write /a/b"),
        ("data:/a\n", "whose target contains a control character or ends with a blank"),
        ("data:/proc", "whose target is in /proc, where the runtime mounts nothing"),
        ("data:/proc/sys", "whose target is in /proc"),
        ("data:/dev", "whose target is /dev"),
        ("/a\nb:/b", "whose source contains a character that compose reads differently"),
        ("/a:/b:RO", "whose option 'RO' does not exist; write ro"),
        ("/a:/b:ro,", "whose option '' does not exist; known are ro, rw"),
        ("/a:/b:ro,rw", "whose options ro and rw exclude each other"),
        ("/a:/b:z,Z", "whose options z and Z exclude each other"),
        ("/a:/b:ro,ro", "whose options ro and ro exclude each other"),
        ("/a:/b:nocopy", "whose option nocopy is only for a named volume"),
        ("data:/b:rslave", "whose option rslave is only for a path of the host"),
        ("data:/a\0", "which contains a NUL character"),
    ],
)
def test_volumes_that_would_be_rejected_or_misread(volume: Any, words: str) -> None:
    (problem,) = list_problems({"name": "shop", "image": "shop:1", "volumes": [volume]})
    assert problem.startswith(f"{ENTRY}.volumes: [")
    assert words in problem


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (None, "which is not a text"),
        ("/tmp:size=64m", "which has options; write /tmp, because the options are always the same"),
        ("/", "which is the root folder"),
        ("/proc/x", "which is in /proc"),
        ("/a/./b", "which is not a plain path; write /a/b"),
        ("/a\tb", "which contains a control character"),
    ],
)
def test_tmpfs_that_would_be_rejected_or_misread(path: Any, words: str) -> None:
    (problem,) = list_problems({"name": "shop", "image": "shop:1", "tmpfs": [path]})
    assert problem.startswith(f"{ENTRY}.tmpfs: [")
    assert words in problem
    for value in (None, "/tmp", {"/tmp": ""}):
        assert ".tmpfs: " in list_problems({"name": "shop", "image": "shop:1", "tmpfs": value})[0]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("my net", "is not a network; write the name of one, bridge, default, host, none or container:NAME"),
        ("service:web", "is not a network; write container:web"),
        ("container:", "does not name a container; write container:NAME"),
        ("container:a/b", "does not name a container"),
        ("$NET", "is not a network"),
        (None, "null has no value"),
        (False, "is not a text; put it in quotes"),
        ({"front": None}, "is not a text"),
    ],
)
def test_networks_that_would_be_rejected_or_misread(network: Any, words: str) -> None:
    (problem,) = list_problems({"name": "shop", "image": "shop:1", "network": network})
    assert problem.startswith(f"{ENTRY}.network: ")
    assert words in problem


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"volumes": ["data:/tmp"]}, "whose target /tmp is in tmpfs too; write tmpfs: ['/run'], or another target"),
        ({"volumes": ["data:/x/"], "tmpfs": ["/x"]}, "whose target /x is in tmpfs too; remove /x from tmpfs, or another"),
        ({"volumes": ["data:/x", "/srv:/x/"]}, "whose target /x is that of 'data:/x' too; write another target"),
        ({"tmpfs": ["/x", "/x/"]}, "contains a folder twice"),
        ({"ports": ["80:80"], "network": "host"}, "['80:80'] are not published with network host; remove them"),
        ({"ports": ["80:80"], "network": "none"}, "are not published with network none"),
        ({"ports": ["80:80"], "network": "container:web"}, "are not published with network container:web"),
        ({"ports": ["80:80", "80:81"]}, "contains '80:81', which '80:80' publishes too"),
        ({"ports": ["80:80", "127.0.0.1:80:81"]}, "contains '127.0.0.1:80:81', which '80:80' publishes too"),
        ({"network": "container:shop"}, ".network: 'container:shop' names a container that does not run before it; write another"),
    ],
)
def test_settings_that_contradict_each_other(entry: dict[str, Any], words: str) -> None:
    (problem,) = list_problems({"name": "shop", "image": "shop:1", **entry})
    assert words in problem


@pytest.mark.parametrize(
    "entry",
    [
        {"image": "registry.example:5000/team/shop_x--y.z:1.2-RC_3@sha256:" + "a" * 64},
        {"image": "sha256:" + "a" * 64},
        {"image": "[2001:db8::1]:5000/shop"},
        {"image": "LocalHost/shop"},
        {"user": 1000},
        {"user": "www-data:2147483647"},
        {"user": "_apt"},
        {"capabilities": ["cap_net_bind_service", "CHOWN"]},
        {"memory": "6m", "cpus": 0.01, "pids_limit": 1 << 22, "log_max_size": 1, "log_max_file": "3"},
        {"memory": 256 << 20, "cpus": 2},
        {"memory": "1GB"},
        {"stop_signal": "15"},
        {"ulimits": {"nofile": 1024, "core": -1, "memlock": {"soft": 0, "hard": -1}, "nproc": {"soft": 5, "hard": 5}}},
        {"stop_signal": "quit"},
        {"stop_signal": "SIGRTMIN+3"},
        {"restart_policy": "no"},
        {"seccomp_profile": "", "apparmor_profile": ""},
        {"apparmor_profile": "/usr/sbin/nginx"},
        {"ports": ["80:80", "80:80/udp", "[::1]:81:80", "127.0.0.1:82:80", "127.0.0.2:82:80/sctp", "0:80"]},
        {"ports": ["127.0.0.1:80:80", "127.0.0.2:80:80", "[::]:80:80"]},
        {"volumes": ["data:/data:nocopy", "/srv/a b:/x y:ro,Z,rslave", "/scratch", "/a:/b/:cached", "/proc:/host/proc:ro"]},
        {"volumes": ["data:/tmp"], "tmpfs": ["/run"]},
        {"tmpfs": []},
        {"network": "front-end_1"},
        {"network": "default"},
        {"network": "container:other"},
        {"environment": {"spring.datasource-url": "a=b", "é": "$HOME"}},
        {"image": "", "state": "absent"},
    ],
)
def test_valid_settings_are_accepted(entry: dict[str, Any]) -> None:
    assert entry.items() <= resolve(**entry).items()


def test_every_problem_is_reported_at_once() -> None:
    found = list_problems({"name": "shop", "image": 3, "user": 0, "environment": {"A": None, "B": True}}, "x", {"name": "web"})
    assert [problem.partition(": ")[0] for problem in found] == [
        f"{ENTRY}.image", f"{ENTRY}.environment.A", f"{ENTRY}.environment.B", f"{ENTRY}.user", f"{VARIABLE}[1]", f"{VARIABLE}[2].image",
    ]  # fmt: skip


def test_the_container_is_named() -> None:
    (problem,) = list_problems({"name": "shop", "image": "a", "memory": "1m"})
    assert problem == "hardened_container_list[0].memory: '1m' is less than the engine accepts; write 6m or more (container shop)"
    (problem,) = list_problems({"name": "a b", "image": "a"})
    assert problem.endswith("dashes and underscores")


def test_a_wrong_default_is_reported_once_by_its_variable() -> None:
    both = [{"name": "shop", "image": "a"}, {"name": "web", "image": "a"}, {"name": "own", "image": "a", "user": "33"}]
    assert list_problems(*both, hardened_container_user="0:33") == [
        "hardened_container_user: '0:33' is root; write the user that the service runs as, such as 65534:65534"
    ]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (
            {"ports": ["80:80"]},
            {"ports": ["80:8080"]},
            "list[1].ports: ['80:8080'] contains '80:8080', which container shop publishes with '80:80'",
        ),
        ({"ports": ["80:80"]}, {"ports": ["[::1]:80:8080"]}, "which container shop publishes with '80:80'; write another port or address"),
        (
            {"network": "container:web"},
            {},
            "list[0].network: 'container:web' names a container that does not run before it; list it after",
        ),
        ({"state": "absent"}, {"network": "container:shop"}, "does not run before it; write another network"),
    ],
)
def test_containers_that_exclude_each_other(first: dict[str, Any], second: dict[str, Any], words: str) -> None:
    (problem,) = list_problems({"name": "shop", "image": "a", **first}, {"name": "web", "image": "a", **second})
    assert words in problem


def test_an_absent_container_takes_no_port() -> None:
    assert (
        len(resolve_list({"name": "shop", "state": "absent", "ports": ["80:80"]}, {"name": "web", "image": "a", "ports": ["80:80"]})) == 2
    )


def test_names_that_a_replacement_needs() -> None:
    given = [{"name": "shop", "image": "a"}, {"name": "shop-before", "image": "a"}]
    assert resolve_list(*given)
    (problem,) = list_problems(*given, hardened_container_run_by="container")
    assert problem == (
        "hardened_container_list[1].name: is needed while container shop is replaced; write another name (container shop-before)"
    )


def test_the_compose_file_is_absolute() -> None:
    (problem,) = list_problems(hardened_container_compose_file="compose.yml")
    assert problem.startswith("hardened_container_compose_file: 'compose.yml' is not an absolute path of a file; write one")


@pytest.mark.parametrize(
    ("entry", "source", "words"),
    [
        ({"environment": {"A": 18}}, "022", ".environment.A: 18 is what YAML reads for 022; put it in quotes"),
        ({"environment": {"A": 1.1}}, "1.10", ".environment.A: 1.1 is what YAML reads for 1.10; put it in quotes"),
        ({"command": [1342]}, "22:22", ".command[0]: 1342 is what YAML reads for 22:22; put it in quotes"),
        ({"user": 2013}, "33:33", ".user: 2013 is what YAML reads for 33:33; put it in quotes"),
        ({"ports": [1342]}, "22:22", "contains 1342, which is not a text (what YAML reads for 22:22); write HOST:CONTAINER in quotes"),
        ({"pids_limit": 64}, "0100", ".pids_limit: 64 is what YAML reads for 0100; write a decimal number"),
        ({"cpus": 90}, "1:30", ".cpus: 90 is what YAML reads for 1:30; write a decimal number"),
        ({"log_max_file": 8}, "010", ".log_max_file: 8 is what YAML reads for 010; write a decimal number"),
        ({"memory": 16777216}, "0100000000", ".memory: 16777216 is what YAML reads for 0100000000; write a decimal number"),
    ],
)
def test_numbers_that_yaml_reads_differently(entry: dict[str, Any], source: str, words: str) -> None:
    given = {**DEFAULTS, VARIABLE: [{"name": "shop", "image": "shop:1", **entry}]}
    with pytest.raises(entries.ContainerEntryError) as error:
        entries.resolve_containers(given, KINDS, lambda _: source)
    assert words in str(error.value)


def test_numbers_as_they_were_written() -> None:
    entry = {"name": "shop", "image": "shop:1", "environment": {"A": 18}, "user": 18}
    assert entries.resolve_containers({**DEFAULTS, VARIABLE: [entry]}, KINDS, lambda _: "18")
    entry = {"name": "shop", "image": "shop:1", "cpus": 1.5}
    assert entries.resolve_containers({**DEFAULTS, VARIABLE: [entry]}, KINDS, lambda _: "1.50")
