# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges sections 4 and 6: images and what the engine keeps, from the engine's metadata. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...module_utils.formatting import format_names
from .catalog import Control
from .verdict import MANUAL, NOT_APPLICABLE, UNKNOWN, ControlOutcome, Facts, build_evidence, decide

# docker-bench-security tolerates as many stopped containers.
MAX_STOPPED = 25
MAX_NAMES = 10


def _judge_images(facts: Facts, is_wrong: Callable[[Mapping[str, Any]], bool], good: str, bad: str) -> ControlOutcome:
    read = facts.get("images")
    if not read["images"] and not read["unread"]:
        return _conclude_without_images()
    wrong = [name_image(image) for image in read["images"] if is_wrong(image)]
    if not wrong and read["unread"]:
        return ControlOutcome(UNKNOWN, f"{read['unread']} images were not read in time")
    names = format_names(wrong, MAX_NAMES)
    return decide(not wrong, good, f"{bad}: {names}", "docker image inspect, docker history", names or f"none of {len(read['images'])}")


def _conclude_without_images() -> ControlOutcome:
    return ControlOutcome(NOT_APPLICABLE, "the host has no images", build_evidence("docker image ls", "none"))


def name_image(image: Mapping[str, Any]) -> str:
    return str(image["tags"][0]) if image["tags"] else str(image["id"])[:19]


def judge_image_user(control: Control, facts: Facts) -> ControlOutcome:
    return _judge_images(facts, lambda i: i["user"].split(":")[0] in ("", "0", "root"), "every image has a user", "images that run as root")


def judge_image_health_check(control: Control, facts: Facts) -> ControlOutcome:
    return _judge_images(facts, lambda i: not i["health_check"], "every image has a health check", "images without a health check")


def judge_image_setuid(control: Control, facts: Facts) -> ControlOutcome:
    """Judge by the files of all images, if they were searched."""
    if not (facts.evidence.get("controls") or {}).get("searched"):
        return ControlOutcome(
            MANUAL, "the engine's metadata do not show such programs; bulkhead_search_images: true searches the files of all images"
        )
    read = facts.get("setuid")
    if not read["images"] and not read["unread"]:
        return _conclude_without_images()
    wrong = {name_image(image): [*image["files"], *(["…"] if image["more"] else [])] for image in read["images"] if image["files"]}
    if not wrong and read["unread"]:
        return ControlOutcome(UNKNOWN, f"these images could not be searched: {', '.join(read['unread'][:MAX_NAMES])}")
    found = "; ".join(f"{name}: {' '.join(files[:MAX_NAMES])}" for name, files in list(wrong.items())[:MAX_NAMES])
    return decide(
        not wrong,
        "no image has setuid or setgid programs",
        f"images with setuid or setgid programs: {format_names(list(wrong), MAX_NAMES)}",
        "find DIFF -perm /6000",
        found or "none",
    )


def judge_image_updates(control: Control, facts: Facts) -> ControlOutcome:
    return _judge_images(
        facts, lambda i: bool(i["updates_alone"]), "no image updates package lists alone", "images that update package lists alone"
    )


def judge_image_adds(control: Control, facts: Facts) -> ControlOutcome:
    return _judge_images(facts, lambda i: bool(i["adds"]), "no image uses ADD", "images that use ADD")


def judge_image_secrets(control: Control, facts: Facts) -> ControlOutcome:
    good, bad = "no image has variables whose names look like secrets", "images with variables whose names look like secrets"
    return _judge_images(facts, lambda i: bool(i["secret_names"]), good, bad)


def judge_content_trust(control: Control, facts: Facts) -> ControlOutcome:
    value = facts.get("content_trust")
    bad = "no session gets DOCKER_CONTENT_TRUST=1 from /etc/environment"
    return decide(
        value == "1", "every session gets DOCKER_CONTENT_TRUST=1", bad, "/etc/environment DOCKER_CONTENT_TRUST", value or "not set"
    )


def judge_unused_images(control: Control, facts: Facts) -> ControlOutcome:
    """Judge as docker-bench-security does: at most half of the images are unused."""
    images = facts.get("images")["images"]
    used = {container["image_id"] for container in facts.get("containers")}
    unused = [name_image(image) for image in images if image["id"] not in used]
    text = f"{len(unused)} of {len(images)} images are unused"
    return decide(2 * len(unused) <= len(images), text, text, "docker image ls, docker ps -a", unused)


def judge_stopped_containers(control: Control, facts: Facts) -> ControlOutcome:
    stopped = [container["name"] for container in facts.get("containers") if container["state"] != "running"]
    text = f"{len(stopped)} containers do not run"
    return decide(len(stopped) <= MAX_STOPPED, text, f"{text}, more than {MAX_STOPPED}", "docker ps -a", len(stopped))
