# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a profile from its parameters: sorted, commented, and equal for equal parameters. Control node only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .parameters import DENIABLE, normalize_capability
from .signals import SENDERS

# As docker-default (moby profiles/apparmor/template.go): files opened outside of the container and deleted ones are mediated too.
# In the form of aa-complain and aa-enforce, so that using both leaves the text unchanged.
_FLAGS = "attach_disconnected, mediate_deleted"


# AppArmor 3.0 and 4.1 ship this one. Without any, the parser mediates only its default features, which may be few.
ABI = "abi/3.0"


def render_profile(name: str, parameters: Mapping[str, Any]) -> str:
    """Return the text of /etc/apparmor.d/NAME. The parameters must have passed the checks of `desired.py`."""
    description = parameters.get("description") or "a profile for containers"
    abi = parameters.get("abi", ABI)
    head = [
        f"# {name}: {description}",
        "# Written by Ansible from apparmor_profiles_list; verification reports what is changed here by hand.",
        f"# To use it: docker run --security-opt apparmor={name} IMAGE",
        "",
        *([f"abi <{abi}>,", ""] if abi else []),
        "include <tunables/global>",
        "",
        f"profile {name} flags=({_FLAGS}) {{",
    ]
    body: list[str] = []
    for comment, rules in _sections(name, parameters):
        if rules:
            body += ["", f"  # {comment}", *(f"  {rule}" for rule in rules)]
    return "\n".join([*head, *body[1:], "}", ""])


def _sections(name: str, parameters: Mapping[str, Any]) -> Iterable[tuple[str, list[str]]]:
    def given(key: str) -> list[Any]:
        return list(parameters.get(key) or [])

    def paths(key: str, access: str) -> list[str]:
        return sorted({f"{expand_path(path)} {access}," for path in given(key)})

    yield (
        "What any program needs: the C library, terminals, the /proc entries of a process.",
        ["include <abstractions/base>", "include <abstractions/consoles>", "@{PROC}/@{pid}/{,**} r,"],
    )
    yield (
        "`docker stop` and `docker kill`: the runtime's label, which differs between releases.",
        [f"signal (receive) peer={SENDERS},"],
    )
    yield (
        "Processes of this profile among themselves.",
        [f"ptrace (read, readby, trace, tracedby) peer={name},", f"signal (send, receive) peer={name},"],
    )
    yield "Networks", sorted({f"network {' '.join(value.split())}," for value in given("networks")})
    yield "Capabilities", sorted({f"capability {normalize_capability(value)}," for value in given("capabilities")})
    yield "To read", paths("readable", "r")
    yield "To read, write, lock and link", paths("writable", "rwkl")
    yield "To execute, under this same profile, and to map as code", paths("executable", "mrix")
    yield "Denied and logged, whatever is allowed above (a plain `deny` would be silent)", _denies(given("audited_denies"))
    yield "From the inventory, as written there", [_rule(rule) for rule in given("rules")]


def expand_path(path: str) -> str:
    """Return a pattern for a path and everything below it; a path with wildcards is returned as it is."""
    if any(sign in path.replace("@{", "") for sign in "*?[{"):
        return path
    if path.endswith("/"):
        return path + "{,**}"
    return path + "{,/,/**}"


def _denies(values: Iterable[Any]) -> list[str]:
    rules = set()
    for value in values:
        path, access = (value, DENIABLE) if isinstance(value, str) else (value["path"], value.get("access") or DENIABLE)
        rules.add(f"audit deny {expand_path(path)} {''.join(sorted(access, key=DENIABLE.index))},")
    return sorted(rules)


def _rule(value: str) -> str:
    rule = value.strip()
    return rule if rule.endswith(",") or rule.startswith("include") else rule + ","
