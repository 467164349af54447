# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the host's paths a mount shows, from mountinfo alone."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.mounts import (
    find_in_file_system,
    is_below,
    locate,
    parse_mountinfo,
    touches,
)

# Of a trixie VM: root on sda1, /run and a bound volume, a btrfs subvolume, a separate /srv.
HOST = parse_mountinfo(
    """\
28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
25 28 0:23 / /run rw,nosuid,nodev shared:11 - tmpfs tmpfs rw,size=200000k
22 28 0:21 / /proc rw,relatime shared:12 - proc proc rw
40 28 8:1 /etc /var/lib/docker/volumes/v/_data rw,relatime shared:1 - ext4 /dev/sda1 rw
41 28 0:40 /@home /home rw,relatime shared:30 - btrfs /dev/sdb rw
42 28 8:17 / /srv\\040x rw,relatime shared:31 - ext4 /dev/sdb1 rw
"""
)


def mount(line: str) -> list[str]:
    (parsed,) = parse_mountinfo(line)
    return locate(parsed, HOST)


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("600 500 8:1 /etc /x rw - ext4 /dev/sda1 rw", ["/etc", "/var/lib/docker/volumes/v/_data"]),
        ("600 500 8:1 /etc/ssl /x rw - ext4 /dev/sda1 rw", ["/etc/ssl", "/var/lib/docker/volumes/v/_data/ssl"]),
        ("600 500 8:1 / /x rw - ext4 /dev/sda1 rw", ["/", "/var/lib/docker/volumes/v/_data"]),
        ("600 500 8:1 /etcetera /x rw - ext4 /dev/sda1 rw", ["/etcetera"]),
        ("600 500 0:23 /docker.sock /x rw - tmpfs tmpfs rw", ["/run/docker.sock"]),
        ("600 500 0:23 /docker.sock//deleted /x rw - tmpfs tmpfs rw", ["/run/docker.sock"]),
        ("600 500 0:40 / /x rw - btrfs /dev/sdb rw", ["/home"]),
        ("600 500 0:40 /@home/ann /x rw - btrfs /dev/sdb rw", ["/home/ann"]),
        ("600 500 8:17 /a\\040b /x rw - ext4 /dev/sdb1 rw", ["/srv x/a b"]),
        ("600 500 0:99 / /x rw - tmpfs tmpfs rw", []),
    ],
)
def test_paths_of_the_host(line: str, paths: list[str]) -> None:
    assert mount(line) == paths


@pytest.mark.parametrize(
    ("options", "writable", "shared"),
    [
        ("rw,relatime - ext4 d rw", True, False),
        ("ro,relatime - ext4 d rw", False, False),
        ("rw - ext4 d ro", False, False),
        ("rw shared:5 master:6 - ext4 d rw", True, True),
        ("rw master:6 - ext4 d rw", True, False),
    ],
)
def test_options(options: str, writable: bool, shared: bool) -> None:
    (parsed,) = parse_mountinfo(f"600 500 8:1 / /x {options}")
    assert (parsed.writable, parsed.shared) == (writable, shared)


def test_lines_that_are_not_mounts_are_left_out() -> None:
    assert parse_mountinfo("nonsense\n1 2 3\n\n600 500 8:1 / /x rw - ext4\n") == []


@pytest.mark.parametrize(
    ("path", "found"),
    [("/run/docker.sock", ("0:23", "/docker.sock")), ("/etc/x", ("8:1", "/etc/x")), ("/home/ann", ("0:40", "/@home/ann"))],
)
def test_place_in_the_file_system(path: str, found: tuple[str, str]) -> None:
    assert find_in_file_system(path, HOST) == found


def test_without_mounts_a_path_has_no_file_system() -> None:
    assert find_in_file_system("/run/docker.sock", []) == ("", "")


def test_paths_below_and_above_a_folder() -> None:
    assert is_below("/etc", "/etc") and is_below("/etc/x", "/etc") and is_below("/etc", "/") and not is_below("/etcx", "/etc")
    assert list(touches("/var", ["/var/lib/docker", "/etc"])) == ["/var/lib/docker"]
