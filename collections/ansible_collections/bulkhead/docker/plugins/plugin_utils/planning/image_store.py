# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for the engine's image store: a storage driver such as overlay2, or containerd with one of its snapshotters. Pure.

An engine shows only what its own store has. Each start chooses one (moby daemon/image_store_choice.go, read in 29.7.2): `features` in daemon.json
decides. Without it, engines before 29 use a storage driver. Since 29 they use containerd, unless the data root has files of a storage driver.
Under userns-remap, 29.0.0 and later always use a storage driver, and do not start if `features` asks for containerd
(daemon/command/daemon_linux.go, setPlatformOptions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.engine.instance import get_observed_instance
from ...module_utils.layers.verdict import LayerPlan
from ...module_utils.migration.layout import DRIVER
from ...module_utils.subid.remap_user import parse_major
from .daemon_keys import find_flag_place

CONTAINERD, OTHER = "containerd", "a storage driver"
_FEATURE = "containerd-snapshotter"
# The first major version whose remapped engines never use containerd's store.
_NEVER_REMAPPED = 29


def find_running_store(engine: Mapping[str, Any]) -> str:
    """Return which kind of store a running engine uses; empty if it is not known."""
    info = engine.get("info") or {}
    if not info.get("Driver"):
        return ""
    return CONTAINERD if "driver-type" in dict(info.get("DriverStatus") or ()) else OTHER


def describe_store(engine: Mapping[str, Any]) -> str:
    """Return the store of a running engine, for the preflight; empty if it is not known."""
    driver = (engine.get("info") or {}).get("Driver")
    store = find_running_store(engine)
    if store == CONTAINERD:
        remapped = engine.get("remapped")
        return f"images in containerd ({driver}, namespace {f'moby-{remapped}' if remapped else 'moby'})"
    return f"images in {driver}" if store else ""


def judge_image_store(
    result: LayerPlan,
    observed: Mapping[str, Any],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    restart: bool,
    migrate: bool | None,
    is_whole: bool = True,
) -> None:
    """Add what userns-remap and a restart do to the image store.

    before, after: daemon.json. migrate: whether data is migrated in this restart; None if the restart keeps the data root. is_whole: whether no
    later part of the run changes the file.
    """
    engine, flags = observed["engine"], (observed.get("unit") or {}).get("flags", {})
    major = parse_major(engine.get("version"))
    asked, place = _read_feature(observed, flags, after)
    remaps = not get_observed_instance(observed).rootless and bool(after.get("userns-remap") or flags.get("userns-remap"))
    running = find_running_store(engine)
    if remaps and asked:
        _judge_remapped(result, place, major)
    elif remaps and restart and running == CONTAINERD and major and major >= _NEVER_REMAPPED and not migrate:
        result.warnings.append(
            f"under userns-remap, Docker Engine {major} keeps images in {DRIVER} instead of containerd: the same images have other IDs there,"
            " and only one platform each"
        )
    unused = _count_unused(observed) if restart and migrate is not None and running == CONTAINERD else 0
    if unused:
        result.notices.append(
            f"{engine['root_dir']} also has images of a storage driver ({unused}), which the engine does not use while its store is"
            " containerd; they are not judged"
        )
    if not restart or result.blockers:
        return
    if migrate:
        _judge_migrated(result, observed, flags, after, place if asked else "")
        if running == CONTAINERD and not result.blockers:
            result.notices.append(
                f"images move from containerd to {DRIVER}: their IDs become those of their configurations, and each has one platform; the build"
                " cache is not migrated"
            )
    elif migrate is False and is_whole and not remaps and _is_left_in_containerd(observed):
        if running == OTHER and _choose_next(asked, remaps, major) == OTHER:
            result.blockers.append(
                f"{place or 'by default'}: the containers of the plain data root have their images in containerd, and the restarted engine would"
                f" not show them; set features: {_FEATURE}: true in {observed['daemon_json']['path']}, or roll back without --tags"
            )
    elif migrate is None:
        _judge_change(result, observed, before, after, _choose_next(asked, remaps, major), place)


def _read_feature(observed: Mapping[str, Any], flags: Mapping[str, str], content: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Return whether the configuration asks for containerd's store (None: it does not say), and where, for messages."""
    features = content.get("features")
    value = features.get(_FEATURE) if isinstance(features, Mapping) else None
    if isinstance(value, bool):
        return value, f"{observed['daemon_json']['path']}: features: {_FEATURE}: {str(value).lower()}"
    for given in flags.get("feature", "").split(","):
        name, _equals, text = given.partition("=")
        if name == _FEATURE:
            return text.lower() in ("", "true", "1", "t"), f"--feature={given} in {find_flag_place(observed, 'feature')}"
    return None, ""


def _choose_next(asked: bool | None, remaps: bool, major: int | None) -> str:
    """Return which kind of store the engine uses after its next start; empty if only the engine knows."""
    if asked is not None:
        return CONTAINERD if asked else OTHER
    if major is None:
        return ""
    return OTHER if remaps or major < _NEVER_REMAPPED else ""


def _count_unused(observed: Mapping[str, Any]) -> int:
    """Return the number of images of storage drivers in the data root of an engine that uses containerd's store."""
    roots = observed["layers"].get("userns", {}).get("roots") or ()
    return next((int(root["images"]) for root in roots if root["remapped"] == observed["engine"].get("remapped")), 0)


def _is_left_in_containerd(observed: Mapping[str, Any]) -> bool:
    """Return whether the plain data root has containers whose images are in containerd, as after a migration."""
    roots = observed["layers"].get("userns", {}).get("roots") or ()
    plain = next((root for root in roots if not root["remapped"]), None)
    return bool(plain and plain["containers"] and not plain["images"] and plain.get("unknown"))


def _judge_remapped(result: LayerPlan, place: str, major: int | None) -> None:
    advice = f"set it to false (docker_daemon_options: {{features: {{{_FEATURE}: false}}}})"
    if major is not None and major >= _NEVER_REMAPPED:
        result.blockers.append(
            f"{place}: Docker Engine {major} does not start with it under userns-remap; {advice}, or write userns_remap_layer: disabled"
        )
    else:
        result.warnings.append(
            f"{place}: under userns-remap BuildKit fails with it (moby issue 47377), and Docker Engine {_NEVER_REMAPPED} does not start;"
            f" {advice}"
        )


def _judge_migrated(result: LayerPlan, observed: Mapping[str, Any], flags: Mapping[str, str], after: Mapping[str, Any], place: str) -> None:
    """Add a blocker if the restarted engine would not use the store that is migrated."""
    driver = after.get("storage-driver") or flags.get("storage-driver") or DRIVER
    if place and find_running_store(observed["engine"]) == CONTAINERD:
        result.blockers.append(
            f"{place}: the migrated images are in {DRIVER}, and the restarted engine would not show them; set it to false in the same run"
            f" (docker_daemon_options: {{features: {{{_FEATURE}: false}}}}, without --tags or with --tags userns,pids_limit,no_new_privileges)"
        )
        return
    if place:
        cause = place
    elif driver != DRIVER:
        key = "storage-driver"
        where = observed["daemon_json"]["path"] if after.get(key) else find_flag_place(observed, key)
        cause = f"{where}: {key}: {driver}"
    else:
        return
    result.blockers.append(
        f"{cause}: the restarted engine would not see the migrated data, which is of {DRIVER}; remove that setting first"
    )


def _judge_change(
    result: LayerPlan, observed: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], then: str, place: str
) -> None:
    """Add a blocker if the restart changes the store and hides data that the inventory did not ask to hide."""
    engine = observed["engine"]
    now, contents = find_running_store(engine), engine.get("contents") or {}
    if not now or not then or now == then or not (contents.get("images") or contents.get("containers")):
        return
    running = [container["name"] for container in engine.get("containers") or []]
    change = f"{place or 'by default'}: the restarted engine keeps images in {then} instead of {now}, and no longer sees its images and containers"
    if before.get("features") == after.get("features"):
        result.blockers.append(f"{change}; restore that setting, or restart the engine yourself first")
    elif running:
        result.blockers.append(f"{change}: {', '.join(running)} would keep running unknown to the engine; stop them first")
    else:
        result.warnings.append(f"{change}, which stay in the old place")
