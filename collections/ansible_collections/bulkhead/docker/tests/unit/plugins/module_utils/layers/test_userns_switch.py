# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan of a switch to userns-remap says of containers and of data, from the answer of module observe_data."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns.plan import plan
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns.plan_access import ContainerIdentity, list_lost
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.ids import IdMaps

from .userns_host import CONTENTS, DESIRED, EMPTY, observed, with_user

IDS = IdMaps([[0, 231072, 65536]], [[0, 231072, 65536]])
INFO = {"DockerRootDir": "/var/lib/docker", "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}
FACTS: dict[str, Any] = {
    "root": "/var/lib/docker", "first": 231072, "target": "", "others": [], "links": [], "ignored": {}, "damaged": [], "containers": [], "attached": [],
    "apart": [], "bytes": 1 << 20, "inodes": 10, "unmapped": [], "size": 0, "mounts": [], "errors": [], "unread": [], "free": 1 << 30,
    "free_inodes": 1000, "copied": 0,
}  # fmt: skip


def container(name: str = "web", runs: bool = True, user: str = "", mounts: Any = (), **host: Any) -> dict[str, Any]:
    return {
        "id": name * 8,
        "name": name,
        "runs": runs,
        "error": "",
        "config": {"User": user},
        "host": host,
        "uids": [0] if runs else [],
        "gids": [0] if runs else [],
        "mounts": [{"source": path, "writable": writable, "volume": "", "type": "bind"} for path, writable in mounts],
        "devices": [],
    }


def entry(
    path: str, kind: str = "file", uid: int = 0, gid: int = 0, mode: int = 0o600, acl: bool | None = False, count: int = 1
) -> dict[str, Any]:
    return {"path": path, "kind": kind, "uid": uid, "gid": gid, "mode": mode, "acl": acl, "count": count}


def about(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": entries[0]["kind"], "entries": list(entries), "more": False, "skipped": [], "unread": "", "errors": [], **more}


def switch(
    *containers: dict[str, Any], paths: Any = None, choice: str = "hide", facts: Any = None, info: Any = None, **variables: Any
) -> LayerPlan:
    """Return the plan of a host with these containers, after its question was answered."""
    desired = {**DESIRED, "userns_remap_existing_data": choice, **variables}
    host = observed(contents=CONTENTS if containers else EMPTY)
    question = plan(host, desired).question
    assert question, "the plan asks for what it depends on"
    root = {**FACTS, **(facts or {})} if choice == "migrate" else {}
    data = {"question": question, "info": {**INFO, **(info or {})}, "containers": list(containers), "paths": paths or {}, "root": root}
    return plan({**host, "data": data}, desired)


# --- when the plan asks ---


def test_only_a_switch_of_a_running_engine_asks() -> None:
    steady = with_user()
    assert plan(observed(steady, remapped="231072.231072", contents=CONTENTS), DESIRED).question == {}
    assert plan(observed(contents=EMPTY), DESIRED).question == {}
    assert plan(observed(contents=CONTENTS, running=False), DESIRED).question == {}
    assert plan(observed(contents=CONTENTS), {**DESIRED, "userns_remap_layer": "disabled"}).question == {}
    asked = plan(observed(contents=CONTENTS), {**DESIRED, "userns_remap_existing_data": "migrate", "userns_remap_scan_timeout": 7}).question
    assert asked == {"uid_map": [[0, 231072, 65536]], "gid_map": [[0, 231072, 65536]], "migrate": True, "paths": [], "scan_timeout": 7}


def test_the_engine_is_asked_on_its_own_socket() -> None:
    variables = {**DESIRED, "userns_remap_existing_data": "hide"}
    assert plan(observed(contents=CONTENTS, socket="/run/other.sock"), variables).question["socket"] == "/run/other.sock"
    assert "socket" not in plan(observed(contents=CONTENTS, socket="/var/run/docker.sock"), variables).question


def test_the_default_choice_is_blocked_and_examined_too() -> None:
    found = switch(container("a", Privileged=True), choice="refuse")
    assert [("would become invisible" in text, "container a has --privileged" in text) for text in found.blockers] == [
        (True, False),
        (False, True),
    ]


def test_an_answer_to_another_question_does_not_count() -> None:
    host = observed(contents=CONTENTS)
    data = {"question": {"migrate": True}, "info": INFO, "containers": [container(Privileged=True)], "paths": {}, "root": {}}
    assert plan({**host, "data": data}, {**DESIRED, "userns_remap_existing_data": "hide"}).blockers == []


# --- containers that do not start ---


@pytest.mark.parametrize("choice", ["hide", "migrate"])
@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"Privileged": True}, "--privileged"),
        ({"NetworkMode": "host"}, "--network host"),
        ({"PidMode": "host"}, "--pid host"),
        ({"IpcMode": "host"}, "--ipc host"),
        ({"user": "70000"}, "--user 70000"),
        ({"user": "0:70000"}, "--user 0:70000"),
        ({"GroupAdd": ["audio", "70000"]}, "--group-add 70000"),
        ({"Tmpfs": {"/t": "size=1m,uid=70000"}}, "--tmpfs /t:size=1m,uid=70000"),
    ],
)
def test_running_container_that_will_not_start(choice: str, given: dict[str, Any], option: str) -> None:
    (blocker,) = switch(container(**given), choice=choice).blockers
    assert f"container web has {option}, with which it does not start under userns-remap" in blocker
    assert "--userns=host" in blocker and "userns_remap_migrate_accept" in blocker and "userns_remap_layer: disabled" in blocker
    assert ("raise userns_remap_range_size to 70001" in blocker) == ("70000" in option)
    accepted = switch(container(**given), choice=choice, userns_remap_migrate_accept=["web"])
    assert accepted.blockers == [] and any(f"web has {option} and stays stopped" in text for text in accepted.warnings)
    stopped = switch(container(runs=False, **given), choice=choice)
    assert stopped.blockers == [] and any(f"web, which does not run now, has {option}" in text for text in stopped.warnings)
    outside = switch(container(UsernsMode="host", **given), choice=choice)
    assert outside.blockers == []


def test_joined_namespaces_decide_too() -> None:
    """Measured: runc rejects the user namespace of a container that has none of its own."""
    first, host = container("first", NetworkMode="host"), container("host", UsernsMode="host")
    joins = [
        container("second", NetworkMode=f"container:{first['id']}"),
        container("third", PidMode="container:second"),
        container("fourth", IpcMode=f"container:{host['id']}"),
        container("fine", NetworkMode="container:plain"),
        container("outside", NetworkMode=f"container:{first['id']}", UsernsMode="host"),
    ]
    blockers = switch(*joins, first, host, container("plain")).blockers
    assert [text.split(",")[0] for text in blockers] == [
        "container second has --network container:first",
        "container third has --pid container:second",
        "container fourth has --ipc container:host",
        "container first has --network host",
    ]


def test_container_of_the_list_that_will_not_start() -> None:
    listed = {"name": "shop", "state": "present", "user": "70000", "network": "", "volumes": ["/srv/x:/x"], "capabilities": []}
    (blocker,) = switch(hardened_container_list=[listed], paths={"/srv/x": about(entry("/srv/x", mode=0o644))}).blockers
    assert "hardened_container_list: container shop has --user 70000" in blocker


def test_processes_with_unmapped_ids_are_named() -> None:
    web = {**container(), "uids": [0, 70000]}
    assert any("processes of web have the ID 70000" in text and "to 70001" in text for text in switch(web).warnings)


def test_an_accepted_name_that_no_container_has() -> None:
    assert any("no container has the name wbe" in text for text in switch(container(), userns_remap_migrate_accept=["wbe"]).warnings)


# --- access ---

SOCKET = entry("/run/docker.sock", "socket", gid=103, mode=0o660)


@pytest.mark.parametrize(
    ("found", "who", "writable", "lost"),
    [
        (SOCKET, ContainerIdentity(frozenset([0]), frozenset([0])), False, ["write"]),
        (SOCKET, ContainerIdentity(frozenset([1000]), frozenset([103])), True, ["write"]),
        (SOCKET, ContainerIdentity(frozenset([1000]), frozenset([1000])), True, []),  # it has no access now
        (entry("k"), ContainerIdentity(frozenset([0]), frozenset([0])), False, ["read"]),
        (entry("k"), ContainerIdentity(frozenset([0]), frozenset([0]), overrides=False), False, ["read"]),
        (entry("k"), ContainerIdentity(frozenset([33]), frozenset([33])), False, []),
        (entry("k", mode=0o644), ContainerIdentity(frozenset([0]), frozenset([0])), True, ["write"]),
        (entry("k", mode=0o644), ContainerIdentity(frozenset([0]), frozenset([0])), False, []),
        (entry("k", uid=1000, gid=1000, mode=0o640), ContainerIdentity(frozenset([1000]), frozenset([1000])), True, ["read", "write"]),
        (entry("k", uid=231072), ContainerIdentity(frozenset([0]), frozenset([0])), True, []),
        (entry("k", uid=232072, gid=0), ContainerIdentity(frozenset([1000]), frozenset([1000])), True, []),
        # capabilities apply only where owner and group are mapped
        (entry("k", uid=231500, gid=231500), ContainerIdentity(frozenset([0]), frozenset([0])), True, []),
        (entry("k", uid=231500, gid=0), ContainerIdentity(frozenset([0]), frozenset([0])), True, ["read", "write"]),
        (entry("k", gid=231072, mode=0o640), ContainerIdentity(frozenset([0]), frozenset([0])), False, []),
        (entry("d", "folder", mode=0o755), ContainerIdentity(frozenset([0]), frozenset([0])), False, []),
        (entry("d", "folder", mode=0o744), ContainerIdentity(frozenset([0]), frozenset([0])), False, ["read"]),
        (entry("d", "device", gid=6, mode=0o660), ContainerIdentity(frozenset([0]), frozenset([0])), False, ["read", "write"]),
        (entry("d", "device", mode=0o666), ContainerIdentity(frozenset([0]), frozenset([0])), True, []),
        # the mode of others does not apply to the owner, nor to the group
        (entry("k", uid=231072, gid=0, mode=0o077), ContainerIdentity(frozenset([0]), frozenset([0]), overrides=False), False, ["read"]),
        (entry("k", uid=1, gid=231072, mode=0o604), ContainerIdentity(frozenset([1]), frozenset([0]), overrides=False), False, ["read"]),
    ],
)
def test_rights_that_are_lost(found: dict[str, Any], who: ContainerIdentity, writable: bool, lost: list[str]) -> None:
    assert list_lost(found, who, IDS, writable) == lost


@pytest.mark.parametrize(
    ("path", "found", "writable", "words"),
    [
        ("/var/run/docker.sock", SOCKET, False, "it cannot connect to that socket (owner 0:103, mode 0660); recreate it with --userns=host"),
        ("/etc/k.pem", entry("/etc/k.pem"), False, "it cannot read that file (owner 0:0, mode 0600); let its group use the file (chgrp 231072 "),
        ("/etc/k.pem", entry("/etc/k.pem", gid=105, mode=0o640), False, "(setfacl -m g:231072:r /etc/k.pem)"),
        ("/srv/app", entry("/srv/app", "folder", 1000, 1000, 0o755), True, "it cannot write that folder (owner 1000:1000, mode 0755); give each file"),
        ("/srv/app", entry("/srv/app", "folder", 1000, 1000, 0o750, acl=True), True, "access control lists is not known: /srv/app (folder, owner"),
        ("/dev/sda", entry("/dev/sda", "device", 0, 6, 0o660), True, "it cannot read or write that device (owner 0:6, mode 0660)"),
    ],
)  # fmt: skip
def test_loss_of_access_is_a_warning(path: str, found: dict[str, Any], writable: bool, words: str) -> None:
    a, b = container("a", mounts=[(path, writable)]), container("b", runs=False, mounts=[(path, writable)])
    plan_ = switch(a, b, container("c", UsernsMode="host", mounts=[(path, True)]), paths={path: about(found)})
    (warning,) = [text for text in plan_.warnings if text.startswith(path)]
    assert f"{path} of the host is used by a, b, and under userns-remap" in warning and words in warning
    assert plan_.blockers == []


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/run", "/var/run/x", "/var", "/home", "/usr/share/x", "/var/lib/docker/volumes", "/dev", "/root/x"]
)
def test_no_command_changes_owners_of_the_system(path: str) -> None:
    folder = entry(path, "folder", mode=0o700, count=1)
    found = switch(container(mounts=[(path, True)]), paths={path: about(folder)})
    (warning,) = [text for text in found.warnings if text.startswith(f"{path} ")]
    assert "chown" not in warning and "mount only what the container needs" in warning
    for own in ("/srv", "/srv/app", "/home/joe", "/opt/app", "/data", "/var/lib/app"):
        texts = switch(container(mounts=[(own, True)]), paths={own: about(folder)}).warnings
        assert any("chown" in text for text in texts)


def test_files_below_a_folder_are_counted() -> None:
    found = about(entry("/srv", "folder", mode=0o755), entry("/srv/a", count=7), entry("/srv/s", "socket", mode=0o755))
    (warning,) = [text for text in switch(container(mounts=[("/srv", False)]), paths={"/srv": found}).warnings if text.startswith("/srv")]
    assert "it cannot connect to or read 8 of the files there: /srv/s (socket, owner 0:0, mode 0755); /srv/a (file" in warning


def test_no_warning_without_a_loss() -> None:
    fine = {"/srv": about(entry("/srv", "folder", mode=0o755), entry("/srv/a", mode=0o644))}
    assert len(switch(container(mounts=[("/srv", False)]), paths=fine).warnings) == 1  # of the data that stays
    assert not any("/srv" in text for text in switch(container(mounts=[("/srv", False)]), paths=fine).warnings)


def test_containers_of_the_list_are_judged_by_their_user() -> None:
    listed = {
        "name": "shop",
        "state": "present",
        "user": "101:101",
        "network": "",
        "volumes": ["/srv/k:/k:ro", "data:/d"],
        "capabilities": [],
    }
    owned = {"/srv/k": about(entry("/srv/k", uid=101, gid=101, mode=0o400))}
    (warning,) = switch(hardened_container_list=[listed], paths=owned).warnings
    assert "/srv/k of the host is used by shop, and under userns-remap it cannot read that file" in warning
    assert "take it out of hardened_container_list and run it with --userns=host" in warning, "an entry has no such setting"
    assert "recreate it" not in warning
    assert switch(hardened_container_list=[listed], paths={"/srv/k": about(entry("/srv/k"))}).warnings == []


# --- what was not examined ---


def test_unfinished_scan_blocks_only_a_migration() -> None:
    web, slow = container(mounts=[("/srv", True)]), {"/srv": about(entry("/srv", "folder", mode=0o777), unread="/srv/deep/x")}
    text = "/srv, which containers use, were not read within 120 s: reading ended at /srv/deep/x; raise userns_remap_scan_timeout"
    assert any(text in warning for warning in switch(web, paths=slow).warnings)
    assert any(text in blocker for blocker in switch(web, paths=slow, choice="migrate").blockers)


def test_places_that_were_not_examined_are_named() -> None:
    missed = about(entry("/srv", "folder", mode=0o755), skipped=["/srv/nfs (nfs4)"], errors=["/srv/x: Input/output error"], more=True)
    (warning,) = [text for text in switch(container(mounts=[("/srv", False)]), paths={"/srv": missed}).warnings if "not examined" in text]
    assert "/srv/nfs (nfs4), /srv/x: Input/output error, owners and modes beyond the first ones" in warning


def test_container_that_the_engine_does_not_report() -> None:
    assert any("web was not examined" in text for text in switch({**container(), "error": "timed out", "host": {}}).warnings)


def test_volumes_of_other_places_are_named() -> None:
    web = {**container(), "mounts": [{"source": "", "writable": True, "volume": "share", "type": "nfs"}]}
    assert any("volume share (nfs) of web is not in the engine's data root" in text for text in switch(web).warnings)


def test_path_in_the_old_data_root_stays_behind() -> None:
    path = "/var/lib/docker/volumes/data/_data"
    web = container(mounts=[(path, True)])
    assert any("stays in the plain data root, while the engine uses a copy" in text for text in switch(web, choice="migrate").warnings)


# --- data ---


@pytest.mark.parametrize(
    ("facts", "info", "words"),
    [
        ({}, {"Driver": "btrfs"}, "keeps images with btrfs"),
        ({}, {"Swarm": {"LocalNodeState": "active"}}, "swarm node"),
        ({}, {"Plugins": {"Volume": ["local", "vieux/sshfs:latest"]}}, "vieux/sshfs:latest"),
        ({"target": "/var/lib/docker/231072.231072 has been an engine's root before"}, {}, "has been an engine's root before"),
        ({"others": ["plugins/x"]}, {}, "plugins/x of /var/lib/docker cannot be migrated"),
        ({"links": [("/var/lib/docker/volumes/v/_data", "/srv")]}, {}, "is a symbolic link to /srv"),
        ({"damaged": ["the volume v has no folder x"]}, {}, "the volume v has no folder x; the engine's root is damaged"),
        ({"mounts": ["/var/lib/docker/volumes/v/_data/sub"]}, {}, "_data/sub is on another file system"),
        ({"errors": ["[Errno 5] Input/output error: 'x'"]}, {}, "Input/output error"),
        ({"unmapped": ["x: user ID 70000"], "size": 70001}, {}, "raise userns_remap_range_size to 70001 or more, or change the owners"),
        ({"unmapped": ["x: user ID 4294967290"], "size": 4294967291}, {}, "owners of x: user ID 4294967290; change the owners"),
        ({"bytes": 2 << 30}, {}, "contains 2048 MiB to copy, and the disk has 1024 MiB free"),
        ({"inodes": 2000}, {}, "2000 files are to be copied"),
        ({"unread": ["/var/lib/docker/overlay2/a"]}, {}, "1 parts of /var/lib/docker were not read within 120 s"),
        ({"ignored": {f"containers/{'web' * 8}": "it has no config.v2.json"}}, {}, "the engine would lose it at its next start"),
    ],
)
def test_obstacles_to_a_migration_are_blockers(facts: dict[str, Any], info: dict[str, Any], words: str) -> None:
    found = switch(container(), choice="migrate", facts=facts, info=info)
    assert any(words in text for text in found.blockers), found.blockers
    assert not found.apply and not found.changes
    if not info:
        assert switch(container(), choice="hide").blockers == []


def test_another_store_has_one_blocker() -> None:
    """The facts of its data are not read, because they describe overlay2 (observe_data)."""
    info = {"Driver": "stargz", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    question = plan(observed(contents=CONTENTS), {**DESIRED, "userns_remap_existing_data": "migrate"}).question
    answer = {"question": question, "info": {**INFO, **info}, "containers": [container()], "paths": {}, "root": {}}
    found = plan({**observed(contents=CONTENTS), "data": answer}, {**DESIRED, "userns_remap_existing_data": "migrate"})
    assert len(found.blockers) == 1
    assert "keeps images with stargz of containerd, and only overlay2 and overlayfs of containerd can be migrated" in found.blockers[0]


def test_what_containerd_has_is_judged() -> None:
    facts = {"problems": ["web:1: 1 of its 2 layers are not unpacked"]}
    assert "web:1: 1 of its 2 layers" in switch(container(), choice="migrate", facts=facts).blockers[0]
    assert "also has 3 images of a storage driver" in switch(container(), choice="migrate", facts={"unused": 3}).blockers[0]
    found = switch(container(), choice="migrate", facts={"problems": [], "unused": 0, "left": ["web:1: linux/arm64, 1 attestation"]})
    assert found.blockers == [] and found.apply["migrate"] is True
    assert any("web:1: linux/arm64, 1 attestation stay in containerd" in text for text in found.notices)
    assert not any("not compared" in text for text in found.warnings)
    found = switch(container(), choice="migrate", facts={"uncompared": {"count": 3, "bytes": 5_000_000_000}})
    assert any("3 archives of layers in containerd (5.0 GB) were not compared" in text for text in found.warnings)


def test_a_host_without_data_has_nothing_to_migrate() -> None:
    """It is not asked what hinders a migration, such as the containerd store."""
    found = plan(observed(contents=EMPTY), {**DESIRED, "userns_remap_existing_data": "migrate"})
    assert (found.question, found.blockers) == ({}, [])
    assert "migrate" not in found.apply


def test_what_the_engine_ignores_is_left_behind() -> None:
    found = switch(container(), choice="migrate", facts={"ignored": {f"containers/{'e' * 64}": "it has no config.v2.json"}})
    assert found.blockers == [] and found.apply["migrate"] is True
    assert any("is not migrated, because the engine ignores it (it has no config.v2.json)" in text for text in found.notices)


def test_data_on_other_disks_is_a_warning() -> None:
    found = switch(container(), choice="migrate", facts={"apart": ["volumes"], "attached": ["/var/lib/docker/volumes/v/_data"]})
    assert found.blockers == []
    assert any("/var/lib/docker/volumes: on another disk" in text for text in found.warnings)
    assert any("mounted on /var/lib/docker/volumes/v/_data: its files are copied" in text for text in found.warnings)
