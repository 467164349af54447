# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of a profile's parameters. Each returns what is wrong and what to write instead, or None. Control node only.

The values become policy text. A character that is syntax for AppArmor would let a value add rules.
"""

from __future__ import annotations

import re

from ..capabilities import CAPABILITIES

# As AppArmor spells them (man 5 apparmor.d).
APPARMOR_CAPABILITIES = frozenset(name.lower() for name in CAPABILITIES)
# man 5 apparmor.d, DOMAIN and TYPE; those that parser 3.0.8 knows too.
_FAMILIES = """
    alg appletalk ash atmpvc atmsvc ax25 bluetooth bridge caif can econet ib ieee802154 inet inet6 ipx irda isdn iucv kcm key llc mpls
    netbeui netlink netrom nfc packet phonet pppox qipcrtr rds rose rxrpc security smc sna tipc unix vsock wanpipe x25 xdp
"""
FAMILIES = frozenset(_FAMILIES.split())
TYPES = frozenset({"stream", "dgram", "seqpacket", "rdm", "raw", "packet"})
# man 5 apparmor.d, file permissions of a deny rule; `w` includes `a`.
DENIABLE = "rwklmx"

_PATH_SIGNS = frozenset("/_.+-@{}[]*?^,:=~%!")
_VARIABLE = re.compile(r"@\{[A-Za-z_][A-Za-z0-9_]*\}")


def describe_path_problem(path: object) -> str | None:
    """Check a path or pattern (man 5 apparmor.d, Globbing), as seen inside the container."""
    if not isinstance(path, str) or not path:
        return f"{path!r} is not a path; write an absolute path such as /var/lib/app"
    if not path.startswith("/") and not _VARIABLE.match(path):
        return f"{path!r} is not absolute; write it with a leading /"
    for sign in path:
        if not (sign.isalnum() or sign in _PATH_SIGNS):
            return f"{path!r} contains {sign!r}, which would change the rule; write ? instead, which matches any one character"
    if "//" in path or any(part in (".", "..") for part in path.split("/")):
        return f"{path!r} is not a path that the kernel uses; write it without '//', '.' and '..'"
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
            return f"{path!r} contains ',' outside of braces, which would end the rule; write one list entry per path"
        if depth < 0:
            break
    if depth or in_class:
        return f"{path!r} has braces or brackets that do not match; write alternatives as {{a,b}} and classes as [a-z]"
    return None


def normalize_capability(value: object) -> str | None:
    """Return a capability as AppArmor spells it (`CAP_NET_RAW` and `NET_RAW` are `net_raw`); None if it does not exist."""
    plain = value.lower().removeprefix("cap_") if isinstance(value, str) else ""
    return plain if plain in APPARMOR_CAPABILITIES else None


def describe_network_problem(value: object) -> str | None:
    """Check `FAMILY` or `FAMILY TYPE`, such as `inet stream`."""
    words = value.split() if isinstance(value, str) else []
    if not 1 <= len(words) <= 2:
        return f"{value!r} is not a network; write a family, or a family and a type, such as 'inet stream'"
    if words[0] not in FAMILIES:
        return f"{words[0]!r} is not a network family; write one such as inet, inet6, unix or netlink"
    if len(words) == 2 and words[1] not in TYPES:
        return f"{words[1]!r} is not a socket type; write one of {', '.join(sorted(TYPES))}"
    return None


def describe_access_problem(value: object) -> str | None:
    """Check the permissions of a deny rule: letters of `rwklmx`."""
    if not isinstance(value, str) or not value or set(value) - set(DENIABLE) or len(set(value)) != len(value):
        return f"{value!r} is not an access; write letters of '{DENIABLE}' (read, write, lock, link, map as code, execute)"
    return None


def describe_rule_problem(value: object) -> str | None:
    """Check one line of policy: it may contain any rule, but must not end the profile."""
    if not isinstance(value, str) or not value.strip():
        return f"{value!r} is not a rule; write one line of AppArmor policy such as 'mount fstype=tmpfs -> /scratch/,'"
    if not value.isprintable():
        return f"{value!r} contains more than one line; write one list entry per rule"
    if "#" in value:
        return f"{value!r} contains '#', which begins a comment; write 'include <…>' for an include, and comments in `description`"
    depth = 0
    for sign in value:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            break
    if depth:
        return f"{value!r} has braces that do not match, which would end or extend the profile; write alternatives as {{a,b}}"
    return None
