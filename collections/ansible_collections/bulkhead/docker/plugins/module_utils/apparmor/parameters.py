# SPDX-License-Identifier: GPL-3.0-or-later
"""What may stand in a profile's parameters. Each check returns what is wrong and what to write instead, or None.

The values end up in policy text, so that a character that AppArmor reads as syntax would let a value write rules of its own.
"""

from __future__ import annotations

import re

# man 7 capabilities, as AppArmor spells them (man 5 apparmor.d).
_CAPABILITIES = """
    audit_control audit_read audit_write block_suspend bpf checkpoint_restore chown dac_override dac_read_search fowner fsetid
    ipc_lock ipc_owner kill lease linux_immutable mac_admin mac_override mknod net_admin net_bind_service net_broadcast net_raw perfmon
    setfcap setgid setpcap setuid sys_admin sys_boot sys_chroot sys_module sys_nice sys_pacct sys_ptrace sys_rawio sys_resource
    sys_time sys_tty_config syslog wake_alarm
"""
CAPABILITIES = frozenset(_CAPABILITIES.split())
# man 5 apparmor.d, DOMAIN and TYPE; those that the parser 3.0.8 knows too.
_FAMILIES = """
    alg appletalk ash atmpvc atmsvc ax25 bluetooth bridge caif can econet ib ieee802154 inet inet6 ipx irda isdn iucv kcm key llc mpls
    netbeui netlink netrom nfc packet phonet pppox qipcrtr rds rose rxrpc security smc sna tipc unix vsock wanpipe x25 xdp
"""
FAMILIES = frozenset(_FAMILIES.split())
TYPES = frozenset({"stream", "dgram", "seqpacket", "rdm", "raw", "packet"})
# man 5 apparmor.d, file permissions that a deny rule takes; `a` is a part of `w`.
DENIABLE = "rwklmx"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
# The engine's and runtimes' own profiles, and folders of /etc/apparmor.d.
_SYSTEM = """
    docker-default containerd-default cri-containerd.apparmor.d unconfined runc crun rootlesskit dockerd containerd slirp4netns
    abi abstractions apache2.d cache cache.d disable force-complain local tunables lsb_release nvidia_modprobe
"""
_TAKEN = frozenset(_SYSTEM.split())
# apparmor_parser skips files so named when it loads the folder at boot (apparmor parser/lib.c, is_blacklisted).
_SKIPPED_AT_BOOT = (
    ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".dpkg-bak", ".dpkg-remove", ".pacsave", ".pacnew", ".rpmnew", ".rpmsave", ".orig", ".rej", "~",
)  # fmt: skip
_PATH_SIGNS = frozenset("/_.+-@{}[]*?^,:=~%!")
_VARIABLE = re.compile(r"@\{[A-Za-z_][A-Za-z0-9_]*\}")


def describe_name_problem(name: object) -> str | None:
    """A profile's name, which is its file's name in /etc/apparmor.d as well."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"{name!r} is no profile name; write a letter, then letters, digits, '.', '_' or '-' (64 at most)"
    if name in _TAKEN:
        return f"{name!r} belongs to the system or the engine; write a name of your own, such as 'my-{name}'"
    for ending in _SKIPPED_AT_BOOT:
        if name.endswith(ending):
            return f"{name!r} ends in {ending!r}, and AppArmor does not load such files at boot; write a name without it"
    return None


def describe_path_problem(path: object) -> str | None:
    """A path or a pattern of paths (man 5 apparmor.d, Globbing), as seen inside the container."""
    if not isinstance(path, str) or not path:
        return f"{path!r} is no path; write an absolute path such as /var/lib/app"
    if not path.startswith("/") and not _VARIABLE.match(path):
        return f"{path!r} is not absolute; write it with a leading /"
    for sign in path:
        if not (sign.isalnum() or sign in _PATH_SIGNS):
            return f"{path!r} holds {sign!r}, which would change the rule; write ? in its place, which matches any one character"
    if "//" in path or any(part in (".", "..") for part in path.split("/")):
        return f"{path!r} is no path that the kernel ever sees; write it without '//', '.' and '..'"
    return _describe_brackets_problem(path)


def _describe_brackets_problem(path: str) -> str | None:
    depth, in_class = 0, False
    for sign in _VARIABLE.sub("", path):
        if in_class:
            in_class = sign != "]"
        elif sign == "[":
            in_class = True
        elif sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
        elif sign == "," and depth == 0:
            return f"{path!r} holds ',' outside of braces, which would end the rule; write one list entry for each path"
        if depth < 0:
            break
    if depth or in_class:
        return f"{path!r} has braces or brackets that do not match; write alternatives as {{a,b}} and classes as [a-z]"
    return None


def normalize_capability(value: object) -> str | None:
    """A capability as AppArmor spells it (`CAP_NET_RAW` and `NET_RAW` are `net_raw`); None when there is no such capability."""
    plain = value.lower().removeprefix("cap_") if isinstance(value, str) else ""
    return plain if plain in CAPABILITIES else None


def describe_network_problem(value: object) -> str | None:
    """`FAMILY` or `FAMILY TYPE`, such as `inet stream`."""
    words = value.split() if isinstance(value, str) else []
    if not 1 <= len(words) <= 2:
        return f"{value!r} is no network; write a family, or a family and a type, such as 'inet stream'"
    if words[0] not in FAMILIES:
        return f"{words[0]!r} is no network family; write one such as inet, inet6, unix or netlink"
    if len(words) == 2 and words[1] not in TYPES:
        return f"{words[1]!r} is no socket type; write one of {', '.join(sorted(TYPES))}"
    return None


def describe_access_problem(value: object) -> str | None:
    """What a deny takes away: letters of `rwklmx`."""
    if not isinstance(value, str) or not value or set(value) - set(DENIABLE) or len(set(value)) != len(value):
        return f"{value!r} is no access; write letters of '{DENIABLE}' (read, write, lock, link, map as code, execute)"
    return None


def describe_rule_problem(value: object) -> str | None:
    """One line of policy, written by somebody who knows AppArmor; it may say anything, but only inside the profile."""
    if not isinstance(value, str) or not value.strip():
        return f"{value!r} is no rule; write one line of AppArmor policy such as 'mount fstype=tmpfs -> /scratch/,'"
    if not value.isprintable():
        return f"{value!r} holds more than one line; write one list entry for each rule"
    if "#" in value:
        return f"{value!r} holds '#', which begins a comment; write 'include <…>' for an include, and comments in `description`"
    depth = 0
    for sign in value:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            break
    if depth:
        return f"{value!r} has braces that do not match, and would end or swallow the profile; write alternatives as {{a,b}}"
    return None
