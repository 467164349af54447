# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers evidence of the desired AppArmor profiles: what each file compiles to, compared with the kernel's policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...apparmor import policy, sources
from ...apparmor.compiler import Compiler, PolicyError
from ...host.root import Host, sha256


def gather_evidence(host: Host, probe: Mapping[str, Any] | None, expect: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence per expected profile.

    sha256: of its file. mode, hash, source: of the kernel's policy. agrees: whether that policy is what the file compiles to (None if
    unknown; `error` says why). original: hash of the policy that the recorder replaced, which is then compared; None if it is not recorded.
    children: modes of its child profiles.
    """
    parser = Compiler.find_installed(host)
    if not policy.is_in_kernel(host):
        return {"profiles": {}, "error": None}
    if not policy.is_enabled(host):
        return {"profiles": {}, "error": f"{policy.SECURITYFS} does not exist, because securityfs is not mounted"}
    try:
        modes = policy.read_modes(host)
        profiles = {p["name"]: _gather_profile(host, parser, p, modes) for p in expect.get("profiles", ())}
    except (OSError, ValueError) as error:
        return {"profiles": {}, "error": f"the kernel's policy cannot be read: {error}"}
    return {"profiles": profiles, "error": None}


def _gather_profile(host: Host, parser: Compiler | None, desired: Mapping[str, Any], modes: Mapping[str, str]) -> dict[str, Any]:
    name, path = desired["name"], desired["path"]
    text = host.read(path)
    kernel = policy.read_profile(host, name)
    found: dict[str, Any] = {
        "sha256": None if text is None else sha256(text),
        "mode": kernel["mode"] if kernel else None,
        "hash": kernel["hash"] if kernel else None,
        "source": kernel["source"] if kernel else None,
        "original": kernel["hashes"][name] if kernel and kernel["recording"] else None,
        "children": {child: mode for child, mode in modes.items() if child.startswith(f"{name}//")},
        "links": sources.read_links(host).get(name, []),
        "agrees": None,
        "error": None,
    }
    if text is None or kernel is None:
        return found
    if not kernel["hash"]:
        found["error"] = "the kernel keeps no hash of its policy (parameters apparmor.hash_policy, apparmor.export_binary)"
    elif not parser:
        found["error"] = "apparmor_parser does not exist on this host"
    else:
        try:
            found["agrees"] = policy.is_same_policy(kernel["hashes"], parser.compile(str(host.path(path))))
        except PolicyError as error:
            found["error"] = str(error)
    return found
