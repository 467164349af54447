# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the rootless engine of one user, or its removal. Pure; runs on the control node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...engine.instance import Instance, get_observed_instance
from ...host.root import sha256
from ...rootless import client_context, managed_files, names, rendering
from ...subid.allocate import describe_bounds_problem
from ...subid.mapping import MIN_IDS
from ..registry import SWITCHES
from ..verdict import DISABLED, REQUIRED, Change, Effect, LayerPlan
from .plan_ranges import plan_ranges
from .plan_user import explain_name

LAYER = __package__.rpartition(".")[2]
SWITCH = SWITCHES[LAYER]
PROFILE = "rootless_docker_apparmor_profile"
DEFAULT_PROFILE = "bulkhead-rootless"
# Key in the desired state for the text of the OCI runtime with that profile, set by plugin_utils/planning.
WRAPPER = "__rootless_docker_wrapper"
# Package of each tool in Debian and Ubuntu; docker-ce has packages of its own for some.
_PACKAGES = {"newuidmap": "uidmap", "newgidmap": "uidmap", "rootlesskit": "rootlesskit", "slirp4netns": "slirp4netns", "useradd": "passwd"}
_EXTRAS = "docker-ce-rootless-extras"
# Kernel 5.11 introduced overlayfs in a user namespace (Debian and Ubuntu had a patch before).
_OVERLAY_SINCE = (5, 11)


def find_desired_user(desired: Mapping[str, Any]) -> str:
    """Return the user whose rootless engine is desired; empty for the rootful engine."""
    return str(desired.get("rootless_docker_user") or "") if (desired.get(SWITCH) or DISABLED) != DISABLED else ""


def find_default_profile(desired: Mapping[str, Any]) -> str:
    """Return the profile that the OCI runtime gives to containers that name none; empty without such a runtime."""
    if not find_desired_user(desired) or desired.get(SWITCHES["apparmor"]) == DISABLED:
        return ""
    return str(desired.get(PROFILE) or "")


def add_default_profile(desired: Mapping[str, Any]) -> list[Any]:
    """Return `apparmor_profiles_list` with the default profile. A rootful engine loads docker-default itself, a rootless one cannot."""
    listed = list(desired.get("apparmor_profiles_list") or [])
    if find_default_profile(desired) == DEFAULT_PROFILE and not any(
        isinstance(entry, Mapping) and entry.get("name") == DEFAULT_PROFILE for entry in listed
    ):
        listed.append({"name": DEFAULT_PROFILE, "description": "default of containers of the rootless engine", "extends": "any"})
    return listed


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what verification expects: user, runtime, profile, and whether the rootful engine is off."""
    if not find_desired_user(desired):
        return {"user": None}
    profile, wrapper = find_default_profile(desired), desired.get(WRAPPER)
    return {
        "user": desired["rootless_docker_user"],
        "disable_rootful": bool(desired.get("rootless_docker_disable_rootful")),
        "first_port": desired.get("rootless_docker_first_port"),
        "profile": profile or None,
        "wrapper": {"path": names.WRAPPER, "sha256": sha256(str(wrapper))} if profile and wrapper else None,
    }


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """Plan packages, user, ranges and files of the rootless engine; if the layer is disabled, their removal."""
    here = observed["layers"][LAYER]
    result = LayerPlan(LAYER, str(desired.get(SWITCH) or DISABLED))
    if here["error"]:
        result.blockers.append(str(here["error"]))
        return result
    if result.requirement == DISABLED:
        _plan_removal(result, here, desired)
        return result
    result.blockers += _check_variables(desired, here, observed)
    reason = _explain_unsupported(observed, here)
    if result.blockers:
        return result
    if reason:
        return result.mark_unsupported(reason)
    instance = get_observed_instance(observed)
    packages = _plan_packages(observed, here, result, bool(desired.get("rootless_docker_install_packages")), _select_network(here, desired))
    request = plan_ranges(result, observed, desired, instance)
    wrapper = desired.get(WRAPPER) if find_default_profile(desired) and observed["layers"]["apparmor"]["enabled"] else None
    files = _plan_files(result, observed, desired, here, instance, wrapper)
    _plan_user(result, here, desired, instance)
    _plan_rootful(result, here, desired)
    if wrapper is not None:
        # In daemon.json too, so that `docker info` shows it; by the unit's PATH the wrapper is also plain `runc`.
        result.daemon_keys = {"runtimes": {names.RUNTIME: {"path": names.WRAPPER}}, "default-runtime": names.RUNTIME}
    result.apply = {
        "state": "present",
        "user": instance.user,
        "packages": packages,
        "range": {"start": request.range.start, "size": request.range.count, "exact": request.range.exact},
        "files": [{"path": f.path, "content": f.content, "mode": f"{f.mode:04o}", "link": f.link} for f in files],
        "disable_rootful": bool(desired.get("rootless_docker_disable_rootful")),
        "stop_containers": bool(desired.get("rootless_docker_stop_containers")),
        "timeout": desired.get("rootless_docker_timeout") or 300,
    }
    return result


def _check_variables(desired: Mapping[str, Any], here: Mapping[str, Any], observed: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables."""
    user, problems = str(desired["rootless_docker_user"]), []
    if user in ("root", "0"):
        problems.append("rootless_docker_user: a rootless engine of root would not be rootless; write another user, such as rootless")
    elif why := explain_name(user, get_observed_instance(observed).uid is not None):
        problems.append(f"rootless_docker_user: {user!r} {why}")
    if desired.get(SWITCHES["userns"], DISABLED) == REQUIRED:
        problems.append(
            "rootless_docker_layer and userns_remap_layer are both required, and a rootless engine does not start with userns-remap:"
            " its root is an unprivileged user already; write userns_remap_layer: disabled for this host"
        )
    options = desired.get("docker_daemon_options")
    if isinstance(options, Mapping) and options.get("userns-remap"):
        problems.append("docker_daemon_options['userns-remap']: a rootless engine does not start with it; remove it for this host")
    start, size = desired["rootless_docker_range_start"], desired["rootless_docker_range_size"]
    if size < MIN_IDS:
        problems.append(
            f"rootless_docker_range_size: {size} is too few: images with files of nobody (65534) cannot be unpacked; write {MIN_IDS} or more"
        )
    elif start < 65536 or describe_bounds_problem(start, size):
        why = describe_bounds_problem(start, size) or "is among the host's own accounts (0 to 65535)"
        problems.append(f"rootless_docker_range_start: {start} {why}; write 65536 or more, such as 296608")
    port = desired.get("rootless_docker_first_port")
    if port is not None and not 0 <= port <= 1024:
        problems.append(f"rootless_docker_first_port: {port} is not valid; write 0 to 1024, such as 80, or leave it out")
    profile = desired.get(PROFILE)
    names = [entry.get("name") for entry in desired.get("apparmor_profiles_list") or [] if isinstance(entry, Mapping)]
    if profile and find_default_profile(desired) and profile not in (*names, DEFAULT_PROFILE):
        problems.append(f"{PROFILE}: {profile} is not in apparmor_profiles_list, so that it would not be loaded; add it there")
    before = here["state"].get("user")
    if before and before != user:
        problems.append(
            f"rootless_docker_user: {user}, but this host has the engine of {before} from an earlier run; remove that one first"
            f" (rootless_docker_layer: disabled), or write {before}"
        )
    return problems


def _explain_unsupported(observed: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return why this host does not support a rootless engine; empty when it does."""
    system, either = observed["system"], f"or write {SWITCH}: disabled"
    if not system.get("systemd"):
        return f"the rootless engine needs systemd, which does not run this host; {either}"
    if system.get("cgroup_version") != 2:
        return f"a rootless engine cannot limit containers under cgroup v1; boot with systemd.unified_cgroup_hierarchy=1, {either}"
    if not here["unprivileged_userns"]:
        return f"/proc/sys/kernel/unprivileged_userns_clone is 0, so that only root can create user namespaces; set it to 1, {either}"
    if observed["layers"]["userns"].get("max_user_namespaces") in (0, None):
        return (
            f"/proc/sys/user/max_user_namespaces is 0 or missing, so that no user namespace can be made; set it to some thousands, {either}"
        )
    return ""


def _select_network(here: Mapping[str, Any], desired: Mapping[str, Any]) -> str:
    """Return rootlesskit's network driver; empty for the choice of dockerd-rootless.sh, which prefers slirp4netns."""
    choice = str(desired.get("rootless_docker_network") or "auto")
    if choice != "auto":
        return choice
    return "pasta" if here.get("takes_pasta") and not here["tools"].get("slirp4netns") else ""


def _plan_packages(observed: Mapping[str, Any], here: Mapping[str, Any], result: LayerPlan, install: bool, network: str) -> list[str]:
    """Return the packages to install; add blockers where installing is not allowed or the package is not known."""
    tools, packages = here["tools"], set()
    for tool, package in _PACKAGES.items():
        needed = not (tool == "slirp4netns" and network == "pasta") and not (
            tool == "useradd" and get_observed_instance(observed).uid is not None
        )
        if needed and not tools.get(tool):
            packages.add(package)
    if network == "pasta" and not tools.get("pasta"):
        packages.add("passt")
    elif network == "pasta" and tools.get("rootlesskit") and not here.get("takes_pasta"):
        result.blockers.append(
            f"rootless_docker_network: pasta, but {tools['rootlesskit']} of this host does not support it (rootlesskit 2.0 does);"
            " write slirp4netns or auto"
        )
    if not here["user_bus"]:
        packages.add("dbus-user-session")
    if _parse_release(observed["system"]["kernel"]) < _OVERLAY_SINCE and not tools.get("fuse-overlayfs"):
        packages.add("fuse-overlayfs")
    if not here["script"]:
        if observed["engine"].get("package") == "docker-ce":
            packages = (packages - {"rootlesskit"}) | {_EXTRAS}
        else:
            result.blockers.append(
                f"dockerd-rootless.sh was not found on this host ({', '.join(names.SCRIPTS)}); install the package that has it,"
                f" such as docker.io or {_EXTRAS}"
            )
    elif here["script"] == names.SCRIPTS[0] and not tools.get("rootlesskit"):
        packages = (packages - {"rootlesskit"}) | {_EXTRAS}
    named = sorted(packages)
    if named and not install:
        result.blockers.append(f"{', '.join(named)}: missing on this host; install them, or set rootless_docker_install_packages: true")
    result.changes += [Change(f"package {name}", f"install {name}") for name in named]
    return named


def _plan_files(
    result: LayerPlan,
    observed: Mapping[str, Any],
    desired: Mapping[str, Any],
    here: Mapping[str, Any],
    instance: Instance,
    wrapper: str | None,
) -> list[managed_files.ManagedFile]:
    own = here.get("own_unit")
    if own:
        result.notices.append(f"{own} is used as it is: it would override a managed unit")
    loaded = observed["layers"]["apparmor"].get("modes") or {}
    kit, restricted = needs_rootlesskit_profile(observed)
    files = rendering.render_files(
        instance.user,
        instance.uid,
        here["script"] or names.SCRIPTS[0],
        network=_select_network(here, desired),
        wrapper=wrapper,
        first_port=desired.get("rootless_docker_first_port"),
        rootlesskit=kit if restricted else None,
        own_unit=not own,
    )
    seen = here.get("files", {})
    managed = set(here["state"].get("files", []))
    for file in managed_files.list_differing(files, seen):
        before = seen.get(file.path) or {}
        if before and file.path not in managed:
            result.blockers.append(
                f"{file.path}: has other content and is not managed by Bulkhead; move it away, because the engine needs its own file there"
            )
        summary = f"{'change' if before else 'write'} {file.path}"
        result.changes.append(Change(file.path, summary, str(before.get("text") or ""), file.content or f"-> {file.link}\n"))
    if restricted and loaded and names.PROFILE not in loaded and not any(change.path == names.ROOTLESSKIT for change in result.changes):
        result.changes.append(Change(names.ROOTLESSKIT, f"load the profile {names.PROFILE}"))
    for path in sorted(managed - {file.path for file in files}):
        if seen.get(path):
            result.changes.append(Change(path, f"remove {path}", str(seen[path].get("text") or ""), ""))
    if restricted:
        result.warnings.append(
            "this kernel restricts user namespaces by AppArmor (Ubuntu); the profile that allows them to rootlesskit is untested"
        )
    return files


def needs_rootlesskit_profile(observed: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the path of rootlesskit, and whether the kernel requires a profile for it that the host does not have.

    The distributions' profile of that name is for /usr/bin/rootlesskit only (apparmor 4: profiles/apparmor.d/rootlesskit).
    """
    here, loaded = observed["layers"].get(LAYER) or {}, observed["layers"]["apparmor"].get("modes") or {}
    kit = (here.get("tools") or {}).get("rootlesskit") or "/usr/bin/rootlesskit"
    return kit, bool(here.get("restrict_userns")) and not ("rootlesskit" in loaded and kit == "/usr/bin/rootlesskit")


def _plan_user(result: LayerPlan, here: Mapping[str, Any], desired: Mapping[str, Any], instance: Instance) -> None:
    if not here.get("linger"):
        result.changes.append(
            Change(
                names.build_linger_path(instance.user),
                f"enable lingering for {instance.user}: its services start at boot and survive its logins",
            )
        )
    lacking = sorted(set(names.CONTROLLERS) - set(here.get("controllers") or []))
    if here.get("manager") and lacking:
        result.changes.append(Change(instance.manager_cgroup, f"restart the manager of {instance.user} to delegate {', '.join(lacking)}"))
        if here.get("containers") and not desired.get("rootless_docker_stop_containers"):
            result.blockers.append(
                f"the manager of {instance.user} has to be restarted to delegate {', '.join(lacking)}, and {len(here['containers'])} containers run"
                " below it; stop them first, or set rootless_docker_stop_containers: true"
            )
        elif here.get("containers"):
            result.effects.append(
                Effect(f"{len(here['containers'])} containers of {instance.user} stop with its manager and are started again")
            )
    port, now = desired.get("rootless_docker_first_port"), here.get("first_port") or ""
    if port is not None and str(port) != now:
        result.changes.append(Change(names.FIRST_PORT, f"allow every user to listen on ports from {port} on", f"{now}\n", f"{port}\n"))
    stopped = [container["name"] for container in here["state"].get("stopped") or ()]
    if stopped:
        result.changes.append(Change("docker.service", f"start what an interrupted run stopped: {', '.join(stopped)}"))
    seen = here.get("context") or {}
    if seen.get("error"):
        result.blockers.append(str(seen["error"]))
    elif seen.get("elsewhere"):
        result.notices.append(
            f"the context rootless of {instance.user} has the address {seen['elsewhere']}; it belongs to the user and stays as it is"
        )
    elif client_context.is_incomplete(seen):
        result.changes.append(
            Change(f"{instance.home}/.docker", f"the docker client of {instance.user} uses its engine (context rootless)")
        )


def _plan_rootful(result: LayerPlan, here: Mapping[str, Any], desired: Mapping[str, Any]) -> None:
    """Plan the rootful engine of the same host: stopped and masked, or kept."""
    rootful = here["rootful"]
    if not desired.get("rootless_docker_disable_rootful"):
        if here["state"].get("rootful"):
            result.changes.append(Change("docker.service", "unmask the rootful engine, and start it if it ran before"))
        if rootful["pid"]:
            result.warnings.append(
                "the rootful engine stays as it is next to the rootless one; verification reports its defaults and requires nothing of it"
            )
        return
    running = rootful["containers"]
    if running and not desired.get("rootless_docker_stop_containers"):
        result.blockers.append(
            f"the rootful engine would be stopped, and these containers run in it: {', '.join(running)}; stop them first, or set"
            " rootless_docker_stop_containers: true"
        )
    if rootful["pid"] or rootful["listening"] or set(rootful["present"]) - set(rootful["masked"]):
        result.changes.append(
            Change("docker.service", "stop and mask the rootful engine; its images, containers and volumes stay on the disk")
        )
        if running:
            result.effects.append(Effect("the rootful engine is stopped, and with it", running))


def list_stopping_containers(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> set[str]:
    """Return the IDs of the containers that end because the rootless engine is removed."""
    here = observed["layers"].get(LAYER) or {}
    if find_desired_user(desired) or not here.get("state") or not desired.get("rootless_docker_stop_containers"):
        return set()
    return set(here.get("containers") or [])


def explain_missing_profile(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> str:
    """Return why no container would start in a run without layer apparmor; empty when the default profile is loaded or not desired."""
    profile, seen = find_default_profile(desired), observed["layers"]["apparmor"]
    if not profile or not seen["enabled"] or profile in (seen.get("modes") or {}):
        return ""
    return (
        f"the default profile of the rootless engine, {profile}, is not loaded on this host, and this run skips AppArmor profiles, so that no"
        " container would start; do not skip the tag apparmor, or set rootless_docker_apparmor_profile: ''"
    )


def _plan_removal(result: LayerPlan, here: Mapping[str, Any], desired: Mapping[str, Any]) -> None:
    """Plan the removal of what Bulkhead set up. The user, its images, containers and volumes stay."""
    known = here["state"]
    if not known:
        return
    user = known["user"]
    running = here.get("containers") or []
    if running and not desired.get("rootless_docker_stop_containers"):
        result.blockers.append(
            f"the rootless engine of {user} is no longer desired, and {len(running)} containers run in it; stop them first, or set"
            " rootless_docker_stop_containers: true"
        )
    result.changes.append(Change(names.UNIT, f"remove the rootless engine of {user}: unit, runtime, drop-ins, context, lingering"))
    if known.get("rootful"):
        result.changes.append(Change("docker.service", "unmask the rootful engine, and start it if it ran before"))
    if here.get("data"):
        result.notices.append(
            f"the user {user} and its subordinate ranges are kept: {here['user']['home']}/.local/share/docker has its images, containers and volumes"
        )
        if names.WRAPPER in known.get("files", []):
            result.notices.append(
                f"containers of {user} that were created with the runtime {names.RUNTIME} do not start without it:"
                " remove them and create them again"
            )
    elif known.get("created"):
        result.notices.append(f"the user {user}, which Bulkhead created, is kept with its home; remove it with userdel --remove {user}")
    result.apply = {
        "state": "absent",
        "user": user,
        "stop_containers": bool(running),
        "timeout": desired.get("rootless_docker_timeout") or 300,
    }


def _parse_release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
