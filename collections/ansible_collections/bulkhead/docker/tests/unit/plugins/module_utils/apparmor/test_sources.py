# SPDX-License-Identifier: GPL-3.0-or-later
"""/etc/apparmor.d: what affects compiling and loading of a file, and differences from the desired state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import changes, sources
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files
from .machine import machine

TEXT = """\
abi <abi/3.0>,
#include <tunables/global>
profile web {
  include <abstractions/base>
  include if exists <local/web>
  include "extra.d"
}
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    files = {
        "abi/3.0": "features\n",
        "abstractions/base": "  include <abstractions/deep>\n",
        "abstractions/deep": "  include <abstractions/base>\n  /a r,\n",
        "extra.d/one": "  /b r,\n",
        "extra.d/.hidden": "",
    }
    return write_files(machine(tmp_path, files={"web": TEXT}), {f"/etc/apparmor.d/{path}": text for path, text in files.items()})


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("abi/3.0", True),
        ("tunables/global", True),
        ("abstractions/base", True),
        ("abstractions/deep", True),
        ("local/web", True),
        ("extra.d/one", True),
        ("extra.d/two", True),
        ("extra.d/.hidden", False),
        ("abstractions/unused", False),
        ("other", False),
        ("../apparmor/parser.conf", True),
    ],
)
def test_inputs_of_compilation(host: Host, path: str, counts: bool) -> None:
    before = sources.CompileInputs(host).digest(TEXT)
    write_files(host, {f"/etc/apparmor.d/{path}": "changed\n"})
    assert (sources.CompileInputs(host).digest(TEXT) != before) is counts


def test_digest_covers_the_parser(host: Host) -> None:
    before = sources.CompileInputs(host).digest(TEXT)
    host.path("/usr/sbin/apparmor_parser").write_text("another")
    assert sources.CompileInputs(host).digest(TEXT) != before


def test_files_and_links(host: Host) -> None:
    host.path("/etc/apparmor.d/.swap").write_text("")
    host.path("/etc/apparmor.d/disable/web").symlink_to("/etc/apparmor.d/web")
    host.path("/etc/apparmor.d/force-complain/web").symlink_to("/nowhere")
    assert list(sources.read_files(host)) == ["web"]
    assert sources.read_links(host) == {"web": ["force-complain", "disable"]}
    assert sources.read_files(Host(host.root / "empty")) == {}
    assert sources.read_links(Host(host.root / "empty")) == {}


def test_is_loaded_at_boot(host: Host) -> None:
    assert sources.is_loaded_at_boot(host) is None
    wants = host.path("/etc/systemd/system/sysinit.target.wants")
    wants.mkdir(parents=True)
    assert sources.is_loaded_at_boot(host) is False
    (wants / "apparmor.service").symlink_to("/usr/lib/systemd/system/apparmor.service")
    assert sources.is_loaded_at_boot(host) is True
    host.path("/etc/systemd/system/apparmor.service").symlink_to("/dev/null")
    assert sources.is_loaded_at_boot(host) is False


GOOD: dict[str, Any] = {"sha256": "a", "links": [], "mode": "enforce", "current": True, "is_managed": True}


@pytest.mark.parametrize(
    ("seen", "mode", "message"),
    [
        ({}, "enforce", []),
        ({"current": None}, "enforce", []),
        ({"links": ["force-complain"], "mode": "complain"}, "complain", []),
        ({"sha256": None, "mode": None, "is_managed": False, "current": None}, "enforce", ["is new"]),
        ({"sha256": None, "current": None}, "enforce", ["has no file"]),
        ({"sha256": "b", "current": False}, "enforce", ["has another text"]),
        ({"current": False}, "enforce", ["is loaded with a policy that differs from its file"]),
        ({"mode": None, "current": None}, "enforce", ["is not loaded"]),
        ({"mode": "complain"}, "enforce", ["is in complain mode"]),
        ({"mode": "kill"}, "enforce", []),
        ({"mode": "kill"}, "complain", ["is not marked for complain mode in /etc/apparmor.d/force-complain", "is in kill mode"]),
        ({"mode": "unconfined"}, "enforce", ["is in unconfined mode"]),
        ({"mode": "user"}, "enforce", ["is in user mode"]),
        ({"links": ["disable"]}, "enforce", ["is not loaded at boot because of /etc/apparmor.d/disable"]),
        ({"links": ["force-complain"]}, "enforce", ["is loaded in complain mode because of /etc/apparmor.d/force-complain"]),
        ({}, "complain", ["is not marked for complain mode in /etc/apparmor.d/force-complain", "is in enforce mode"]),
        ({"is_managed": False}, "enforce", ["exists and becomes managed"]),
    ],
)
def test_list_differences(seen: dict[str, Any], mode: str, message: list[str]) -> None:
    assert changes.list_differences({**GOOD, **seen}, "a", mode) == message
