# SPDX-License-Identifier: GPL-3.0-or-later
"""AppArmor on a host: what the kernel holds, what /etc/apparmor.d says, and whether the profiles that are ours still agree with both.

Cheap where nothing has changed since we loaded a profile: then no program is run. Only where the kernel's hash, the file, an
included file or the parser is another than remembered is the file compiled, which alone tells whether the policy is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...apparmor import install, policy, sources
from ...apparmor.parser import Parser, PolicyError
from ...host.files import sha256
from ...host.root import Host


def observe(host: Host) -> dict[str, Any]:
    """`modes`: every loaded profile; `files`: every file with its SHA-256; `links`: name → force-complain, disable;
    `managed`: ours, each as `sources.list_differences` takes it, with its text; `confined`: processes under ours.
    """
    parser = Parser.find(host)
    found: dict[str, Any] = {
        "enabled": policy.is_enabled(host),
        "parser": sources.find_parser(host),
        "at_boot": sources.is_loaded_at_boot(host),
        "modes": {},
        "files": sources.read_files(host),
        "links": sources.read_links(host),
        "managed": {},
        "confined": {},
        "error": None,
    }
    try:
        known = install.memory(host)
        if found["enabled"]:
            found["modes"] = policy.read_modes(host)
            found["confined"] = policy.find_confined(host, known)
        inputs = sources.CompileInputs(host)
        found["managed"] = {name: _managed(host, parser, name, remembered, found, inputs) for name, remembered in known.items()}
    except (OSError, ValueError) as error:
        found["error"] = str(error)
    return found


def _managed(
    host: Host, parser: Parser | None, name: str, remembered: Mapping[str, Any], found: Mapping[str, Any], inputs: sources.CompileInputs
) -> dict[str, Any]:
    path = f"{sources.FOLDER}/{name}"
    text = host.read(path)
    kernel = policy.read_profile(host, name) if found["enabled"] else None
    seen = {
        "text": text,
        "sha256": None if text is None else sha256(text),
        "links": found["links"].get(name, []),
        "mode": kernel["mode"] if kernel else None,
        "hash": kernel["hash"] if kernel else None,
        "current": None,
        "ours": "sha256" in remembered,
        "error": None,
    }
    if text is None or not kernel or not kernel["hash"]:
        return seen
    if (kernel["hashes"], seen["sha256"], inputs.digest(text)) == tuple(remembered.get(key) for key in ("hashes", "sha256", "inputs")):
        seen["current"] = True
    elif parser:
        try:
            seen["current"] = policy.is_same_policy(kernel["hashes"], parser.compile(str(host.path(path))))
        except PolicyError as error:
            seen["error"] = str(error)
    return seen
