# SPDX-License-Identifier: GPL-3.0-or-later
"""Any entry of hardened_container_list gets messages, or a compose file from which compose reads what was meant."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.bulkhead.docker.plugins.filter.compose import FilterModule
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened.settings import build_container_options
from ansible_collections.bulkhead.docker.plugins.plugin_utils.hardened import entries
from hypothesis import example, given, settings
from hypothesis import strategies as st

settings.register_profile("quick", max_examples=150, deadline=None)
settings.load_profile("quick")

ROLE = Path(__file__).resolve().parents[2] / "collections/ansible_collections/bulkhead/docker/roles/hardened_container"
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
# Texts that YAML 1.1 or 1.2 reads as something else without quotes, or that compose interpolates.
READ_DIFFERENTLY = (
    "1e3", "0o17", "0x1F", "1_000", "yes", "NO", "~", "null", "22:22", "2024-01-01", ".5", "<<", "=", "- a", "# a", "a: b", "$HOME", "${A:-b}", "$$",
    "!!int 1", "\x85", "\ufeff", "\U0001f600", "'", '"', "\\n", "\ud800", "a\0",
)  # fmt: skip
TEXTS = st.text(max_size=8) | st.sampled_from(READ_DIFFERENTLY)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6)
PORTS = st.from_regex(r"(127\.0\.0\.[12]:|\[::1\]:)?[0-9]{1,5}:[0-9]{1,5}(/udp)?", fullmatch=True)
VOLUMES = st.from_regex(r"(/?[a-z.]{1,4}/?:)?/?[a-z.]{0,4}/?[a-z ]{0,3}(:(ro|rw|z|nocopy|RO)(,ro)?)?", fullmatch=True)
LIKELY = {
    "name": st.from_regex(r"[a-zA-Z0-9_.-]{0,6}", fullmatch=True),
    "image": st.from_regex(r"([a-z]{1,3}/)?[a-zA-Z_.]{1,5}(:[a-z0-9.]{0,3})?", fullmatch=True),
    "command": st.lists(SCALARS, max_size=3),
    "environment": st.dictionaries(TEXTS | st.booleans(), SCALARS, max_size=3),
    "ports": st.lists(PORTS | VALUES, max_size=3),
    "volumes": st.lists(VOLUMES | VALUES, max_size=3),
    "tmpfs": st.lists(VOLUMES | VALUES, max_size=3),
    "user": st.from_regex(r"[+-]?[0-9a-z]{0,4}(:[0-9a-z]{0,4})?", fullmatch=True),
    "capabilities": st.lists(st.sampled_from(["NET_RAW", "cap_net_raw", "ALL", ""]) | VALUES, max_size=3),
    "memory": st.from_regex(r"[0-9]{0,4}[kmgt]?b?", fullmatch=True),
    "network": st.sampled_from(["host", "none", "front", "container:a", "container:web", "service:web"]) | TEXTS,
    "stop_signal": st.from_regex(r"(SIG)?[A-Z]{0,4}[0-9]{0,2}", fullmatch=True),
}
OPTIONAL = {key: strategy | VALUES for key, strategy in LIKELY.items() if key not in ("name", "image")}
OPTIONAL |= dict.fromkeys(("cpus", "pids_limit", "log_max_file", "read_only"), VALUES)
ENTRIES = st.fixed_dictionaries({"name": LIKELY["name"] | st.just("shop"), "image": LIKELY["image"] | st.just("shop:1")}, optional=OPTIONAL)


def interpolate(value: Any) -> Any:
    """Return what compose makes of a value (12-interpolation.md): `$$` is one `$`; a lone one would be a variable."""
    if isinstance(value, dict):
        return {key: interpolate(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [interpolate(inner) for inner in value]
    if not isinstance(value, str):
        return value
    assert "$" not in value.replace("$$", ""), value
    return value.replace("$$", "$")


@given(st.lists(ENTRIES | VALUES, min_size=1, max_size=2))
@example([{"name": "shop", "image": "shop:1", "environment": {"A": "1e3", "B": "$HOME", "C": 7}, "command": ["0o17", "x-$$", 1.5]}])
@example([{"name": "shop", "image": "shop:1", "environment": {"\ud800": "", "A": 10**5000}, "\n": 1, "ports": [10**5000]}])
@example([{"name": "shop", "image": "shop:1", "environment": {"A": datetime.date(2024, 1, 1)}}])
def test_an_entry_gets_messages_or_is_rendered_as_meant(given_list: list[Any]) -> None:
    try:
        resolved = entries.resolve_containers({**DEFAULTS, entries.VARIABLE: given_list}, KINDS)
    except entries.ContainerEntryError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.startswith("hardened_container_list[")
            assert problem.isprintable()
        return
    text = FilterModule().filters()["compose"](resolved, {entry["name"]: "f00d" for entry in resolved})
    # Every text is in quotes, so that YAML 1.1 and 1.2 read the same.
    for token in yaml.scan(text):
        assert not isinstance(token, yaml.ScalarToken) or not token.plain or re.fullmatch(r"[0-9.]+(e\+[0-9]+)?|true|false", token.value)
    services = interpolate(yaml.safe_load(text))["services"]
    for entry in resolved:
        service = services[entry["name"]]
        options = build_container_options(entry, "{}", "f00d")
        assert service["image"] == entry["image"] == options["image"]
        assert service.get("environment", {}) == options["env"] == {name: str(value) for name, value in entry["environment"].items()}
        assert service.get("command", []) == options["command"] == [str(word) for word in entry["command"]]
        assert service.get("ports", []) == entry["ports"]
        assert service.get("volumes", []) == entry["volumes"]
        assert service["user"] == str(entry["user"])
