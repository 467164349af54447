# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated entries of hardened_container_list and compose overrides: what was used, and valid for the role's own checks."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.plugin_utils.hardened.entries import resolve_containers
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.compose import generate_compose_override
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.container import generate_container_entry
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import ContainerMount, RecorderEntry, Recording, Source
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.writes import find_written_folders

from .samples import DAY, make_access, make_nginx

DEFAULTS = {
    "hardened_container_user": "65534:65534", "hardened_container_read_only": True, "hardened_container_tmpfs": ["/tmp", "/run"],
    "hardened_container_capabilities": [], "hardened_container_seccomp_profile": "bulkhead-web", "hardened_container_apparmor_profile": "",
    "hardened_container_pids_limit": 100, "hardened_container_memory": "256m", "hardened_container_cpus": 1.0,
    "hardened_container_restart_policy": "unless-stopped", "hardened_container_log_max_size": "10m", "hardened_container_log_max_file": 3,
    "hardened_container_project": "bulkhead",
}  # fmt: skip
RECORDING = {"calls": Source("recording"), "access": Source("recording")}


def resolve(entry: dict[str, Any]) -> dict[str, Any]:
    return resolve_containers({**DEFAULTS, "hardened_container_list": [entry]}, KINDS)[0]


def record(recording: Recording, sources: dict[str, Source] | None = None) -> Recording:
    """Return the recording with a recorder that recorded accesses."""
    recorder = RecorderEntry(
        "web1", "x", f"{DAY}T00:00:00Z", f"{DAY}T00:00:00Z", {}, RECORDING if sources is None else sources, running=frozenset({"a"})
    )
    return Recording(**{**recording.__dict__, "recorders": {recorder.key: recorder}})


def make_shop(**values: Any) -> Recording:
    access = [
        make_access(class_="capability", name="setuid"),
        make_access(class_="capability", name="net_admin", denied=True),
        make_access(class_="file", path="/run/nginx.pid", mask="rw"),
        make_access(class_="file", path="/var/cache/nginx/client_temp/[0-9]*", mask="rw"),
        make_access(class_="file", path="/etc/nginx/nginx.conf", mask="r"),
    ]
    return record(make_nginx(access=access, written=["/var/lib/shop/data.db"], peaks={"pids": 9, "memory": 50 << 20}, **values))


def test_entry_has_what_was_used() -> None:
    generated = generate_container_entry(make_shop())
    assert generated.entry == {
        "name": "shop-web",
        "image": "nginx:1.27",
        "capabilities": ["SETUID"],
        "read_only": True,
        "tmpfs": ["/run", "/var/cache/nginx"],
        "volumes": ["/srv/www:/srv:ro", "shop-web-var-lib-shop:/var/lib/shop"],
        "seccomp_profile": "recorded-shop-web",
        "apparmor_profile": "recorded-shop-web",
        "pids_limit": 20,
        "memory": "80m",
        "network": "front",
        "ports": ["8080:80/tcp"],
    }
    reasons = dict(generated.reasons)
    assert reasons["capabilities"] == "those that it used; not used: CHOWN, SETGID"
    assert reasons["memory"] == "at most 50 MiB were counted in one container"
    assert reasons["volumes"].endswith("/var/lib/shop: written: /var/lib/shop/data.db")
    assert set(generated.entry) - {"name"} == set(reasons)


def test_entry_is_valid_for_the_role() -> None:
    entry = resolve(generate_container_entry(make_shop()).entry)
    assert (entry["user"], entry["read_only"], entry["capabilities"]) == ("65534:65534", True, ["SETUID"])


@pytest.mark.parametrize("user", ["", "root", "0", "0:0", "root:www"])
def test_root_is_a_note_because_the_role_rejects_it(user: str) -> None:
    generated = generate_container_entry(make_shop(configuration={"user": user}))
    assert "user" not in generated.entry
    assert generated.notes[0].startswith(
        f"user: its containers run as {user or 'root'}; hardened_container_list accepts one user that is not"
    )


def test_another_user_is_kept() -> None:
    entry = generate_container_entry(make_shop(configuration={"user": "101:101"})).entry
    assert resolve(entry)["user"] == "101:101"


@pytest.mark.parametrize("sources", [{}, {"calls": Source("recording"), "access": Source("unavailable", "x")}])
def test_without_recorded_accesses_all_capabilities_stay(sources: dict[str, Source]) -> None:
    generated = generate_container_entry(record(make_nginx(), sources))
    assert generated.entry["capabilities"] == ["CHOWN", "SETGID", "SETUID"]
    assert "AppArmor recorded nothing" in dict(generated.reasons)["capabilities"]
    assert "apparmor_profile" not in generated.entry


def test_without_peaks_the_limits_are_those_of_the_role() -> None:
    generated = generate_container_entry(record(make_nginx()))
    assert "pids_limit" not in generated.entry and "memory" not in generated.entry
    assert "pids_limit: the highest use was not recorded; the entry has hardened_container_pids_limit" in generated.notes


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({"networks": ("bridge",)}, {"ports": ["8080:80/tcp"]}),
        ({"networks": ("host",)}, {"network": "host"}),
        ({"networks": ("back", "front"), "ports": ()}, {"network": "back"}),
        ({"networks": (), "ports": ("80/tcp", "127.0.0.1:8443:443/tcp")}, {"ports": ["127.0.0.1:8443:443/tcp"]}),
    ],
)
def test_networks_and_ports(configuration: dict[str, Any], expected: dict[str, Any]) -> None:
    entry = generate_container_entry(record(make_nginx(configuration=configuration))).entry
    assert {key: entry[key] for key in ("network", "ports") if key in entry} == expected
    resolve(entry)


def test_mounts_are_kept_as_they_are() -> None:
    mounts = (
        ContainerMount("/data", "volume", "f" * 64),
        ContainerMount("/srv/x", "bind", "/srv/y"),
        ContainerMount("/cache", "tmpfs"),
        ContainerMount("/logs", "volume", "logs", True),
    )
    entry = generate_container_entry(record(make_nginx(configuration={"mounts": mounts}))).entry
    assert (entry["volumes"], entry["tmpfs"]) == (["/data", "/srv/y:/srv/x", "logs:/logs:ro"], ["/cache"])
    resolve(entry)


def test_a_mount_whose_source_was_generalised_is_a_note() -> None:
    generated = generate_container_entry(record(make_nginx(configuration={"mounts": (ContainerMount("/data", "bind", "/home/*/data"),)})))
    assert "volumes" not in generated.entry
    assert (
        "volumes: /home/*/data:/data: what differs between hosts or users was replaced by a pattern; write the real path" in generated.notes
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("/tmp/a", {"/tmp": False}),
        ("/tmp/[0-9]*", {"/tmp": False}),
        ("/run/app/x.pid", {"/run": False}),
        ("/var/run/x.pid", {"/run": False}),
        ("/var/cache/app/a/b", {"/var/cache/app": False}),
        ("/var/log/app.log", {"/var/log": False}),
        ("/var/lib/postgresql/data/base/[0-9]*", {"/var/lib/postgresql/data/base": True}),
        ("/app/data/x", {"/app/data": True}),
        ("/app/\\{a\\}/x", {"/app/{a}": True}),
        ("/home/*/x", {}),
        ("/etc/passwd", {}),
        ("/file", {}),
        ("/etc/nginx/conf.d/default.conf", {"/etc/nginx/conf.d": True}),
        ("/etc/hosts", {}),
        ("/proc/sys/x", {}),
        ("@{PROC}/@{pid}/attr/exec", {}),
        ("/dev/shm/x", {}),
        ("/srv/below/a/mount", {}),
    ],
)
def test_folders_of_writes(written: str, expected: dict[str, bool]) -> None:
    found, problems = find_written_folders(make_nginx(written=[written]))
    assert {path: folder.keeps for path, folder in found.items()} == expected
    assert [problem.split()[3] for problem in problems] == ([f"{written},"] if written in ("/etc/passwd", "/file", "/home/*/x") else [])


def test_a_folder_within_another_is_not_mounted() -> None:
    found, unused = find_written_folders(make_nginx(written=["/data/a", "/data/b/c", "/data/b/d/e"]))
    assert found["/data"].why == "written: /data/a, /data/b/c, /data/b/d/e" and list(found) == ["/data"]


def test_compose_override_has_the_same_settings() -> None:
    text = generate_compose_override(make_shop(configuration={"user": "101"}), "web")
    data = yaml.safe_load(text)
    assert data["services"]["web"] == {
        "read_only": True,
        "tmpfs": ["/run:rw,noexec,nosuid,nodev,mode=1777", "/var/cache/nginx:rw,noexec,nosuid,nodev,mode=1777"],
        "volumes": ["shop-web-var-lib-shop:/var/lib/shop"],
        "cap_drop": ["ALL"],
        "cap_add": ["SETUID"],
        "security_opt": [
            "no-new-privileges=true", "seccomp=/etc/docker/seccomp/recorded-shop-web.json", "apparmor=recorded-shop-web",
        ],
        "user": "101",
        "pids_limit": 20,
        "mem_limit": 80 << 20,
        "memswap_limit": 80 << 20,
    }  # fmt: skip
    assert data["volumes"] == {"shop-web-var-lib-shop": {"name": "shop-web-var-lib-shop"}}
    assert "    # those that it used; not used: CHOWN, SETGID\n    cap_add:" in text


def test_compose_override_without_recorded_accesses() -> None:
    service = yaml.safe_load(generate_compose_override(record(make_nginx(), {}), "on"))["services"]["on"]
    assert service["security_opt"] == ["no-new-privileges=true", "seccomp=/etc/docker/seccomp/recorded-shop-web.json"]
    assert "tmpfs" not in service and "volumes" not in service and "user" not in service
