# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions for containers by the state of the engine, and the compose file that is restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.filter.compose_pinned import FilterModule as Pinned
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened import plan
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files

ENTRY = {
    "name": "shop", "image": "shop:1", "state": "present", "seccomp_profile": "web", "apparmor_profile": "web", "command": [], "environment": {},
    "user": "33", "read_only": True, "tmpfs": [], "capabilities": [], "pids_limit": 100, "memory": "1m", "cpus": 1, "restart_policy": "no",
    "log_max_size": "1m", "log_max_file": 1, "ports": [], "volumes": [], "network": "", "stop_signal": "",
}  # fmt: skip
FOLDER = "/etc/docker/seccomp"
OLD, NEW = "sha256:1", "sha256:2"


class Answers:
    """An engine that has these things."""

    def __init__(self, **things: Any) -> None:
        self._things = {path.replace("_", "/"): answer for path, answer in things.items()}

    def get(self, path: str) -> Any:
        for begins, answer in self._things.items():
            if path.startswith(f"/{begins}"):
                return answer
        raise EngineError(404, "no such thing")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return write_files(tmp_path, {f"{FOLDER}/web.json": "{}"})


def made(mark: str, project: str = "bulkhead", running: bool = True) -> dict[str, Any]:
    labels = {plan.LABEL: mark, **({"com.docker.compose.project": project} if project else {})}
    return {"Config": {"Labels": labels}, "Image": OLD, "State": {"Running": running}}


def planned(host: Host, engine: Answers, run_by: str = "compose", **entry: Any) -> plan.ContainersPlan:
    return plan.plan_containers(host, engine, [{**ENTRY, **entry}], FOLDER, run_by, "bulkhead")  # type: ignore[arg-type]


SAME = plan.compute_fingerprint(ENTRY, "{}")


@pytest.mark.parametrize(
    ("mark", "image", "running", "action"),
    [(SAME, OLD, True, ""), (SAME, OLD, False, "start"), ("other", OLD, True, "replace"), (SAME, NEW, True, "replace"), (SAME, None, True, "")],
)  # fmt: skip
def test_action_for_a_present_container(host: Host, mark: str, image: str | None, running: bool, action: str) -> None:
    images = {"images": {"Id": image}} if image else {}
    found = planned(host, Answers(containers=made(mark, running=running), **images))
    assert found.actions == ({"shop": action} if action else {})
    assert found.moved == ({"shop": OLD} if image == NEW else {})


def test_missing_containers_are_created_and_absent_ones_removed(host: Host) -> None:
    assert planned(host, Answers()).actions == {"shop": "create"}
    assert planned(host, Answers(), state="absent").actions == {}
    assert planned(host, Answers(containers=made("other")), state="absent").actions == {"shop": "remove"}


def test_what_is_allowed_replaces_no_container() -> None:
    before = {key: value for key, value in ENTRY.items() if key != "allow_exposures"}
    assert plan.compute_fingerprint({**ENTRY, "allow_exposures": ["device"]}, "{}") == plan.compute_fingerprint(before, "{}")


def test_a_changed_profile_changes_the_fingerprint(host: Host) -> None:
    assert plan.compute_fingerprint(ENTRY, "{}") != plan.compute_fingerprint(ENTRY, '{"a": 1}')


@pytest.mark.parametrize(
    ("present", "run_by", "words"),
    [
        ({"Config": {"Labels": None}}, "compose", "container shop exists and was not created by this role"),
        (made(SAME, "mine"), "compose", "is run by compose project mine, and would now be run by compose project bulkhead; set hardened_container"),
        (made(SAME, ""), "compose", "is run without a compose project, and would now"),
        (made(SAME), "container", "is run by compose project bulkhead, and would now be run without a compose project"),
    ],
)  # fmt: skip
def test_unmanaged_containers_are_rejected(host: Host, present: dict[str, Any], run_by: str, words: str) -> None:
    with pytest.raises(plan.CannotRun) as rejected:
        planned(host, Answers(containers=present), run_by)
    assert words in str(rejected.value)


def test_images_to_pull_are_listed_once(host: Host) -> None:
    both = [{**ENTRY}, {**ENTRY, "name": "web"}]
    found = plan.plan_containers(host, Answers(), both, FOLDER, "compose", "bulkhead")  # type: ignore[arg-type]
    assert found.missing == ["shop:1"]
    assert planned(host, Answers(images={"Id": OLD})).missing == []
    assert planned(host, Answers(containers=made(SAME, running=False))).missing == []


def test_obstacles_of_the_host_are_rejected(host: Host) -> None:
    with pytest.raises(plan.CannotRun, match=r"container shop: cpus is 1 and the engine has 0\.5; write a lower number"):
        planned(host, Answers(info={"NCPU": 0.5}))
    # A container that keeps running is not judged.
    assert planned(host, Answers(containers=made(SAME), info={"NCPU": 0.5})).actions == {}


@pytest.mark.parametrize("spare", ["shop-before", "shop-next"])
def test_a_replacement_takes_no_other_containers_name(host: Host, spare: str) -> None:
    there = {"containers_shop_json": made("other", ""), f"containers_{spare}": {"Config": {"Labels": None}}}
    with pytest.raises(
        plan.CannotRun, match=f"container {spare} exists, and its name is needed while shop is replaced; remove or rename it"
    ):
        planned(host, Answers(**there), "container")
    assert planned(host, Answers(**{**there, f"containers_{spare}": made("x", "")}), "container").actions == {"shop": "replace"}


def test_a_missing_profile_is_rejected(host: Host) -> None:
    with pytest.raises(plan.CannotRun, match=r"nothing\.json does not exist on this host; run role seccomp_profiles first"):
        planned(host, Answers(), seccomp_profile="nothing")


def test_options_exist_only_without_a_compose_project(host: Host) -> None:
    assert planned(host, Answers()).options == {}
    assert planned(host, Answers(), "container").options["shop"]["security_opts"][1] == "seccomp={}"


def test_a_compose_file_is_restored_with_its_images() -> None:
    pinned = Pinned().filters()["compose_pinned"]
    text = "# by hand\nservices: {shop: {image: shop:1}, cache: {image: cache:1}}\n"
    assert pinned(text, {}) == text
    assert yaml.safe_load(pinned(text, {"shop": OLD, "gone": OLD}))["services"] == {"shop": {"image": OLD}, "cache": {"image": "cache:1"}}
