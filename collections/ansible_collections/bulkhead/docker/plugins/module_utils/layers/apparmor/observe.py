# SPDX-License-Identifier: GPL-3.0-or-later
"""AppArmor on a host: the kernel's policy, the files in /etc/apparmor.d, and whether managed profiles agree with both.

If nothing has changed since a profile was loaded, no program runs. A file is compiled only if the kernel's hash, the file, an included
file or the parser differs from what is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...apparmor import policy, sources
from ...apparmor.compiler import Compiler, PolicyError
from ...host.root import APPARMOR, Host, load_managed_profiles, read_state, sha256


def observe(host: Host) -> dict[str, Any]:
    """Return the state of AppArmor.

    enabled: whether it is active in the kernel. securityfs: whether that is mounted, without which the policy can neither be read nor loaded.
    global_mode: of all profiles. modes: every loaded profile. recording: profiles with the recorder's data.
    """
    found: dict[str, Any] = {
        "enabled": policy.is_in_kernel(host),
        "securityfs": host.path(policy.SECURITYFS).is_dir(),
        "global_mode": policy.read_global_mode(host),
        "parser": sources.find_parser(host),
        "at_boot": sources.is_loaded_at_boot(host),
        "complain_option": sources.has_complain_option(host),
        "modes": {},
        "recording": [],
        "error": None,
    }
    try:
        if policy.is_enabled(host):
            found["modes"] = policy.read_modes(host)
            recorded = sorted(read_state(host, policy.RECORDED))
            found["recording"] = [name for name in recorded if (seen := policy.read_profile(host, name)) and seen["recording"]]
    except (OSError, ValueError) as error:
        found["error"] = str(error)
    return found


def add_managed(host: Host, found: dict[str, Any]) -> None:
    """Add what only planning needs.

    files: name -> SHA-256. links: name -> force-complain, disable. managed: name -> state for `changes.list_differences`, and the text.
    confined: processes under managed profiles.
    """
    found |= {"files": sources.read_files(host), "links": sources.read_links(host), "managed": {}, "confined": {}}
    try:
        known = load_managed_profiles(host, APPARMOR)
        if policy.is_enabled(host):
            found["confined"] = policy.find_confined(host, known)
        parser, inputs = Compiler.find_installed(host), sources.CompileInputs(host)
        found["managed"] = {name: _observe_managed(host, parser, name, remembered, found, inputs) for name, remembered in known.items()}
    except (OSError, ValueError) as error:
        found["error"] = str(error)


def _observe_managed(
    host: Host, parser: Compiler | None, name: str, remembered: Mapping[str, Any], found: Mapping[str, Any], inputs: sources.CompileInputs
) -> dict[str, Any]:
    path = f"{sources.FOLDER}/{name}"
    text = host.read(path)
    kernel = policy.read_profile(host, name)
    state = {
        "text": text,
        "sha256": None if text is None else sha256(text),
        "links": found["links"].get(name, []),
        "mode": kernel["mode"] if kernel else None,
        "hash": kernel["hash"] if kernel else None,
        "current": None,
        "is_managed": "sha256" in remembered,
        "error": None,
    }
    if text is None or not kernel or not kernel["hash"]:
        return state
    if (kernel["hashes"], state["sha256"], inputs.digest(text)) == tuple(remembered.get(key) for key in ("hashes", "sha256", "inputs")):
        state["current"] = True
    elif parser:
        try:
            state["current"] = policy.is_same_policy(kernel["hashes"], parser.compile(str(host.path(path))))
        except PolicyError as error:
            state["error"] = str(error)
    return state
