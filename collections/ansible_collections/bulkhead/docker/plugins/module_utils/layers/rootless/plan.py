# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs for the rootless engine of one user, or to be rid of it. Pure; runs on the control node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...engine.instance import Instance, of
from ...host.files import sha256
from ...rootless import client_context, names, rendering
from ...subid.allocate import RangeRequest, describe_bounds_problem
from ...subid.decide import UserRequest, decide_ranges
from ...subid.mapping import MIN_IDS, parse_state
from ...subid.ranges import SUBGID, SUBUID
from ..verdict import DISABLED, REQUIRED, Change, LayerPlan

LAYER = "rootless"
SWITCH = "rootless_docker_layer"
PROFILE = "rootless_docker_apparmor_profile"
DEFAULT_PROFILE = "bulkhead-rootless"
# Put into the desired variables by plugin_utils/planning: the OCI runtime's text with that profile.
WRAPPER = "__rootless_docker_wrapper"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}")
# What has to be installed for a tool, by Debian's and Ubuntu's names; docker-ce brings some of it itself.
_PACKAGES = {"newuidmap": "uidmap", "newgidmap": "uidmap", "rootlesskit": "rootlesskit", "slirp4netns": "slirp4netns", "useradd": "passwd"}
_EXTRAS = "docker-ce-rootless-extras"
# overlayfs in a user namespace came with 5.11 (Debian and Ubuntu had it before, by a patch).
_OVERLAY_SINCE = (5, 11)


def wanted_user(desired: Mapping[str, Any]) -> str:
    """Whose rootless engine the inventory wants; empty for the rootful engine."""
    return str(desired.get("rootless_docker_user") or "") if (desired.get(SWITCH) or DISABLED) != DISABLED else ""


def default_profile(desired: Mapping[str, Any]) -> str:
    """The profile that the OCI runtime gives to containers that name none; empty where there shall be no such runtime."""
    if not wanted_user(desired) or desired.get("apparmor_profiles_layer") == DISABLED:
        return ""
    return str(desired.get(PROFILE) or "")


def complete(desired: Mapping[str, Any]) -> list[Any]:
    """`apparmor_profiles_list` with the default profile, which a rootless engine can't load itself as a rootful one does docker-default."""
    listed = list(desired.get("apparmor_profiles_list") or [])
    if default_profile(desired) == DEFAULT_PROFILE and not any(
        isinstance(entry, Mapping) and entry.get("name") == DEFAULT_PROFILE for entry in listed
    ):
        listed.append(
            {"name": DEFAULT_PROFILE, "description": "what containers of the rootless engine get that name none", "extends": "any"}
        )
    return listed


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """What verification demands: whose engine, by which runtime, under which profile, and that the rootful one is off."""
    if not wanted_user(desired):
        return {"user": None}
    profile, wrapper = default_profile(desired), desired.get(WRAPPER)
    return {
        "user": desired["rootless_docker_user"],
        "disable_rootful": bool(desired.get("rootless_docker_disable_rootful")),
        "first_port": desired.get("rootless_docker_first_port"),
        "profile": profile or None,
        "wrapper": {"path": names.WRAPPER, "sha256": sha256(str(wrapper))} if profile and wrapper else None,
    }


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    here = observed["layers"][LAYER]
    found = LayerPlan(LAYER, str(desired.get(SWITCH) or DISABLED))
    if here["error"]:
        found.blockers.append(str(here["error"]))
        return found
    if found.requirement == DISABLED:
        _take_back(found, here, desired)
        return found
    found.blockers += _bad_input(desired, here)
    reason = _obstacle(observed, here)
    if found.blockers:
        return found
    if reason:
        return found.cannot(reason)
    instance = of(observed)
    packages = _missing(observed, here, found, bool(desired.get("rootless_docker_install_packages")), _network(here, desired))
    request = _ranges(found, observed, desired, instance)
    wrapper = desired.get(WRAPPER) if default_profile(desired) and observed["layers"]["apparmor"]["enabled"] else None
    files = _files(found, observed, desired, here, instance, wrapper)
    _user_side(found, here, desired, instance)
    _rootful(found, here, desired)
    if wrapper is not None:
        # Written out, so that `docker info` shows it; the unit's PATH makes it what `runc` is as well.
        found.daemon_keys = {"runtimes": {names.RUNTIME: {"path": names.WRAPPER}}, "default-runtime": names.RUNTIME}
    found.apply = {
        "state": "present",
        "user": instance.user,
        "packages": packages,
        "range": {"start": request.range.start, "size": request.range.count, "exact": request.range.exact},
        "files": [{"path": f.path, "content": f.content, "mode": f"{f.mode:04o}", "link": f.link} for f in files],
        "disable_rootful": bool(desired.get("rootless_docker_disable_rootful")),
        "stop_containers": bool(desired.get("rootless_docker_stop_containers")),
        "timeout": desired.get("rootless_docker_timeout") or 300,
    }
    return found


def _bad_input(desired: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What is wrong with the variables, whatever the host."""
    user, problems = str(desired["rootless_docker_user"]), []
    if user in ("root", "0"):
        problems.append("rootless_docker_user: root is the user that a rootless engine is there to do without; write another one")
    elif not _NAME.fullmatch(user):
        problems.append(f"rootless_docker_user: {user!r} is no user's name; write one that begins with a letter, such as rootless")
    if desired.get("userns_remap_layer", DISABLED) == REQUIRED:
        problems.append(
            "rootless_docker_layer and userns_remap_layer are both desired, and one engine takes no two of them: a rootless one does not"
            " start with userns-remap, as its root is nobody already; write userns_remap_layer: disabled for this host"
        )
    options = desired.get("docker_daemon_options")
    if isinstance(options, Mapping) and options.get("userns-remap"):
        problems.append("docker_daemon_options['userns-remap']: a rootless engine does not start with it; take it out for this host")
    start, size = desired["rootless_docker_range_start"], desired["rootless_docker_range_size"]
    if size < MIN_IDS:
        problems.append(
            f"rootless_docker_range_size: {size} is too few, images with files of nobody (65534) can't be unpacked; write {MIN_IDS} or more"
        )
    elif start < 65536 or describe_bounds_problem(start, size):
        why = describe_bounds_problem(start, size) or "lies among the host's own accounts (0 to 65535)"
        problems.append(f"rootless_docker_range_start: {start} {why}; write 65536 or more, such as 296608")
    port = desired.get("rootless_docker_first_port")
    if port is not None and not 0 <= port <= 1024:
        problems.append(f"rootless_docker_first_port: {port} is no such port; write 0 to 1024, such as 80, or leave it out")
    profile = desired.get(PROFILE)
    names = [entry.get("name") for entry in desired.get("apparmor_profiles_list") or [] if isinstance(entry, Mapping)]
    if profile and default_profile(desired) and profile not in (*names, DEFAULT_PROFILE):
        problems.append(f"{PROFILE}: {profile} is not in apparmor_profiles_list, so that nothing would load it; list it there")
    before = here["state"].get("user")
    if before and before != user:
        problems.append(
            f"rootless_docker_user: {user}, but this host has the engine of {before} from an earlier run; take that one back first"
            f" (rootless_docker_layer: disabled), or write {before}"
        )
    return problems


def _obstacle(observed: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Why this host can't carry a rootless engine; empty when it can."""
    system, either = observed["system"], f"or write {SWITCH}: disabled"
    if not system.get("systemd"):
        return f"a rootless engine of ours needs systemd, which does not run this host; {either}"
    if system.get("cgroup_version") != 2:
        return f"a rootless engine can limit nothing under cgroup v1; boot with systemd.unified_cgroup_hierarchy=1, {either}"
    if not here["unprivileged_userns"]:
        return f"/proc/sys/kernel/unprivileged_userns_clone is 0, so that only root makes user namespaces; set it to 1, {either}"
    if observed["layers"]["userns"].get("max_user_namespaces") in (0, None):
        return (
            f"/proc/sys/user/max_user_namespaces is 0 or missing, so that there are no user namespaces; set it to some thousands, {either}"
        )
    return ""


def _network(here: Mapping[str, Any], desired: Mapping[str, Any]) -> str:
    """rootlesskit's network driver; empty leaves it to dockerd-rootless.sh, which takes slirp4netns where it is installed."""
    choice = str(desired.get("rootless_docker_network") or "auto")
    if choice != "auto":
        return choice
    return "pasta" if here.get("takes_pasta") and not here["tools"].get("slirp4netns") else ""


def _missing(observed: Mapping[str, Any], here: Mapping[str, Any], found: LayerPlan, install: bool, network: str) -> list[str]:
    """The packages that are to be installed, or blockers where they may not be or are not known."""
    tools, packages = here["tools"], set()
    for tool, package in _PACKAGES.items():
        needed = not (tool == "slirp4netns" and network == "pasta") and not (tool == "useradd" and of(observed).uid is not None)
        if needed and not tools.get(tool):
            packages.add(package)
    if network == "pasta" and not tools.get("pasta"):
        packages.add("passt")
    elif network == "pasta" and tools.get("rootlesskit") and not here.get("takes_pasta"):
        found.blockers.append(
            f"rootless_docker_network: pasta, but {tools['rootlesskit']} of this host does not know it (rootlesskit 2.0 does);"
            " write slirp4netns or auto"
        )
    if not here["user_bus"]:
        packages.add("dbus-user-session")
    if _release(observed["system"]["kernel"]) < _OVERLAY_SINCE and not tools.get("fuse-overlayfs"):
        packages.add("fuse-overlayfs")
    if not here["script"]:
        if observed["engine"].get("package") == "docker-ce":
            packages = (packages - {"rootlesskit"}) | {_EXTRAS}
        else:
            found.blockers.append(
                f"there is no dockerd-rootless.sh on this host (looked for {', '.join(names.SCRIPTS)}); install the package that has it,"
                f" such as docker.io or {_EXTRAS}"
            )
    elif here["script"] == names.SCRIPTS[0] and not tools.get("rootlesskit"):
        packages = (packages - {"rootlesskit"}) | {_EXTRAS}
    named = sorted(packages)
    if named and not install:
        found.blockers.append(f"{', '.join(named)}: missing on this host; install them, or write rootless_docker_install_packages: true")
    found.changes += [Change(f"package {name}", f"install {name}") for name in named]
    return named


def _ranges(found: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any], instance: Instance) -> UserRequest:
    """The user and its subordinate ranges, by the same rules as userns_remap's."""
    here, seen = observed["layers"][LAYER], parse_state(observed["layers"]["userns"])
    wish = RangeRequest(
        instance.user,
        desired["rootless_docker_range_start"],
        desired["rootless_docker_range_size"],
        start_name="rootless_docker_range_start",
    )
    create = bool(desired.get("rootless_docker_create_user"))
    if instance.uid is None and not create:
        found.blockers.append(
            f"rootless_docker_user: there is no user {instance.user} on this host; create it, or write rootless_docker_create_user: true"
        )
    elif instance.uid == 0:
        found.blockers.append(f"rootless_docker_user: {instance.user} has the ID 0 on this host; write a user that is not root")
    request = UserRequest(wish, create=create)
    decision = decide_ranges([request], seen.subuid, seen.subgid, seen.accounts, here["ranges"])
    found.blockers += decision.errors
    found.notices += decision.notes
    if instance.uid is None:
        found.changes.append(
            Change("/etc/passwd", f"user {instance.user} is created, with the home {instance.home}", "", f"{instance.user}\n")
        )
    for path, before, after in ((SUBUID, seen.subuid, decision.subuid), (SUBGID, seen.subgid, decision.subgid)):
        if before.text() != after.text():
            new = sorted({line.text for line in after.ranges} - {line.text for line in before.ranges})
            found.changes.append(Change(path, f"{path}: add {', '.join(new)}", before.text(), after.text()))
    return request


def _files(
    found: LayerPlan,
    observed: Mapping[str, Any],
    desired: Mapping[str, Any],
    here: Mapping[str, Any],
    instance: Instance,
    wrapper: str | None,
) -> list[rendering.File]:
    own = here.get("own_unit")
    if own:
        found.notices.append(f"{own} is used as it is: it would win over a unit of ours")
    loaded = observed["layers"]["apparmor"].get("modes") or {}
    kit = here["tools"].get("rootlesskit") or "/usr/bin/rootlesskit"
    # The profile of that name which distributions ship is for /usr/bin/rootlesskit alone (apparmor 4: profiles/apparmor.d/rootlesskit).
    restricted = bool(here["restrict_userns"]) and not ("rootlesskit" in loaded and kit == "/usr/bin/rootlesskit")
    files = rendering.files(
        instance.user,
        instance.uid,
        here["script"] or names.SCRIPTS[0],
        network=_network(here, desired),
        wrapper=wrapper,
        first_port=desired.get("rootless_docker_first_port"),
        rootlesskit=kit if restricted else None,
        own_unit=not own,
    )
    seen = here.get("files", {})
    ours = set(here["state"].get("files", []))
    for file in rendering.differing(files, seen):
        before = seen.get(file.path) or {}
        if before and file.path not in ours:
            found.blockers.append(
                f"{file.path}: is somebody else's and says something else; move it away, as this host needs its own there"
            )
        summary = f"{file.path} is {'changed' if before else 'written'}"
        found.changes.append(Change(file.path, summary, str(before.get("text") or ""), file.content or f"-> {file.link}\n"))
    if restricted and loaded and names.PROFILE not in loaded and not any(change.path == names.ROOTLESSKIT for change in found.changes):
        found.changes.append(Change(names.ROOTLESSKIT, f"the profile {names.PROFILE} is loaded, which the kernel does not have"))
    for path in sorted(ours - {file.path for file in files}):
        if seen.get(path):
            found.changes.append(Change(path, f"{path} is removed", str(seen[path].get("text") or ""), ""))
    if restricted:
        found.warnings.append(
            "this kernel restricts user namespaces by AppArmor (Ubuntu); the profile that lets rootlesskit through is untested"
        )
    return files


def _user_side(found: LayerPlan, here: Mapping[str, Any], desired: Mapping[str, Any], instance: Instance) -> None:
    if not here.get("linger"):
        found.changes.append(
            Change(
                f"/var/lib/systemd/linger/{instance.user}", f"{instance.user} lingers: its services start at boot and outlive its logins"
            )
        )
    lacking = sorted(set(names.CONTROLLERS) - set(here.get("controllers") or []))
    if here.get("manager") and lacking:
        found.changes.append(Change(instance.manager_cgroup, f"restart the manager of {instance.user}, to delegate {', '.join(lacking)}"))
        if here.get("containers") and not desired.get("rootless_docker_stop_containers"):
            found.blockers.append(
                f"the manager of {instance.user} has to be restarted, to delegate {', '.join(lacking)}, and {len(here['containers'])} containers run"
                " below it; stop them first, or write rootless_docker_stop_containers: true"
            )
        elif here.get("containers"):
            found.effects.append(f"{len(here['containers'])} containers of {instance.user} stop with its manager and are started again")
    port, now = desired.get("rootless_docker_first_port"), here.get("first_port") or ""
    if port is not None and str(port) != now:
        found.changes.append(Change(names.FIRST_PORT, f"ports from {port} on are for anybody", f"{now}\n", f"{port}\n"))
    left = [container["name"] for container in here["state"].get("stopped") or ()]
    if left:
        found.changes.append(Change("docker.service", f"start again what a run that died had stopped: {', '.join(left)}"))
    seen = here.get("context") or {}
    if seen.get("error"):
        found.blockers.append(str(seen["error"]))
    elif seen.get("elsewhere"):
        found.notices.append(
            f"the context rootless of {instance.user} leads to {seen['elsewhere']}; it is the user's own, and stays as it is"
        )
    elif client_context.lacking(seen):
        found.changes.append(Change(f"{instance.home}/.docker", f"the docker client of {instance.user} uses its engine (context rootless)"))


def _rootful(found: LayerPlan, here: Mapping[str, Any], desired: Mapping[str, Any]) -> None:
    """The rootful engine beside it: stopped and masked, or kept."""
    rootful = here["rootful"]
    if not desired.get("rootless_docker_disable_rootful"):
        if here["state"].get("rootful"):
            found.changes.append(Change("docker.service", "unmask the rootful engine, and start it if it ran before"))
        if rootful["pid"]:
            found.warnings.append(
                "the rootful engine is kept beside the rootless one: it stays as it is, and verification says what holds there, but demands nothing"
            )
        return
    running = rootful["containers"]
    if running and not desired.get("rootless_docker_stop_containers"):
        found.blockers.append(
            f"the rootful engine is to be stopped, and these containers run in it: {', '.join(running)}; stop them first, or write"
            " rootless_docker_stop_containers: true"
        )
    if rootful["pid"] or rootful["listening"] or set(rootful["present"]) - set(rootful["masked"]):
        found.changes.append(
            Change("docker.service", "stop and mask the rootful engine; its images, containers and volumes stay on the disk")
        )
        if running:
            found.effects.append(f"the rootful engine is stopped, and with it: {', '.join(running)}")


def stopping(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> set[str]:
    """IDs of the containers that end because the rootless engine is taken back."""
    here = observed["layers"].get(LAYER) or {}
    if wanted_user(desired) or not here.get("state") or not desired.get("rootless_docker_stop_containers"):
        return set()
    return set(here.get("containers") or [])


def unconfinable(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> str:
    """Why no container would start where this run leaves the AppArmor profiles alone; empty where the default one is loaded, or none is desired."""
    profile, seen = default_profile(desired), observed["layers"]["apparmor"]
    if not profile or not seen["enabled"] or profile in (seen.get("modes") or {}):
        return ""
    return (
        f"the default profile of the rootless engine, {profile}, is not loaded on this host, and this run leaves AppArmor profiles out, so that no"
        " container would start; do not skip the tag apparmor, or write rootless_docker_apparmor_profile: ''"
    )


def _take_back(found: LayerPlan, here: Mapping[str, Any], desired: Mapping[str, Any]) -> None:
    """What we set up before goes; the user, its images, containers and volumes stay."""
    known = here["state"]
    if not known:
        return
    user = known["user"]
    running = here.get("containers") or []
    if running and not desired.get("rootless_docker_stop_containers"):
        found.blockers.append(
            f"the rootless engine of {user} is no longer desired, and {len(running)} containers run in it; stop them first, or write"
            " rootless_docker_stop_containers: true"
        )
    found.changes.append(Change(names.UNIT, f"remove the rootless engine of {user}: unit, runtime, drop-ins, context, lingering"))
    if known.get("rootful"):
        found.changes.append(Change("docker.service", "unmask the rootful engine, and start it if it ran before"))
    if here.get("data"):
        found.notices.append(
            f"the user {user} stays, with its subordinate ranges: {here['user']['home']}/.local/share/docker holds its images, containers and volumes"
        )
        if names.WRAPPER in known.get("files", []):
            found.notices.append(
                f"containers of {user} that were created under the runtime {names.RUNTIME} name it, and do not start without it:"
                " remove them, and create them again"
            )
    elif known.get("created"):
        found.notices.append(f"the user {user}, which we made, stays with its home; remove it with userdel --remove {user}")
    found.apply = {
        "state": "absent",
        "user": user,
        "stop_containers": bool(running),
        "timeout": desired.get("rootless_docker_timeout") or 300,
    }


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
