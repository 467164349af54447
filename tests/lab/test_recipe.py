# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of an image follows what is in it."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from lab import recipe
from lab.errors import LabError

BOOT_ONLY = {"kernel_arguments", "emulation_arguments", "settle_script"}


@pytest.mark.parametrize("suite", recipe.SUITES)
def test_the_same_recipe_has_the_same_key(suite: str) -> None:
    assert recipe.for_suite(suite).key() == recipe.for_suite(suite).key()
    assert recipe.for_suite(suite).key().startswith(f"{suite}-")


def test_suites_have_different_keys() -> None:
    assert len({recipe.for_suite(suite).key() for suite in recipe.SUITES}) == len(recipe.SUITES)


@pytest.mark.parametrize("field", [field.name for field in fields(recipe.Recipe)])
def test_every_change_makes_a_new_disk_or_a_new_snapshot(field: str) -> None:
    before = recipe.for_suite("trixie")
    old = getattr(before, field)
    after = replace(before, **{field: (*old, "more") if isinstance(old, tuple) else old + "more"})
    assert (before.key() != after.key()) == (field not in BOOT_ONLY)
    assert (before.boot_key() != after.boot_key()) == (field in BOOT_ONLY)


def test_bookworm_has_the_client_inside_docker_io() -> None:
    assert "docker-cli" not in recipe.for_suite("bookworm").packages
    assert "docker-cli" in recipe.for_suite("trixie").packages


def test_only_forky_may_be_past_its_date() -> None:
    lenient = [suite for suite in recipe.SUITES if recipe.for_suite(suite).apt_options]
    assert lenient == ["forky"]


def test_an_unknown_suite_is_named() -> None:
    with pytest.raises(LabError, match=r"'jammy'.*trixie, bookworm, forky"):
        recipe.for_suite("jammy")
