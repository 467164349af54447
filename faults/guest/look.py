# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in the machine: prints what may not be lost as one JSON object. Owners are shown as a container sees them."""

import hashlib
import json
import os
import stat
import struct
import subprocess
from pathlib import Path
from typing import Any


def docker(*words: str) -> bytes:
    done = subprocess.run(["docker", *words], capture_output=True)
    if done.returncode:
        raise SystemExit(json.dumps({"engine": False, "error": done.stderr.decode()[-500:]}))
    return done.stdout


def lines(*words: str) -> list[str]:
    return docker(*words).decode().split()


info = json.loads(docker("info", "--format", "{{json .}}"))
tail = os.path.basename(info["DockerRootDir"])
base = int(tail.split(".")[0]) if "." in tail else 0


def remapped(number: int) -> int:
    return number - base


def acl(raw: bytes) -> list[tuple[int, int, int | None]]:
    entries = [struct.unpack("<HHI", raw[i : i + 8]) for i in range(4, len(raw), 8)]
    return [(tag, perm, remapped(who) if tag in (2, 8) else None) for tag, perm, who in entries]


def tree(top: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    links: dict[int, list[str]] = {}
    for folder, folders, files in os.walk(top):
        for name in [""] * (folder == top) + folders + files:
            path = os.path.join(folder, name) if name else folder
            s = os.lstat(path)
            entry = {
                "mode": oct(s.st_mode),
                "owner": [remapped(s.st_uid), remapped(s.st_gid)],
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
                entry[key] = acl(raw) if "posix_acl" in key else raw.hex()
            found[os.path.relpath(path, top)] = entry
    for names in links.values():
        names.sort()
    return found


seen: dict[str, Any] = {"engine": True, "root": info["DockerRootDir"], "images": {}, "volumes": {}, "containers": {}, "networks": {}}
for name in set(lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}")):
    seen["images"][name] = docker("image", "inspect", "-f", "{{.Id}}", name).decode().strip()
volumes = lines("volume", "ls", "-q")
for v in json.loads(docker("volume", "inspect", *volumes)) if volumes else []:
    seen["volumes"][v["Name"]] = {k: v.get(k) for k in ("Driver", "Labels", "Options", "Scope")} | {"files": tree(v["Mountpoint"])}
names = lines("ps", "-a", "--format", "{{.Names}}")
for c in json.loads(docker("inspect", *names)) if names else []:
    h = c["HostConfig"]
    seen["containers"][c["Name"].lstrip("/")] = {
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
if "ended" in names:
    seen["containers"]["ended"]["left"] = docker("cp", "ended:/left", "-").rstrip(b"\0")[512:].decode(errors="replace").rstrip("\0")
for n in json.loads(docker("network", "inspect", *lines("network", "ls", "-q"))):
    if n["Name"].startswith("marker"):
        seen["networks"][n["Name"]] = {
            "id": n["Id"],
            "driver": n["Driver"],
            "labels": n["Labels"],
            "subnets": [c["Subnet"] for c in n["IPAM"]["Config"]],
        }
print(json.dumps(seen))
