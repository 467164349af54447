# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of services: from where they come, that they can be files, and what is said about two services under one name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.services import (
    LABEL,
    PROJECT,
    SERVICE,
    describe_missing,
    group_instances,
    make_slug,
    name_service,
)


def make_instance(name: str, label: str = "", project: str = "", service: str = "", image_id: str = "sha256:1") -> dict[str, Any]:
    labels = {LABEL: label, PROJECT: project, SERVICE: service}
    return {
        "id": "0123456789ab" + "0" * 52,
        "name": name,
        "image_id": image_id,
        "labels": {key: value for key, value in labels.items() if value},
    }


@pytest.mark.parametrize(
    ("instance", "name"),
    [
        (make_instance("web"), "web"),
        (make_instance("shop-web-1", project="shop", service="web"), "shop-web"),
        (make_instance("shop-web-1", label="Front End", project="shop", service="web"), "front-end"),
        (make_instance("shop-web-1", label="  ", project="shop", service="web"), "shop-web"),
        (make_instance("web", project="shop"), "web"),
    ],
)
def test_label_then_compose_then_name(instance: dict[str, Any], name: str) -> None:
    assert name_service(instance) == name


@pytest.mark.parametrize(
    ("text", "slug"),
    [("Web_1.x", "web_1.x"), ("../../etc/passwd", "etc-passwd"), ("a  b", "a-b"), (".hidden-", "hidden"), ("x" * 60, "x" * 60)],
)
def test_a_slug_is_a_plain_name(text: str, slug: str) -> None:
    assert make_slug(text) == slug


@pytest.mark.parametrize("text", ["x" * 61, "y" * 500, "", "___", "\u00e9\u00e8", "\udce9"])
def test_any_text_has_a_slug_of_its_own(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,59}", make_slug(text))
    assert make_slug(text) != make_slug(text + "z")


def test_replicas_and_hosts_are_one_service() -> None:
    services = group_instances(
        {
            "db1": {"instances": [make_instance("shop-web-1", project="shop", service="web"), make_instance("cache")]},
            "db2": {"instances": [make_instance("shop-web-2", project="shop", service="web")]},
        }
    )
    assert services.problems == []
    assert {name: sorted(hosts) for name, hosts in services.by_name.items()} == {"cache": ["db1"], "shop-web": ["db1", "db2"]}


def test_two_compose_services_under_one_name() -> None:
    services = group_instances(
        {
            "a": {"instances": [make_instance("a-b-c-1", project="a-b", service="c")]},
            "b": {"instances": [make_instance("a-b-c-2", project="a", service="b-c"), make_instance("other")]},
        }
    )
    assert services.problems == [
        "a-b-c: 2 services have this name: compose project a service b-c (a-b-c-2 on b) and compose project a-b service c (a-b-c-1 on a); "
        "set the label bulkhead.service of one of them to another name, such as a-b-c-2"
    ]
    assert list(services.by_name) == ["other"]


def test_a_label_that_equals_another_containers_name() -> None:
    services = group_instances(
        {"a": {"instances": [make_instance("web"), make_instance("x", label="web"), make_instance("y", label="web")]}}
    )
    assert services.problems == [
        "web: 2 services have this name: container web (web on a) and label bulkhead.service web (x on a, y on a); "
        "set the label bulkhead.service of one of them to another name, such as web-2"
    ]


def test_two_labels_that_differ_in_signs_only() -> None:
    services = group_instances({"a": {"instances": [make_instance("x", label="Web"), make_instance("y", label="web")]}})
    assert len(services.problems) == 1


def test_a_label_that_was_added_later_changes_nothing() -> None:
    before, after = make_instance("s-w-1", project="s", service="w"), make_instance("s-w-1", label="s-w", project="s", service="w")
    services = group_instances({"a": {"instances": [before]}, "b": {"instances": [after]}})
    assert (services.problems, list(services.by_name)) == ([], ["s-w"])


def test_a_container_that_ended_unseen_has_no_service() -> None:
    services = group_instances({"a": {"instances": [make_instance("0123456789ab", image_id="")]}})
    assert (services.by_name, services.unnamed, services.problems) == ({}, {"a": ["0123456789ab"]}, [])


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("web", ["web"], ""),
        ("Shop/Webb", ["shop-web", "x"], "v: 'Shop/Webb' is not a service that was recorded; write shop-web; recorded are shop-web, x"),
        ("q", ["abc", "def"], "v: 'q' is not a service that was recorded; write one of these; recorded are abc, def"),
        ("q", [], "v: 'q' was not recorded, and neither was any other service; start its containers, and run playbooks/record.yml"),
    ],
)
def test_a_service_that_was_not_recorded(name: str, known: list[str], message: str) -> None:
    assert describe_missing("v", name, known) == message
