# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's policy, read from a copy of securityfs, and the labels of processes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import changes, labels, policy
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files
from .machine import machine


@pytest.mark.parametrize(
    ("text", "name", "mode", "confined"),
    [
        ("unconfined", "unconfined", "unconfined", False),
        ("unconfined\n", "unconfined", "unconfined", False),
        ("docker-default (enforce)\n", "docker-default", "enforce", True),
        ("docker-default (enforce)\0", "docker-default", "enforce", True),
        ("web (complain)", "web", "complain", True),
        ("web (kill)", "web", "kill", True),
        ("runc (unconfined)", "runc", "unconfined", False),
        ("/usr/sbin/cupsd (enforce)", "/usr/sbin/cupsd", "enforce", True),
        ("a profile (with) signs (enforce)", "a profile (with) signs", "enforce", True),
        ("a//&b (enforce)", "a//&b", "enforce", True),
        ("a (enforce)//&b (complain)", "a//&b", "mixed", True),
        ("a//&b (mixed)", "a//&b", "mixed", True),
        ("a (enforce)//&unconfined", "a//&unconfined", "mixed", True),
        ("parent//child (enforce)", "parent//child", "enforce", True),
        (":ns:web (enforce)", ":ns:web", "enforce", True),
        ("a//&:ns:b (enforce)", "a//&:ns:b", "enforce", True),
        ("a//&:ns:unconfined (enforce)", "a//&:ns:unconfined", "enforce", True),
        (":ns:unconfined", ":ns:unconfined", "unconfined", False),
        ("unconfined//&:ns:unconfined", "unconfined//&:ns:unconfined", "unconfined", False),
        ("runc (-)", "runc", "unconfined", False),
        ("web (user)", "web", "user", True),
    ],
)
def test_labels(text: str, name: str, mode: str, confined: bool) -> None:
    label = labels.parse_label(text)
    assert (label.name, label.mode, label.is_confined) == (name, mode, confined)


@pytest.mark.parametrize("text", ["", "\n", "docker-default", "//&", "system_u:system_r:container_t:s0"])
def test_invalid_labels(text: str) -> None:
    with pytest.raises(ValueError, match="label"):
        labels.parse_label(text)


def test_profiles_of_a_stack() -> None:
    assert labels.parse_label("a//&b (enforce)").profiles == ("a", "b")


@pytest.mark.parametrize(("text", "value"), [("enforce\n", "enforce"), ("complain", "complain"), (None, None)])
def test_global_mode(tmp_path: Path, text: str | None, value: str | None) -> None:
    host = machine(tmp_path)
    if text is not None:
        host.path(policy.GLOBAL_MODE).write_text(text)
    assert policy.read_global_mode(host) == {"value": value, "error": None}


def test_unreadable_global_mode_is_an_error(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.path(policy.GLOBAL_MODE).mkdir()
    assert "Is a directory" in str(policy.read_global_mode(host)["error"])


def test_unmounted_securityfs(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.path(policy.SECURITYFS).rename(tmp_path / "elsewhere")
    assert (policy.is_in_kernel(host), policy.is_enabled(host)) == (True, False)


def test_modes() -> None:
    text = "docker-default (enforce)\nweb (complain)\nweb//child (complain)\n/usr/bin/man (enforce)\nname (odd) (kill)\n\n"
    assert policy.parse_modes(text) == {
        "docker-default": "enforce",
        "web": "complain",
        "web//child": "complain",
        "/usr/bin/man": "enforce",
        "name (odd)": "kill",
    }


@pytest.mark.parametrize(("parameter", "enabled"), [("Y\n", True), ("N\n", False), (None, False)])
def test_is_enabled(tmp_path: Path, parameter: str | None, enabled: bool) -> None:
    host = machine(tmp_path)
    path = host.path("/sys/module/apparmor/parameters/enabled")
    path.unlink()
    if parameter:
        path.write_text(parameter)
    assert policy.is_enabled(host) is enabled


def test_profiles_with_a_common_prefix_are_distinguished(tmp_path: Path) -> None:
    host = machine(tmp_path, kernel={"web": ("enforce", b"one"), "web.7": ("complain", b"two")})
    one, two = policy.read_profile(host, "web"), policy.read_profile(host, "web.7")
    assert one and two
    assert (one["mode"], one["hash"]) == ("enforce", "sha256:" + hashlib.sha256(b"one").hexdigest())
    assert one["source"].endswith("/raw_sha256")
    assert two["mode"] == "complain"
    assert changes.read_raw_data(host, "web.7") == [b"two"]
    assert policy.read_profile(host, "we") is None
    assert changes.read_raw_data(host, "we") == []


def test_kernel_with_sha1_and_kernel_without_hash(tmp_path: Path) -> None:
    host = machine(tmp_path, kernel={"web": ("enforce", b"one")})
    folder = next(host.path("/sys/kernel/security/apparmor/policy/profiles").iterdir())
    (folder / "raw_sha256").rename(folder / "raw_sha1")
    loaded = policy.read_profile(host, "web")
    assert loaded and loaded["hash"].startswith("sha1:")
    (folder / "raw_sha1").unlink()
    loaded = policy.read_profile(host, "web")
    assert loaded and loaded["hash"] is None


def piece(name: str, body: bytes) -> bytes:
    """Return a profile as the parser prints it, with a table that has its own version (parser 4.1.8)."""
    head = b"\x04\x08\x00version\x00\x02\x07\x00\x00\x00\x04\x08\x00profile\x00\x07\x05"
    return head + len(name).to_bytes(2, "little") + name.encode() + b"\x00" + body + b"\x04\x08\x00version\x00\x02\x01\x00\x00\x00\x0b"


PARENT, CHILD = piece("web", b"parent"), piece("web//sub", b"child")


def test_split_compiled() -> None:
    assert policy.split_compiled(PARENT + CHILD) == {"web": PARENT, "web//sub": CHILD}
    assert policy.split_compiled(b"") == {}


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
@pytest.mark.parametrize(
    ("given", "agrees"),
    [
        ({"web": PARENT + CHILD, "web//sub": PARENT + CHILD}, True),  # loaded at once
        ({"web": PARENT, "web//sub": CHILD}, True),  # loaded one after the other
        ({"web": b"other", "web//sub": CHILD}, False),
        ({"web": PARENT, "web//sub": b"other"}, False),
        ({"web": PARENT, "web//sub": PARENT}, False),
        ({"web": PARENT}, False),
        ({"web": PARENT, "web//sub": CHILD, "web//more": CHILD}, False),
    ],
)
def test_agreement_with_what_was_compiled(given: dict[str, bytes], agrees: bool, algorithm: str) -> None:
    hashes: dict[str, str | None] = {name: f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}" for name, data in given.items()}
    assert policy.is_same_policy(hashes, PARENT + CHILD) is agrees


def test_children_are_read_with_their_parent(tmp_path: Path) -> None:
    host = machine(tmp_path, kernel={"web": ("enforce", b"one")})
    inside = "/sys/kernel/security/apparmor/policy/profiles/web.3/profiles/sub.4"
    for folder, name, data in ((inside, "sub", b"two"), (f"{inside}/profiles/deep.5", "deep", b"one")):
        write_files(host, {f"{folder}/name": f"{name}\n", f"{folder}/raw_sha256": data + b"\n", f"{folder}/raw_data": data})
    loaded = policy.read_profile(host, "web")
    assert loaded and loaded["hashes"] == {"web": loaded["hash"], "web//sub": "sha256:two", "web//sub//deep": "sha256:one"}
    assert changes.read_raw_data(host, "web") == [b"one", b"two"]


def test_policy_without_hash_is_unknown() -> None:
    assert policy.is_same_policy({"web": None}, b"") is None


def test_confined_processes(tmp_path: Path) -> None:
    identifier = "0123456789abcdef" * 4
    host = machine(tmp_path)
    for pid, label, comm, cgroup in (
        (1, "unconfined", "systemd", "/init.scope"),
        (12, "web (enforce)", "nginx", f"/system.slice/docker-{identifier}.scope"),
        (7, "web//sub (complain)", "sh", "/"),
        (30, "webby (enforce)", "other", "/"),
    ):
        own = {"attr/apparmor/current": label, "comm": comm, "cgroup": f"0::{cgroup}"}
        write_files(host, {f"/proc/{pid}/{name}": f"{text}\n" for name, text in own.items()})
    host.path("/proc/99").mkdir()  # gone while we look
    found = policy.find_confined(host, ["web", "unused"])
    assert found == {
        "web": [
            {"pid": 7, "command": "sh", "container": None},
            {"pid": 12, "command": "nginx", "container": "0123456789ab"},
        ]
    }
    assert changes.describe_processes(found["web"]) == "sh (pid 7), nginx (pid 12, container 0123456789ab)"
    assert changes.describe_processes(found["web"] * 3).endswith(" and 3 more")
    assert policy.find_confined(Host(tmp_path / "nowhere"), []) == {}
