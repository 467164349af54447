# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts of a container that show files of the host, from real mountinfo lines."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures import gather
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.mounts import parse_mountinfo
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files
from .builders import HOST_NAMESPACES, ID, ROOT, build_about, build_plain_container, build_state, judge

HOST = "0:21"  # the host's /proc


def judge_mount(root: Path, line: str, mounts: list[dict[str, Any]] | None = None, **state: Any) -> list[str]:
    """Return the IDs of the exposures of a container with one more mount."""
    container = build_plain_container(build_state(**state), mountinfo=f"700 600 {line}\n", inspect={"Mounts": mounts or []})
    container["exposed"].update(gather.gather_container(Host(root), container, build_about()))
    regular = {"host_time:time", *(f"host_{name}:{name}" for name in ("pid", "net", "ipc")), "host_network:net"}
    return sorted(name for name in judge(container) if name not in regular)


VOLUME = [{"Type": "volume", "Source": f"{ROOT}/volumes/v/_data", "Destination": "/x"}]


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("8:1 / /x rw - ext4 d rw", ["host_keys:/", "host_system_writable:/"]),
        ("8:1 / /x ro - ext4 d rw", ["engine_data:/", "host_keys:/", "host_system_readable:/"]),
        ("8:1 /etc /x rw - ext4 d rw", ["host_system_writable:/etc"]),
        ("8:1 /etc /x ro - ext4 d rw", ["host_system_readable:/etc"]),
        ("8:1 /etc/cron.d /x rw - ext4 d rw", ["host_system_writable:/etc/cron.d"]),
        ("8:1 /usr/lib /x ro - ext4 d rw", ["host_system_readable:/usr/lib"]),
        ("8:1 /usr/share/zoneinfo/Europe/Berlin /etc/localtime ro - ext4 d rw", ["host_files:/usr/share/zoneinfo/Europe/Berlin"]),
        ("8:1 /usr/share/zoneinfo /z rw - ext4 d rw", ["host_system_writable:/usr/share/zoneinfo"]),
        ("8:1 /etc/ssl/certs /c ro - ext4 d rw", ["host_files:/etc/ssl/certs"]),
        ("8:1 /boot /x ro - ext4 d rw", ["host_system_readable:/boot"]),
        ("8:1 /var /x ro - ext4 d rw", ["engine_data:/var", "host_system_readable:/var"]),
        ("8:1 /var/lib/containerd /x ro - ext4 d rw", ["engine_data:/var/lib/containerd"]),
        ("8:1 /var/lib/docker /x rw - ext4 d rw", ["host_system_writable:/var/lib/docker"]),
        ("8:1 /home /x ro - ext4 d rw", ["host_keys:/home"]),
        ("8:1 /root /x ro - ext4 d rw", ["host_keys:/root", "host_system_readable:/root"]),
        ("8:1 /root/.ssh /x ro - ext4 d rw", ["host_keys:/root/.ssh"]),
        ("8:1 /home/ann/.ssh/id /x ro - ext4 d rw", ["host_keys:/home/ann/.ssh/id"]),
        ("8:1 /home/bob /x ro - ext4 d rw", ["host_files:/home/bob"]),
        ("8:1 /srv/data /x rw - ext4 d rw", ["host_files:/srv/data"]),
        ("8:1 /srv/data /x rw shared:9 - ext4 d rw", ["host_files:/srv/data", "shared_propagation:/srv/data"]),
        ("0:23 /postgresql /x rw - tmpfs t rw", ["host_run:/run/postgresql"]),
        ("0:23 / /x rw - tmpfs t rw", ["engine_socket:/run/docker.sock", "host_system_writable:/run"]),
        ("0:23 / /x ro - tmpfs t rw", ["engine_socket:/run/docker.sock", "host_system_readable:/run"]),
        ("0:23 /systemd /x rw - tmpfs t rw", ["host_system_writable:/run/systemd"]),
        ("0:23 /docker.sock /a/b rw - tmpfs t rw", ["engine_socket:/run/docker.sock"]),
        ("0:23 /docker.sock//deleted /a/b rw - tmpfs t rw", ["host_run:/run/docker.sock"]),
        (f"{HOST} / /host/proc ro - proc p rw", ["host_system_readable:/proc"]),
        (f"{HOST} / /proc rw - proc p rw", ["host_system_writable:/proc"]),
        ("0:22 / /sys ro - sysfs s rw", ["host_system_readable:/sys"]),
        ("0:28 / /sys/fs/cgroup rw - cgroup2 c rw", ["host_system_writable:/sys/fs/cgroup"]),
        ("0:28 / /sys/fs/cgroup ro - cgroup2 c rw", []),
        ("0:28 / /cg ro - cgroup2 c rw", ["host_system_readable:/sys/fs/cgroup"]),
        ("8:1 /sbin/docker-init /sbin/docker-init ro - ext4 d rw", []),
        (f"8:1 {ROOT}/containers/{ID}/hosts /etc/hosts rw - ext4 d rw", []),
        (f"8:1 {ROOT}/containers/{'e' * 64}/hosts /x ro - ext4 d rw", [f"engine_data:{ROOT}/containers/{'e' * 64}/hosts"]),
        ("8:33 / /mnt rw - ext4 /dev/sdc1 rw", ["block_device:8:33"]),
        ("0:90 / /mnt rw - tmpfs t rw", []),
    ],
)  # fmt: skip
def test_mounts(tmp_path: Path, line: str, ids: list[str]) -> None:
    assert judge_mount(tmp_path, line) == ids


def test_what_is_mounted_below_a_folder_comes_with_it(tmp_path: Path) -> None:
    below = "0:23 /user/0 /x/user/0 rw - tmpfs t rw\n701 600 0:23 /docker/netns/1 /x/docker/netns/1 rw - nsfs nsfs rw"
    assert judge_mount(tmp_path, f"0:23 / /x rw - tmpfs t rw\n702 600 {below}") == [
        "engine_socket:/run/docker.sock",
        "host_system_writable:/run",
    ]
    # With another place in the container it was mounted on purpose.
    assert "host_run:/run/user/0" in judge_mount(tmp_path, "0:23 / /x rw - tmpfs t rw\n701 600 0:23 /user/0 /y rw - tmpfs t rw")
    # Worse ones are counted in one exposure.
    lines = "".join(f"70{n} 600 8:1 /var/lib/docker/{n} /x/var/lib/docker/{n} rw - ext4 d rw\n" for n in range(2, 9))
    assert judge_mount(tmp_path, f"8:1 /var /x/var ro - ext4 d rw\n{lines}") == [
        *("engine_data:/var", "host_system_readable:/var", "host_system_writable:/var/lib/docker/2")
    ]
    # Elsewhere it is one of its own.
    assert "host_keys:/home/ann/.ssh" in judge_mount(tmp_path, "8:1 /etc /x ro - ext4 d rw\n701 600 8:1 /home/ann/.ssh /x/k ro - ext4 d rw")


def test_a_volume_is_the_engines_unless_it_binds_a_folder(tmp_path: Path) -> None:
    assert judge_mount(tmp_path, f"8:1 {ROOT}/volumes/v/_data /x rw - ext4 d rw", VOLUME) == []
    assert judge_mount(tmp_path, f"8:1 {ROOT}/volumes/other/_data /x rw - ext4 d rw", VOLUME) == [
        f"host_system_writable:{ROOT}/volumes/other/_data"
    ]
    assert judge_mount(tmp_path, "8:1 /etc /x rw - ext4 d rw", VOLUME) == ["host_system_writable:/etc"]


def test_files_of_a_container_whose_namespace_is_joined(tmp_path: Path) -> None:
    other = {**build_plain_container(build_state(8)), "name": "db", "id": "d" * 64}
    lines = "".join(
        f"70{n} 600 8:1 {ROOT}/containers/{'d' * 64}/{name} {point} rw - ext4 d rw\n"
        for n, (name, point) in enumerate([("hosts", "/etc/hosts"), ("mounts/shm", "/dev/shm"), ("hosts", "/x")])
    )
    container = build_plain_container(mountinfo=lines)
    container["exposed"].update(gather.gather_container(Host(tmp_path), container, build_about()))
    assert [name for name in judge(container, other) if "shared" not in name and "time" not in name] == [
        f"host_system_writable:{ROOT}/containers/{'d' * 64}/hosts"
    ]


@pytest.mark.parametrize(
    ("line", "namespace"),
    [
        ("0:24 / /dev/shm rw - tmpfs t rw", "ipc"),
        (f"{HOST} / /proc rw - proc p rw", "pid"),
        ("0:22 / /sys ro - sysfs s rw", "net"),
        (f"{HOST} /sys /proc/sys ro - proc p rw", "pid"),
    ],
)
def test_regular_mounts_with_the_namespace_of_the_host(tmp_path: Path, line: str, namespace: str) -> None:
    assert judge_mount(tmp_path, line, namespaces={namespace: HOST_NAMESPACES[namespace]}) == []


def test_a_public_file_is_only_listed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name, mode, kind in (("machine-id", 0o644, "host_files"), ("shadow", 0o640, "host_system_readable")):
        (tmp_path / "etc" / name).write_text("x")
        (tmp_path / "etc" / name).chmod(mode)
        assert judge_mount(tmp_path, f"8:1 /etc/{name} /x ro - ext4 d rw") == [f"{kind}:/etc/{name}"]


def test_a_socket_with_another_name_is_the_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/app").mkdir(parents=True)
    write_files(tmp_path, {"proc/1/mountinfo": "25 28 0:23 / /run rw shared:11 - tmpfs tmpfs rw\n28 1 8:1 / / rw - ext4 d rw\n"})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("run/docker.sock")
        os.link("run/docker.sock", "run/app/harmless.sock")
        about = gather.gather_host(Host(tmp_path), {"socket": "/var/run/docker.sock"})
        assert [(entry["path"], entry["device"], entry["root"]) for entry in about["sockets"]] == [
            ("/run/docker.sock", "0:23", "/docker.sock")
        ]
        container = build_plain_container(mountinfo="700 600 0:23 /app /x rw - tmpfs t rw\n")
        (found,) = [
            entry for entry in gather.gather_container(Host(tmp_path), container, about)["mounts"] if entry["mount"]["point"] == "/x"
        ]
    assert found["sockets"] == ["/run/docker.sock"]


def test_a_reused_device_number_shows_nothing_of_the_host(tmp_path: Path) -> None:
    """When a file system is unmounted, the kernel gives its device number to the next one."""
    assert judge_mount(tmp_path, "0:23 / /x rw - tmpfs t rw") != []
    assert judge_mount(tmp_path, "0:23 / /x rw - overlay t rw") == []


def test_a_second_mount_of_the_host_comes_with_its_folder(tmp_path: Path) -> None:
    merged = f"{ROOT}/overlay2/ab/merged/sys/fs/cgroup"
    container = build_plain_container(mountinfo=f"700 600 8:1 / /x rw - ext4 d rw\n701 700 0:28 /a.scope /x{merged} ro - cgroup2 c rw\n")
    container["host_mountinfo"] += f"99 28 0:28 /a.scope {merged} ro - cgroup2 c rw\n"
    container["exposed"].update(gather.gather_container(Host(tmp_path), container, build_about()))
    assert [name for name in judge(container) if "time" not in name] == ["host_system_writable:/", "host_keys:/"]


@pytest.mark.parametrize(
    ("root", "mode", "kinds"), [(ID, "ro", []), (ID, "rw", ["host_system_writable"]), ("d" * 64, "ro", ["host_system_readable"])]
)
def test_the_control_group_of_a_container_is_its_own(tmp_path: Path, root: str, mode: str, kinds: list[str]) -> None:
    line = f"0:28 /system.slice/docker-{root}.scope /x/merged/sys/fs/cgroup {mode} - cgroup2 c rw"
    assert [name.split(":")[0] for name in judge_mount(tmp_path, line)] == kinds


def test_where_a_container_can_write(tmp_path: Path) -> None:
    (tmp_path / "srv/data").mkdir(parents=True)
    (tmp_path / "srv/file").write_text("x")
    lines = "700 600 8:1 /srv/data /data rw,noexec - ext4 d rw\n701 600 8:1 /srv/file /file rw - ext4 d rw\n702 600 8:1 /srv/x /ro ro - ext4 d rw\n"
    found = gather.gather_container(Host(tmp_path), build_plain_container(mountinfo=lines), build_about())["writable"]
    places = {place["point"]: place["options"] for place in found}
    assert places["/data"] == ["noexec"] and places["/dev"] == ["nosuid"] and not {"/file", "/ro", "/proc", "/sys", "/"} & set(places)


def test_mounts_of_the_hosts_namespace_are_not_a_containers(tmp_path: Path) -> None:
    container = build_plain_container()
    container["mountinfo"][HOST_NAMESPACES["mnt"]] = "700 600 8:1 /etc /x rw - ext4 d rw\n"
    assert not [m for m in gather.gather_container(Host(tmp_path), container, build_about())["mounts"] if m["mount"]["point"] == "/x"]


def test_keys_of_users(tmp_path: Path) -> None:
    passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbin:x:2:2::/bin:/x\nbroken\n"
    host = write_files(tmp_path, {"etc/passwd": passwd, "root/.docker/config.json": "{}"})
    host.path("/home/ann/.ssh").mkdir(parents=True)
    assert gather.gather_host(host, {"socket": "/s"})["keys"] == ["/home/ann/.ssh", "/root/.docker/config.json"]


def test_sockets_on_which_an_engine_listens(tmp_path: Path) -> None:
    fds = tmp_path / "proc/600/fd"
    fds.mkdir(parents=True)
    (fds / "3").symlink_to("socket:[4711]")
    (tmp_path / "proc/600/net").mkdir()
    (tmp_path / "proc/600/net/unix").write_text(
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000: 00000002 00000000 00010000 0001 01 4711 /srv/own.sock\n"
        "0000: 00000002 00000000 00010000 0001 01 4712 /srv/other.sock\n"
        "0000: 00000002 00000000 00010000 0001 01 4711 /run/docker/metrics.sock\n"
        "0000: 00000002 00000000 00010000 0001 01 4711 /run/docker/libnetwork/f99b.sock\n"
        "0000: 00000003 00000000 00000000 0001 03 4713\n"
    )
    engine = {"socket": "/run/docker.sock", "daemons": [{"pid": 600}, {"pid": 601}]}
    assert gather._list_listening(Host(tmp_path), engine) == ["/run/docker.sock", "/srv/own.sock"]


@pytest.mark.parametrize(
    ("removed", "ids"),
    [
        ("/proc/kcore", ["unmasked_path:/proc/kcore"]),
        ("/sys/firmware", ["unmasked_path:/sys/firmware"]),
        ("/proc/sys ", ["writable_proc:/proc/sys"]),
        (
            "/proc/",
            [
                "unmasked_path:/proc/kcore",
                "unmasked_path:/proc/keys",
                *(f"writable_proc:/proc/{n}" for n in ("bus", "fs", "irq", "sys", "sysrq-trigger")),
            ],
        ),
    ],
)
def test_files_of_the_kernel_that_are_not_protected(removed: str, ids: list[str]) -> None:
    container = build_plain_container()
    (namespace,) = container["mountinfo"]
    lines = container["mountinfo"][namespace].splitlines(keepends=True)
    container["mountinfo"][namespace] = "".join(line for line in lines if f" {removed}" not in line)
    assert sorted(name for name in judge(container) if name != "host_time:time") == ids


def test_a_writable_sys() -> None:
    container = build_plain_container()
    (namespace,) = container["mountinfo"]
    container["mountinfo"][namespace] = container["mountinfo"][namespace].replace(" /sys ro,", " /sys rw,").replace("sysfs ro", "sysfs rw")
    assert [name for name in judge(container) if name != "host_time:time"] == ["writable_proc:/sys"]


def test_fixture_is_real() -> None:
    assert len(parse_mountinfo(build_plain_container()["mountinfo"]["mnt:[2]"])) == 17
