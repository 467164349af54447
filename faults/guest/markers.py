# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the machine: prints the markers as one JSON object. Owners are shown as a container sees them."""

import hashlib
import http.client
import io
import json
import os
import socket
import stat
import struct
import tarfile
from pathlib import Path
from typing import Any


class EngineConnection(http.client.HTTPConnection):
    """A connection to the engine's socket. The docker program takes most of a second per request on an emulated machine."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect("/var/run/docker.sock")


def fetch_bytes(path: str) -> bytes:
    connection = EngineConnection("engine")
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
    except OSError as error:
        raise SystemExit(json.dumps({"engine": False, "error": f"{path}: {error}"})) from None
    if answer.status != 200:
        raise SystemExit(json.dumps({"engine": False, "error": f"{path}: {text.decode()[-500:]}"}))
    return text


def fetch_json(path: str) -> Any:
    return json.loads(fetch_bytes(path))


info = fetch_json("/info")
tail = os.path.basename(info["DockerRootDir"])
base = int(tail.split(".")[0]) if "." in tail else 0


def to_container_id(number: int) -> int:
    return number - base


def parse_acl(raw: bytes) -> list[tuple[int, int, int | None]]:
    entries = [struct.unpack("<HHI", raw[i : i + 8]) for i in range(4, len(raw), 8)]
    return [(tag, perm, to_container_id(who) if tag in (2, 8) else None) for tag, perm, who in entries]


def read_tree(top: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    links: dict[int, list[str]] = {}
    for folder, folders, files in os.walk(top):
        for name in [""] * (folder == top) + folders + files:
            path = os.path.join(folder, name) if name else folder
            s = os.lstat(path)
            entry = {
                "mode": oct(s.st_mode),
                "owner": [to_container_id(s.st_uid), to_container_id(s.st_gid)],
                "size": s.st_size if not stat.S_ISDIR(s.st_mode) else 0,
            }
            if stat.S_ISREG(s.st_mode):
                entry["sha256"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
                entry["mtime"] = s.st_mtime_ns
                entry["holes"] = s.st_blocks * 512 < s.st_size
            if stat.S_ISLNK(s.st_mode):
                entry["to"] = os.readlink(path)
            if s.st_nlink > 1 and not stat.S_ISDIR(s.st_mode):
                entry["linked"] = links.setdefault(s.st_ino, [])
                links[s.st_ino].append(os.path.relpath(path, top))
            for key in os.listxattr(path, follow_symlinks=False):
                raw = os.getxattr(path, key, follow_symlinks=False)
                entry[key] = parse_acl(raw) if "posix_acl" in key else raw.hex()
            found[os.path.relpath(path, top)] = entry
    for names in links.values():
        names.sort()
    return found


markers: dict[str, Any] = {"engine": True, "root": info["DockerRootDir"], "images": {}, "volumes": {}, "containers": {}, "networks": {}}
for image in fetch_json("/images/json"):
    for name in image["RepoTags"] or []:
        markers["images"][name] = image["Id"]
for v in fetch_json("/volumes")["Volumes"] or []:
    markers["volumes"][v["Name"]] = {k: v.get(k) for k in ("Driver", "Labels", "Options", "Scope")} | {"files": read_tree(v["Mountpoint"])}
for listed in fetch_json("/containers/json?all=true"):
    c = fetch_json(f"/containers/{listed['Id']}/json")
    h = c["HostConfig"]
    markers["containers"][c["Name"].lstrip("/")] = {
        "id": c["Id"],
        "image": c["Image"],
        "env": c["Config"]["Env"],
        "command": [c["Path"], *c["Args"]],
        "restart": h["RestartPolicy"]["Name"],
        "network": h["NetworkMode"],
        "binds": h["Binds"],
        "volumes": sorted((m.get("Name") or "", m["Destination"]) for m in c["Mounts"]),
        "running": c["State"]["Running"],
    }
if "ended" in markers["containers"]:
    with tarfile.open(fileobj=io.BytesIO(fetch_bytes("/containers/ended/archive?path=/left"))) as archive:
        member = archive.extractfile("left")
        markers["containers"]["ended"]["left"] = member.read().decode() if member else None
for n in fetch_json("/networks"):
    if n["Name"].startswith("marker"):
        markers["networks"][n["Name"]] = {
            "id": n["Id"],
            "driver": n["Driver"],
            "labels": n["Labels"],
            "subnets": [c["Subnet"] for c in n["IPAM"]["Config"]],
        }
print(json.dumps(markers))
