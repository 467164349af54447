# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of managed profiles, and the copies of replaced files."""

from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.module_utils.host import root
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.profiles import managed


def test_profiles_are_remembered_by_kind(host: Host) -> None:
    managed.save_managed_profiles(host, root.SECCOMP, {"/a.json": {"sha256": "1"}})
    assert root.load_managed_profiles(host, root.SECCOMP) == {"/a.json": {"sha256": "1"}}
    assert root.load_managed_profiles(host, root.APPARMOR) == {}
    managed.save_managed_profiles(host, root.SECCOMP, {})
    assert host.read("/var/lib/bulkhead/seccomp.json") is None


def test_replaced_file_is_kept_for_root_alone(host: Host) -> None:
    path = managed.keep_replaced_file(host, root.APPARMOR, "web", "profile web {}\n")
    assert path == "/var/lib/bulkhead/apparmor-replaced/web"
    assert host.path(path).stat().st_mode & 0o777 == 0o600
    assert host.path(path).parent.stat().st_mode & 0o777 == 0o700
    assert managed.read_replaced_file(host, {"replaced": path}) == "profile web {}\n"
    assert managed.read_replaced_file(host, {}) is None
