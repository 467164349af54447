# SPDX-License-Identifier: GPL-3.0-or-later
"""An OCI runtime for rootless Docker engines: runc with the AppArmor profile that the engine leaves out.

A rootless dockerd ignores every `--security-opt apparmor=…` and has no default profile (moby daemon/apparmor: not in a user namespace),
though the kernel lets every process confine itself. This program writes the profile into the bundle's config.json, as a rootful engine
does, and executes runc. For `exec` it writes the container's own profile into the request of the engine (`--process`), because runc
gives an exec no profile itself (measured with 1.1.15).

The profile is the one that the container's request names (`unconfined` included), none for --privileged, otherwise the default. The
request is in hostconfig.json in the engine's data root. A container whose request is not found is not started. Build steps have no
request and get the default.

rootless/rendering.py inserts the values and installs this program. It runs a few times per container, in the user's engine, as the user.
So it is small, imports little, writes only the two input files of runc and, on failure, runc's log, and has no more rights than its caller.
"""

from __future__ import annotations

import os
import sys

PROFILE = "@PROFILE@"
# Where distributions and docker-ce install runc: folders of root, so that PATH does not matter.
RUNCS = ("/usr/bin/runc", "/usr/sbin/runc", "/usr/local/bin/runc", "/usr/local/sbin/runc")
STARTS = ("create", "run", "restore")
# runc's flags before the command that take a value (runc main.go); the others are switches.
VALUED = ("--log", "--log-format", "--root", "--criu", "--rootless")


def find_command(words: list[str]) -> str:
    """Return `create`, `exec`, …: the first word that is neither a flag nor a flag's value; empty without one."""
    rest = iter(words)
    for word in rest:
        if word in VALUED:
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return ""


def find_option(words: list[str], *names: str) -> str:
    """Return the value of a flag, written `--name value` or `--name=value`; empty without it."""
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            if equals:
                return value
            return words[index + 1] if index + 1 < len(words) else ""
    return ""


def find_request(config: dict, container: str) -> str:
    """Return the path of the container's hostconfig.json, found from the sources of its root, /etc/hosts and similar files.

    Empty for a bundle that the engine did not create. Raises OSError if the engine created it and the file does not exist.
    """
    inside = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    places = [mount.get("source", "") for mount in config.get("mounts") or [] if mount.get("destination") in inside]
    for place in [*places, (config.get("root") or {}).get("path", "")]:
        while place.startswith("/") and place != "/":
            place = place.rpartition("/")[0]
            path = f"{place}/containers/{container}/hostconfig.json"
            if os.path.exists(path):
                return path
    if any("/containers/" in place for place in places):
        raise FileNotFoundError(f"hostconfig.json of container {container} is not found, so that its settings are not known")
    return ""


def select_profile(request: dict, default: str) -> str:
    """Return the profile that a rootful engine would set (moby 26.1 daemon/apparmor_linux.go: WithApparmor; parseSecurityOpt for `apparmor:X`)."""
    named = ""
    for word in request.get("SecurityOpt") or []:
        for sign in ("=", ":"):
            key, found, value = word.partition(sign)
            if found and key == "apparmor":
                named = value
                break
    if named:
        return named
    return "unconfined" if request.get("Privileged") else default


def confine_bundle(bundle: str, container: str, default: str) -> None:
    """Write the profile into a bundle's config.json. Raises OSError and ValueError, after which the container must not start."""
    import json

    path = os.path.join(bundle, "config.json")
    with open(path, encoding="utf-8") as handle:
        config = json.load(handle)
    request = {}
    place = find_request(config, container)
    if place:
        with open(place, encoding="utf-8") as handle:
            request = json.load(handle)
    config["process"]["apparmorProfile"] = select_profile(request, default)
    draft = f"{path}.bulkhead"
    with open(draft, "w", encoding="utf-8") as handle:
        json.dump(config, handle)
    os.replace(draft, path)


def confine_exec(words: list[str], default: str) -> None:
    """Write the container's own profile into the request to execute a program in it. Raises OSError and ValueError."""
    import json

    path = find_option(words, "--process", "-p")
    if not path:
        return  # runc is called by hand at a terminal
    # runc's state has no profile (1.1.15), but names the bundle of the container.
    with open(os.path.join(find_option(words, "--root"), words[-1], "state.json"), encoding="utf-8") as handle:
        labels = json.load(handle)["config"].get("labels") or []
    bundle = [label.partition("=")[2] for label in labels if label.startswith("bundle=")]
    if not bundle:
        raise ValueError(f"runc's state of container {words[-1]} does not name its bundle")
    with open(os.path.join(bundle[0], "config.json"), encoding="utf-8") as handle:
        profile = json.load(handle)["process"].get("apparmorProfile") or default
    with open(path, "r+", encoding="utf-8") as handle:
        process = json.load(handle)
        process["apparmorProfile"] = profile
        handle.seek(0)
        json.dump(process, handle)
        handle.truncate()


def report_failure(words: list[str], reason: str) -> int:
    """Write the reason to stderr and to runc's --log, where the engine looks for it (containerd getLastRuntimeError). Returns 1."""
    text = f"bulkhead: not started, because the AppArmor profile could not be set: {reason}"
    sys.stderr.write(text + "\n")
    log = find_option(words, "--log")
    if log:
        import json

        with open(log, "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"level": "error", "msg": text}) + "\n")
    return 1


def main(words: list[str]) -> int:
    command = find_command(words)
    if command in STARTS or command == "exec":
        try:
            if command == "exec":
                confine_exec(words, PROFILE)
            else:
                confine_bundle(find_option(words, "--bundle", "-b") or os.getcwd(), words[-1], PROFILE)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return report_failure(words, str(error) or type(error).__name__)
    for runc in RUNCS:
        if os.access(runc, os.X_OK):
            os.execv(runc, ["runc", *words])
    return report_failure(words, f"runc is not installed; looked for {', '.join(RUNCS)}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
