# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with AppArmor, in a folder."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

# Replaces apparmor_parser: it "compiles" a file to its mode and text, and loads it into a folder that represents the kernel.
PARSER = r"""#!PYTHON -IS
import hashlib, os, re, shutil, sys
root = "ROOT"
policy = root + "/sys/kernel/security/apparmor/policy/profiles"
arguments = sys.argv[1:]
if "-V" in arguments:
    print("AppArmor parser version 4.1.0"); sys.exit()
file = None if arguments[-1].startswith("-") else arguments[-1]
text = open(file).read() if file else sys.stdin.read()
if "syntax error" in text:
    line = 1 + text[: text.index("syntax error")].count("\n")
    sys.stderr.write("AppArmor parser error at line %d: syntax error, unexpected TOK_ID\n" % line); sys.exit(1)
if "-p" in arguments:
    sys.stdout.write(text); sys.exit()
names = re.findall(r"(?m)^profile (\S+)", text)
if "-N" in arguments:
    print("\n".join(names)); sys.exit()
mode = "kill" if "flags=(kill)" in text else "enforce"
if "flags=(complain)" in text or file and os.path.lexists(os.path.dirname(file) + "/force-complain/" + os.path.basename(file)):
    mode = "complain"
head = "".join("\4\10\0version\0\2\7\0\0\0\4\10\0profile\0\7\5" + chr(len(name)) + "\0" + name + "\0" for name in names)
compiled = text if "-B" in arguments else head + mode + "\n" + text
mode = compiled.split("\0")[-1].split("\n")[0]
if "-S" in arguments:
    sys.stdout.write(compiled); sys.exit()
if "refused by the kernel" in text:
    sys.stderr.write("apparmor_parser: Unable to replace \"%s\".  Permission denied\n" % names[0]); sys.exit(1)
for name in names:
    folder = policy + "/" + name + ".3"
    os.makedirs(folder, exist_ok=True)
    for key, value in dict(name=name, mode=mode, raw_data=compiled,
                           raw_sha256=hashlib.sha256(compiled.encode()).hexdigest()).items():
        open(folder + "/" + key, "w").write(value)
"""


def machine(root: Path, kernel: Mapping[str, tuple[str, bytes]] | None = None, files: Mapping[str, str] | None = None) -> Host:
    """Create the host. kernel: name -> mode and raw data of loaded profiles. files: name -> text in /etc/apparmor.d."""
    host = Host(root)
    for folder in (
        "/etc/apparmor.d/tunables",
        "/etc/apparmor.d/force-complain",
        "/etc/apparmor.d/disable",
        "/usr/sbin",
        "/proc",
        "/var/cache",
    ):
        host.path(folder).mkdir(parents=True)
    host.path("/sys/module/apparmor/parameters").mkdir(parents=True)
    host.path("/sys/module/apparmor/parameters/enabled").write_text("Y\n")
    policy = host.path("/sys/kernel/security/apparmor/policy/profiles")
    policy.mkdir(parents=True)
    for name, (mode, data) in (kernel or {}).items():
        load(host, name, mode, data)
    for name, text in (files or {}).items():
        host.path(f"/etc/apparmor.d/{name}").write_text(text)
    host.path("/etc/apparmor.d/tunables/global").write_text("@{HOME}=/root\n")
    parser = host.path("/usr/sbin/apparmor_parser")
    parser.write_text(PARSER.replace("PYTHON", sys.executable).replace("ROOT", str(root)))
    parser.chmod(0o755)
    return host


def load(host: Host, name: str, mode: str, data: bytes) -> None:
    """Load a profile into "the kernel" without the parser."""
    folder = host.path(f"/sys/kernel/security/apparmor/policy/profiles/{name}.3")
    folder.mkdir(exist_ok=True)
    for key, value in (("name", name), ("mode", mode), ("raw_sha256", hashlib.sha256(data).hexdigest())):
        (folder / key).write_text(value + "\n")
    (folder / "raw_data").write_bytes(data)
