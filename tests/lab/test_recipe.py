# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of an image follows what is in it."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from lab import recipe
from lab.architecture import AMD64, ARM64
from lab.debian import DebianBase
from lab.errors import LabError

BOOT_ONLY = {"kernel_arguments", "emulation_arguments", "settle_script"}


@pytest.mark.parametrize("suite", recipe.SUITES)
def test_the_same_recipe_has_the_same_key(suite: str) -> None:
    assert recipe.create_recipe(suite).key() == recipe.create_recipe(suite).key()
    assert recipe.create_recipe(suite, AMD64).key().startswith(f"{suite}-")


def test_suites_have_different_keys() -> None:
    assert len({recipe.create_recipe(suite).key() for suite in recipe.SUITES}) == len(recipe.SUITES)


@pytest.mark.parametrize("field", [field.name for field in fields(recipe.Recipe)])
def test_every_change_makes_a_new_disk_or_a_new_snapshot(field: str) -> None:
    before = recipe.create_recipe("trixie", AMD64)
    old = getattr(before, field)
    more = ARM64 if field == "architecture" else (*old, "more") if isinstance(old, tuple) else old + "more"
    after = replace(before, **{field: more})
    assert (before.key() != after.key()) == (field not in BOOT_ONLY)
    assert (before.boot_key() != after.boot_key()) == (field in BOOT_ONLY)


def test_labels_of_architectures_are_pruned_apart() -> None:
    labels = {DebianBase(recipe.create_recipe(suite, architecture)).label for suite in recipe.SUITES for architecture in (AMD64, ARM64)}
    assert len(labels) == 2 * len(recipe.SUITES)
    assert not [(one, other) for one in labels for other in labels if one != other and f"{other}-1".startswith(f"{one}-")]


def test_arm64_has_its_own_kernel_and_console() -> None:
    arm, amd = recipe.create_recipe("trixie", ARM64), recipe.create_recipe("trixie", AMD64)
    assert arm.packages[1:] == amd.packages[1:]
    assert (amd.packages[0], arm.packages[0]) == ("linux-image-cloud-amd64", "linux-image-cloud-arm64")
    assert "console=ttyAMA0" in arm.kernel_arguments
    assert "serial-getty@ttyAMA0.service" in arm.configure_script
    assert "serial-getty@ttyS0.service" in amd.configure_script


def test_bookworm_has_the_client_inside_docker_io() -> None:
    assert "docker-cli" not in recipe.create_recipe("bookworm").packages
    assert "docker-cli" in recipe.create_recipe("trixie").packages


def test_only_forky_may_be_past_its_date() -> None:
    lenient = [suite for suite in recipe.SUITES if recipe.create_recipe(suite).apt_options]
    assert lenient == ["forky"]


def test_an_unknown_suite_is_named() -> None:
    with pytest.raises(LabError, match=r"'jammy'.*trixie, bookworm, forky"):
        recipe.create_recipe("jammy")
