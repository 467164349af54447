# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/what-stops-working.md covers each layer of the registry and each key of the table of effects."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import LAYERS
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import key_effects
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.plan import PAGE

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page() -> str:
    return (REPOSITORY / PAGE).read_text(encoding="utf-8")


@pytest.mark.parametrize("layer", [layer.name for layer in LAYERS])
def test_each_layer_has_a_section_with_text(layer: str, page: str) -> None:
    section = re.search(rf"^## {layer}: .+\n((?:(?!## ).*\n)+)", page, re.MULTILINE)
    assert section and len(section[1].split()) > 20


@pytest.mark.parametrize("key", key_effects.BY_KEY)
def test_each_key_of_the_table_is_listed(key: str, page: str) -> None:
    assert re.search(rf"^\* `{re.escape(key)}(: \w+)?` \(", page, re.MULTILINE)


@pytest.mark.parametrize(
    "demand",
    [
        "Varnish", "Apache", "MariaDB", "PostgreSQL", "JVM", "Squid", "Postfix", "docker.sock", "TLS key", "--user 70000", "chown 70000", "mknod",
        "moby#34645", "[::1]:PORT", "ping", "sudo", "su", "strace", "gdb", "tcpdump", "32-bit", "SYS_ADMIN",
    ],
)  # fmt: skip
def test_requirements_of_measured_services_are_on_the_page(demand: str, page: str) -> None:
    assert demand in page


def test_the_list_of_keys_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/effects_page.py", "--check"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_an_outdated_list_is_found(page: str) -> None:
    sys.path.insert(0, str(REPOSITORY / "scripts"))
    try:
        import effects_page
    finally:
        sys.path.pop(0)
    assert effects_page.render_page(page) == page
    assert effects_page.render_page(page.replace("* `icc: false` (", "* `icc` (")) == page
