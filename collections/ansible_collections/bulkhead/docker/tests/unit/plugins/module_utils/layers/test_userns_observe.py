# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.observe import observe_config
from ansible_collections.bulkhead.docker.plugins.module_utils.host import accounts as directory
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state
from ansible_collections.bulkhead.docker.plugins.module_utils.host.accounts import parse_ids, parse_lowest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns.observe import observe
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.mapping import parse_state

from ...builders import write_files


def test_a_bare_host(tmp_path: Path) -> None:
    found = observe(Host(tmp_path))
    assert json.loads(json.dumps(found)) == found
    assert found["subuid"] == {"text": None, "mtime": None}
    assert (found["max_user_namespaces"], found["host_namespace"], found["configured"]) == (None, None, None)
    assert (found["roots"], found["unreadable"], found["state"]) == ([], {}, {})


def test_host_with_everything(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "etc/subuid": "alice:100000:65536\r\n",
            "etc/subgid": "",
            "etc/passwd": "alice:x:1000:100::/:/bin/sh\n+::::::\n",
            "etc/group": "users:x:100:\n",
            "etc/login.defs": "# SUB_UID_MIN 5\nSUB_UID_MIN\t 200000\nSUB_GID_MIN 300000\n",
            "etc/sssd/sssd.conf": "",
            "proc/sys/user/max_user_namespaces": "95211\n",
        },
    )
    (tmp_path / "proc/1/ns").mkdir(parents=True)
    (tmp_path / "proc/1/ns/user").symlink_to("user:[4026531837]")
    own = ("containers/c1/x", "containers/c2/x", "image/overlay2/imagedb/content/sha256/aa")
    remapped = ("swarm/state.json", "volumes/v1/_data/x", "volumes/metadata.db", "image/overlay2/imagedb/content/sha256/aa")
    write_files(tmp_path, dict.fromkeys((*(f"data/{path}" for path in own), *(f"data/100000.100000/{path}" for path in remapped)), ""))
    state.save(Host(tmp_path), "userns", {"users": {"alice": {}}})

    found = observe(Host(tmp_path), {"data_root": "/data", "unknown": "", "remap": "alice"})
    assert found["subuid"]["text"] == "alice:100000:65536\r\n"
    assert found["uids"] == {"alice": 1000}
    assert found["gids"] == {"users": 100}
    assert found["named"] == {"users": {}, "groups": {}}, "name services know nothing of a host below another root"
    assert (found["lowest"], found["max_user_namespaces"]) == (300000, 95211)
    assert (found["configured"], found["data_root"]) == ("alice", "/data")
    assert found["host_namespace"] == "user:[4026531837]"
    assert found["roots"] == [
        {"path": "/data", "remapped": None, "others": [], "containers": 2, "volumes": 0, "images": 1, "unknown": ""},
        {
            "path": "/data/100000.100000",
            "remapped": "100000.100000",
            "others": ["swarm/state.json"],
            "containers": 0,
            "volumes": 1,
            "images": 1,
            "unknown": "",
        },
    ]
    assert found["state"] == {"users": {"alice": {}}}


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "etc/subuid").mkdir(parents=True)
    write_files(tmp_path, {"var/lib/bulkhead/userns.json": "["})
    found = observe(Host(tmp_path))
    assert found["unreadable"]["/etc/subuid"] == "Is a directory"
    assert "userns.json: not valid JSON" in found["unreadable"]["the remembered state of this layer"]
    assert found["configured"] is None


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("root:x:0:0::/root:/bin/sh\nroot:x:5:0\n", {"root": 0}),
        ("# a comment\n+@nis::::::\n\nshort:x\nodd:x:y:0\n-bad\n", {}),
        ("a:x:12:\nb:x:13:a,c\n", {"a": 12, "b": 13}),
    ],
)
def test_names_and_ids(text: str, ids: dict[str, int]) -> None:
    assert parse_ids(text) == ids


@pytest.mark.parametrize(("text", "lowest"), [("", 100000), ("SUB_UID_MIN 65536\n", 65536), ("SUB_GID_MIN x\n", 100000)])
def test_lowest_id_of_login_defs(text: str, lowest: int) -> None:
    assert parse_lowest(text) == lowest


def test_large_or_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("subuid", "group"):
        (tmp_path / "etc" / name).write_bytes(b"")
        os.truncate(tmp_path / "etc" / name, 40 << 20)
    (tmp_path / "etc/passwd").mkdir()
    found = observe(Host(tmp_path))
    assert sorted(found["unreadable"]) == ["/etc/group", "/etc/passwd", "/etc/subuid"]
    assert "larger than the limit" in found["unreadable"]["/etc/subuid"]


def test_directory_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"etc/nsswitch.conf": "passwd: files ldap\nsubid: sss\n", "etc/subuid": "dockremap:231072:65536\n"})
    monkeypatch.setattr(directory, "run_getent", lambda source, database, seconds: "ann:*:231080:1::/:/bin/sh\n")
    found = observe(Host(tmp_path))
    assert found["directory"] == {"uids": {"ann": 231080}, "gids": {}, "unchecked": []}
    assert found["subid_sources"] == ["sss"]
    assert found["uids"] == {}, "what the files have"
    assert parse_state(found).accounts.uids == {"ann": 231080}


def write_unit(root: Path, command: str) -> None:
    write_files(root, {"usr/lib/systemd/system/docker.service": f"[Service]\nExecStart={command}\n"})


@pytest.mark.parametrize("command", ["/usr/sbin/dockerd --data-root=/srv/docker", "/bin/sh -c 'exec dockerd --data-root /srv/docker'"])
def test_flag_gives_the_data_root_of_a_stopped_engine(tmp_path: Path, command: str) -> None:
    write_unit(tmp_path, command)
    write_files(tmp_path, {"srv/docker/231072.231072/volumes/v1/_data/x": "", "var/lib/docker/400000.400000/x": ""})
    host = Host(tmp_path)
    found = observe(host, observe_config(host)["unit"])
    assert (found["data_root"], found["used_roots"]) == ("/srv/docker", ["231072.231072", "400000.400000"])
    assert [(root["remapped"], root["volumes"]) for root in found["roots"]] == [(None, 0), ("231072.231072", 1)]


def test_data_root_behind_a_wrapper_is_unknown(tmp_path: Path) -> None:
    write_unit(tmp_path, "/usr/local/bin/start-docker")
    host = Host(tmp_path)
    config = observe_config(host)["unit"]
    found = observe(host, config)
    assert config["unknown"] and (found["data_root"], found["roots"], found["next_root"]) == (None, [], None)
    running = observe_config(host, ROOTFUL, {"pid": 7, "argv": ["dockerd", "--data-root=/srv"], "rootless": False})["unit"]
    assert (running["unknown"], observe(host, running, "/srv/231072.231072")["data_root"]) == ("", "/srv")


def test_next_start_has_another_data_root(tmp_path: Path) -> None:
    write_files(tmp_path, {"etc/docker/daemon.json": '{"data-root": "/new", "userns-remap": null}'})
    (tmp_path / "link").symlink_to(tmp_path / "new")
    host = Host(tmp_path)
    config = observe_config(host)["unit"]
    assert config["remap"] is None
    assert observe(host, config, "/var/lib/docker")["next_root"] == "/new"
    assert observe(host, config, "/new/231072.231072")["next_root"] is None
    assert observe(host, {**config, "data_root": "/link"}, "/new")["next_root"] is None


@pytest.mark.parametrize(
    ("database", "remapped", "unknown"),
    [
        (b"v1\x00moby\x00images", None, "/var/lib/containerd"),
        (b"v1\x00moby-231072.231072\x00images", "231072.231072", "/var/lib/containerd"),
        (b"v1\x00k8s.io\x00images", None, ""),
        (None, None, "/var/lib/containerd"),
    ],
)
def test_images_of_containerds_store_are_unknown(tmp_path: Path, database: bytes | None, remapped: str | None, unknown: str) -> None:
    store = "var/lib/containerd/io.containerd."
    write_files(tmp_path, {f"{store}content.v1.content/blobs/sha256/aa": ""})
    (tmp_path / f"var/lib/docker/{remapped or ''}").mkdir(parents=True, exist_ok=True)
    if database is not None:
        write_files(tmp_path, {f"{store}metadata.v1.bolt/meta.db": database})
    roots = {root["remapped"]: root["unknown"] for root in observe(Host(tmp_path))["roots"]}
    assert roots[remapped] == unknown
    write_files(tmp_path, {"var/lib/docker/image/overlay2/imagedb/content/sha256/aa": ""})
    assert {root["remapped"]: root["unknown"] for root in observe(Host(tmp_path))["roots"]}[None] == "", "its images are counted"


@pytest.mark.parametrize(
    ("files", "unknown"),
    [
        ({"etc/containerd/config.toml": 'version = 2\nroot = "/srv/c"\n'}, "/srv/c"),
        ({"etc/containerd/config.toml": 'imports = ["conf.d/*.toml"]\n', "etc/containerd/conf.d/a.toml": 'root = "/srv/c"\n'}, "/srv/c"),
        ({"etc/containerd/config.toml": 'imports = ["/opt/a.toml"]\nroot = "/x"\n', "opt/a.toml": 'root = "/srv/c"\n'}, "/srv/c"),
        ({"usr/lib/systemd/system/containerd.service": "[Service]\nExecStart=/usr/bin/containerd --root /srv/c\n"}, "/srv/c"),
        (
            {
                "usr/lib/systemd/system/containerd.service": "[Service]\nExecStart=/usr/bin/containerd -c /c.toml\n",
                "c.toml": "root = '/srv/c'",
            },
            "/srv/c",
        ),
        ({"etc/containerd/config.toml": "version = 2\n"}, ""),
    ],
)
def test_root_of_containerd_is_where_it_says(tmp_path: Path, files: dict[str, str], unknown: str) -> None:
    write_files(tmp_path, {**files, "srv/c/io.containerd.content.v1.content/blobs/sha256/aa": ""})
    (tmp_path / "var/lib/docker").mkdir(parents=True)
    assert observe(Host(tmp_path))["roots"][0]["unknown"] == unknown


@pytest.mark.parametrize("text", ["root = ", "imports = 7\n"])
def test_root_of_containerd_that_cannot_be_read_is_unknown(tmp_path: Path, text: str) -> None:
    write_files(tmp_path, {"etc/containerd/config.toml": text})
    (tmp_path / "var/lib/docker").mkdir(parents=True)
    assert observe(Host(tmp_path))["roots"][0]["unknown"].startswith("containerd (/etc/containerd/config.toml: ")
