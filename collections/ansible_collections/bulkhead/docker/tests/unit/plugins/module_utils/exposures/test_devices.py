# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.device_rules import DeviceRules
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.devices import find_device_exposures
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.host_devices import HostDevice, list_host_devices
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import build_container
from .device_programs import ALLOW_ALL, DEFAULT, Rule, build_runc, build_systemd

HOST = (
    HostDevice("b", 8, 0, "sda", 0o660, 0, 6),
    HostDevice("b", 8, 1, "sda1", 0o660, 0, 6),
    *(HostDevice("c", 1, minor, name, 0o640, 0, 15) for minor, name in ((1, "mem"), (2, "kmem"), (4, "port"))),
    HostDevice("c", 1, 3, "null", 0o666),
    HostDevice("c", 5, 0, "tty", 0o666),
    HostDevice("c", 10, 200, "net/tun", 0o666),
    HostDevice("c", 10, 229, "fuse", 0o666),
    HostDevice("c", 116, 2, "snd/controlC0", 0o660, 0, 29),
    HostDevice("c", 116, 3, "snd/seq", 0o660, 0, 29),
    HostDevice("c", 136, 0, "pts/0", 0o620, 0, 5),
)
MKNOD, ALL = 0xA80425FB, (1 << 41) - 1  # the engine's default capabilities, and all
MOUNT = "99 98 0:5 {} {} rw,nosuid{} - devtmpfs udev rw,size=1k"


def build_capable(cap: int = MKNOD, users: str = "4026531837", config: dict[str, Any] | None = None, **state: Any) -> dict[str, Any]:
    state = {"namespaces": {"user": f"user:[{users}]"}, "cap": {"bnd": cap, "prm": 0, "eff": 0}, **state}
    return build_container(state, host_config=config)


def build_rules(*rules: Rule) -> DeviceRules:
    return DeviceRules("bpftool cgroup show /c effective", (build_runc((*DEFAULT, *rules)),))


def summarize(exposures: list[dict[str, str]]) -> list[str]:
    assert all(exposure["kind"] in KINDS for exposure in exposures)
    return [f"{exposure['kind']} {exposure['object']} {exposure['access']}" for exposure in exposures]


OPEN = DeviceRules("bpftool cgroup show /c effective", (ALLOW_ALL,))
NONE = DeviceRules("bpftool cgroup show /c effective", ())
UNKNOWN = DeviceRules("x", error="bpftool cgroup show /c effective: Operation not permitted")
REMAPPED: dict[str, Any] = {
    "users": "4026532999",
    "uid_map": [[0, 231072, 65536]],
    "gid_map": [[0, 231072, 65536]],
    "gid": [231072] * 4,
    "groups": [],
}
DISK = {"PathOnHost": "/dev/sda", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}
LINK = {"PathOnHost": "/dev/disk/by-id/x", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}
WHOLE = ["block_device all block devices rwm", "memory_device all memory devices rwm", "device all character devices rwm"]


@pytest.mark.parametrize(
    ("container", "rules", "mountinfo", "expected"),
    [
        pytest.param(build_capable(), build_rules(), "", [], id="default"),
        pytest.param(build_capable(), DeviceRules("x", (build_systemd(DEFAULT),)), "", [], id="default by systemd"),
        pytest.param(build_capable(ALL, config={"Privileged": True}), OPEN, "", WHOLE, id="privileged"),
        pytest.param(
            build_capable(ALL, config={"Privileged": True}), DeviceRules("devices.list", "a *:* rwm"), "", WHOLE, id="privileged v1"
        ),
        pytest.param(build_capable(), OPEN, "", WHOLE, id="it can make nodes"),
        pytest.param(build_capable(0), OPEN, "", [], id="it has no nodes and cannot make them"),
        pytest.param(
            build_capable(0, config={"Devices": [DISK]}),
            build_rules(("b", 8, 0, "rwm")),
            "",
            ["block_device /dev/sda (8:0) rwm"],
            id="disk",
        ),
        pytest.param(build_capable(), build_rules(("b", 8, 0, "r")), "", ["block_device /dev/sda (8:0) rm"], id="disk, read"),
        pytest.param(
            build_capable(0, config={"Devices": [LINK]}),
            build_rules(("b", 8, 1, "r")),
            "",
            ["block_device /dev/sda1 (8:1) rm"],
            id="link",
        ),
        pytest.param(build_capable(0), build_rules(("b", 8, 1, "r")), "", [], id="rule without a node"),
        pytest.param(build_capable(), build_rules(("b", -1, -1, "r")), "", ["block_device all block devices rm"], id="class"),
        pytest.param(build_capable(), build_rules(("c", 1, 1, "r")), "", ["memory_device /dev/mem (1:1) rm"], id="memory"),
        pytest.param(
            build_capable(config={"Devices": [{"PathOnHost": "/dev/snd", "CgroupPermissions": "rwm"}]}),
            build_rules(("c", 116, 2, "rwm"), ("c", 116, 3, "rwm")),
            "",
            ["device /dev/snd/controlC0 (116:2) rwm", "device /dev/snd/seq (116:3) rwm"],
            id="folder",
        ),
        pytest.param(
            build_capable(config={"Devices": [{"PathOnHost": "/dev/net/tun"}]}),
            build_rules(),
            "",
            ["device /dev/net/tun (10:200) rwm"],
            id="tun",
        ),
        pytest.param(build_capable(**REMAPPED), OPEN, "", [], id="nodes cannot be made in a user namespace"),
        pytest.param(build_capable(**REMAPPED), OPEN, MOUNT.format("/sda", "/dev/sda", ""), [], id="bound, but its mode denies it"),
        pytest.param(
            build_capable(**{**REMAPPED, "groups": [6]}),
            OPEN,
            MOUNT.format("/sda", "/d", ""),
            ["block_device /dev/sda (8:0) rw"],
            id="in its group",
        ),
        pytest.param(
            build_capable(**{**REMAPPED, "gid_map": [[0, 231072, 65536], [6, 6, 1]]}),
            OPEN,
            MOUNT.format("/sda1", "/d", ""),
            ["block_device /dev/sda1 (8:1) rw"],
            id="group is mapped",
        ),
        pytest.param(
            build_capable(**{**REMAPPED, "uid_map": [[0, 0, 100]], "gid_map": [[0, 0, 100]]}),
            NONE,
            MOUNT.format("/", "/host", ""),
            ["block_device all block devices rwm", "memory_device all memory devices rwm", "device all character devices rwm"],
            id="all is mapped",
        ),
        pytest.param(
            build_capable(**REMAPPED), NONE, MOUNT.format("/fuse", "/dev/fuse", ""), ["device /dev/fuse (10:229) rw"], id="mode allows it"
        ),
        pytest.param(build_capable(**REMAPPED), NONE, MOUNT.format("/fuse", "/dev/fuse", ",nodev"), [], id="nodev"),
        pytest.param(
            build_capable(users="4026532999", config={"Privileged": True}),
            NONE,
            "",
            WHOLE,
            id="maps are not known",
        ),
        pytest.param(build_capable(), UNKNOWN, "", [], id="not readable"),
        pytest.param(build_capable(ALL, config={"Privileged": True}), UNKNOWN, "", WHOLE, id="not readable, privileged"),
        pytest.param(
            build_capable(
                config={"Devices": [{**DISK, "CgroupPermissions": "r"}, LINK], "DeviceCgroupRules": ["c 10:229 rw", "a 116:* r"]}
            ),
            UNKNOWN,
            "",
            [
                "device /dev/disk/by-id/x r",
                "block_device /dev/sda (8:0) rm",
                "device /dev/fuse (10:229) rwm",
                "device /dev/snd/controlC0 (116:2) rm",
                "device /dev/snd/seq (116:3) rm",
            ],
            id="not readable, granted",
        ),
        pytest.param(build_capable(), DeviceRules("x", (b"\x85" + b"\0" * 7,)), "", [], id="not evaluated"),
    ],
)
def test_devices(container: dict[str, Any], rules: DeviceRules, mountinfo: str, expected: list[str]) -> None:
    assert summarize(find_device_exposures(container, rules, HOST, mountinfo)) == expected


def test_source_and_value() -> None:
    (exposure,) = find_device_exposures(build_capable(), build_rules(("b", 8, 0, "rw")), HOST)
    assert exposure["source"] == "bpftool cgroup show /c effective"
    assert exposure["value"] == "rwm /dev/sda (8:0)"
    exposure = find_device_exposures(build_capable(config={"Privileged": True}), UNKNOWN, HOST)[0]
    assert exposure["source"].startswith(
        "docker inspect web (HostConfig); not verified by the kernel: bpftool cgroup show /c effective: Oper"
    )
    assert exposure["value"] == "rwm 2: /dev/sda (8:0), /dev/sda1 (8:1)"


def test_process_with_more_capabilities() -> None:
    container = build_capable(0)
    container["states"].append(build_capable(ALL)["kernel"])
    assert summarize(find_device_exposures(container, OPEN, HOST)) == WHOLE


def test_more_than_eight_are_one() -> None:
    host = (*HOST, *(HostDevice("b", 7, number, f"loop{number}") for number in range(9)))
    (exposure,) = find_device_exposures(build_capable(), build_rules(("b", 7, -1, "r"), ("b", 8, 0, "w")), host)
    assert (exposure["object"], exposure["access"]) == ("10 block devices", "rwm")
    assert exposure["value"].startswith("rwm 10: /dev/sda (8:0), /dev/loop0 (7:0), ")
    assert exposure["value"].endswith(", /dev/loop6 (7:6), …")


def test_fifty_containers() -> None:
    host = (*HOST, *(HostDevice("c", 4, number, f"tty{number}") for number in range(400)))
    rules = [DeviceRules(str(number), (build_runc((*DEFAULT, ("b", 8, 0, "r"))),)) for number in range(50)]
    begin = time.process_time()
    for entry in rules:
        assert len(find_device_exposures(build_capable(), entry, host)) == 1
    assert time.process_time() - begin < 0.5


def test_devices_of_a_host(tmp_path: Path) -> None:
    for kind, number, folder, uevent in (
        ("block", "8:0", "block/sda", "MAJOR=8\nMINOR=0\nDEVNAME=sda\n"),
        ("char", "116:2", "sound/controlC0", "MAJOR=116\nDEVNAME=snd/controlC0\n"),
        ("char", "1:1", "mem/mem", "DEVNAME=mem\n"),
        ("char", "10:9", "misc/x", ""),
    ):
        device = tmp_path / "sys/devices" / folder
        device.mkdir(parents=True)
        (device / "uevent").write_text(uevent)
        links = tmp_path / "sys/dev" / kind
        links.mkdir(parents=True, exist_ok=True)
        (links / number).symlink_to(f"../../devices/{folder}")
    found = [(device.kind, device.major, device.minor, device.name) for device in list_host_devices(Host(tmp_path))]
    assert found == [
        ("b", 8, 0, "sda"),
        ("c", 1, 1, "mem"),
        ("c", 1, 2, "kmem"),
        ("c", 1, 4, "port"),
        ("c", 10, 9, "x"),
        ("c", 116, 2, "snd/controlC0"),
    ]
    assert [device.name for device in list_host_devices(Host(tmp_path / "none"))] == ["mem", "kmem", "port"]


def test_devices_of_this_host() -> None:
    """Each node that has the name is the device, with its mode and owner."""
    found = {(device.kind, device.major, device.minor): device for device in list_host_devices(Host())}
    own = os.stat("/dev/null")
    if ("c", 1, 3) not in found:
        pytest.skip("has no /sys/dev")
    assert found["c", 1, 3][3:] == ("null", stat.S_IMODE(own.st_mode), own.st_uid, own.st_gid)
