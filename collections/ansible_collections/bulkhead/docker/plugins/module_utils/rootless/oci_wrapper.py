# SPDX-License-Identifier: GPL-3.0-or-later
"""An OCI runtime for rootless Docker engines: runc, told the AppArmor profile that the engine leaves out.

A rootless dockerd drops every `--security-opt apparmor=…` and knows no default profile either (moby daemon/apparmor: not in a user
namespace), though the kernel lets anybody confine himself. So this writes the profile into the bundle's config.json as a rootful
engine would, and becomes runc. For `exec` it is the profile of the container itself, as with a rootful engine, put into the request that
the engine hands over (`--process`): runc gives an exec none of its own accord (measured with 1.1.15).

Which profile: the one that the container's request names (`unconfined` included), none for --privileged, otherwise the default. The request
stands in hostconfig.json in the engine's data root. A container of the engine whose request is not found is not started. Steps of a build
have no request, and get the default.

Installed as a program of its own by rootless/texts.py, which puts the values in. Runs a few times for each container, in the user's
engine, as the user: it is small, imports little, writes nothing but the two files that are runc's input and, on failure, runc's log, and
has no right that its caller lacks.
"""

from __future__ import annotations

import os
import sys

PROFILE = "@PROFILE@"
# Where distributions and docker-ce install it: root's folders, so that PATH has no say.
RUNCS = ("/usr/bin/runc", "/usr/sbin/runc", "/usr/local/bin/runc", "/usr/local/sbin/runc")
STARTS = ("create", "run", "restore")
# runc's flags before the command that take a value (runc main.go); the others are switches.
VALUED = ("--log", "--log-format", "--root", "--criu", "--rootless")


def command_of(words: list[str]) -> str:
    """`create`, `exec`, …: the first word that is neither a flag nor a flag's value; empty without one."""
    rest = iter(words)
    for word in rest:
        if word in VALUED:
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return ""


def option(words: list[str], *names: str) -> str:
    """The value of a flag, given as `--name value` or `--name=value`; empty without it."""
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            if equals:
                return value
            return words[index + 1] if index + 1 < len(words) else ""
    return ""


def request_of(config: dict, container: str) -> str:
    """The path of the container's hostconfig.json: below the folder that its root or its /etc/hosts and the like come from.

    Empty when there is none: the engine has not made this bundle. Raises OSError when the engine has and the file is not there.
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
        raise FileNotFoundError(f"hostconfig.json of container {container} is not found, so that what it asked for is not known")
    return ""


def profile_for(request: dict, default: str) -> str:
    """What a rootful engine would write (moby daemon/apparmor_linux.go of 26.1: WithApparmor; parseSecurityOpt for the older `apparmor:X`)."""
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


def confine(bundle: str, container: str, default: str) -> None:
    """Write the profile into a bundle's config.json. Raises OSError and ValueError; then the container must not start."""
    import json

    path = os.path.join(bundle, "config.json")
    with open(path, encoding="utf-8") as handle:
        config = json.load(handle)
    request = {}
    place = request_of(config, container)
    if place:
        with open(place, encoding="utf-8") as handle:
            request = json.load(handle)
    config["process"]["apparmorProfile"] = profile_for(request, default)
    draft = f"{path}.bulkhead"
    with open(draft, "w", encoding="utf-8") as handle:
        json.dump(config, handle)
    os.replace(draft, path)


def enter(words: list[str], default: str) -> None:
    """Write the container's own profile into the request to run a further program in it. Raises OSError and ValueError."""
    import json

    path = option(words, "--process", "-p")
    if not path:
        return  # a person at a terminal, who calls runc by hand
    # runc's own state has no profile (1.1.15), but says where the bundle is that the container was created from.
    with open(os.path.join(option(words, "--root"), words[-1], "state.json"), encoding="utf-8") as handle:
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


def refuse(words: list[str], reason: str) -> int:
    """Say why, to who called and where the engine looks for runc's last words (its --log, containerd's getLastRuntimeError)."""
    text = f"bulkhead: not started, because the AppArmor profile could not be set: {reason}"
    sys.stderr.write(text + "\n")
    log = option(words, "--log")
    if log:
        import json

        with open(log, "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"level": "error", "msg": text}) + "\n")
    return 1


def main(words: list[str]) -> int:
    command = command_of(words)
    if command in STARTS or command == "exec":
        try:
            if command == "exec":
                enter(words, PROFILE)
            else:
                confine(option(words, "--bundle", "-b") or os.getcwd(), words[-1], PROFILE)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return refuse(words, str(error) or type(error).__name__)
    for runc in RUNCS:
        if os.access(runc, os.X_OK):
            os.execv(runc, ["runc", *words])
    return refuse(words, f"there is no runc; looked for {', '.join(RUNCS)}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
