# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends a host for each module: only the packages that it needs, and no more than this many KiB.

Every file that a module imports is sent on each visit, and the host compiles it. The size is that of the compressed script; a ping has 165 KiB.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
PLUGINS = REPOSITORY / "collections/ansible_collections/bulkhead/docker/plugins"
# Module -> KiB at most, and the packages below module_utils/ that it may import.
LIMITS: dict[str, tuple[int, str]] = {
    "apparmor_profile": (200, "apparmor host profiles"),
    "attack_matrix": (282, "attack audit denial_counters engine host layers recorder seccomp"),
    "containerd_view": (221, "containerd engine host migration"),
    "daemon_config": (293, "engine engine_config host migration"),
    "data_root_cleanup": (208, "containerd engine host migration"),
    "denial_counters": (255, "denial_counters engine host recorder"),
    "engine_audit_rules": (183, "host"),
    "egress_rules": (183, "host"),
    "engine_files": (185, "engine host"),
    "denials_info": (264, "audit denial_counters engine host recorder seccomp"),
    "network_attacks": (260, "attack audit denial_counters engine host layers recorder seccomp"),
    "observe_certificates": (180, "engine host"),
    "observe_egress": (205, "engine host"),
    "observe_data": (243, "containerd engine exposures host layers migration"),
    "observe_layers": (260, "apparmor engine engine_config host layers profiles rootless"),
    "plan_containers": (202, "engine hardened host"),
    "pull_agent": (213, "engine host pull"),
    "record_containers": (340, "apparmor audit engine host recorder seccomp"),
    "rootless_engine": (310, "apparmor engine engine_config host rootless subid"),
    "seccomp_profile": (230, "engine host profiles seccomp"),
    "subid_range": (203, "host subid"),
    "verify_layers": (340, "apparmor controls engine engine_config exposures host layers profiles recorder rootless seccomp"),
}
# What only the control node needs, with exceptions: plan_containers compares settings of containers on the host, and the recorder adds `audit` to rules.
ALLOWED = {"plan_containers": ("hardened/settings.py",), "record_containers": ("apparmor/syntax.py",)}
CONTROL_NODE = re.compile(
    r"layers/\w+/plan(_\w+)?\.py|(apparmor|seccomp)/desired\.py|apparmor/(labels|presets|render|parameters|signals|syntax)\.py|seccomp/(blocks|compose)\.py"
    r"|profiles/entries\.py|hardened/settings\.py"
)
# What judges evidence.
JUDGES = re.compile(
    r"layers/\w+/(judge|examine)\.py|layers/(verification|verdict|states|judges|registry|tried_versions)\.py|hardened/judge\.py"
    r"|exposures/(judge|host_files|kernel_files|devices|kinds)\.py|seccomp/(compare|regions|reach|semantics|reading|forbidden)\.py"
)
READ_ONLY = ("denials_info", "observe_certificates", "observe_data", "observe_egress", "observe_layers", "verify_layers")
# What changes an engine's configuration, a profile or a range.
WRITERS = re.compile(
    r"engine_config/(change|activation|transaction|recovery|revert|engine_restart)\.py|(apparmor|seccomp)/install\.py|subid/(apply|locks)\.py"
    r"|migration/(cleanup|migrate|tree)\.py|host/egress_loading\.py|containerd/(cleanup|view_replacement)\.py"
)


@pytest.fixture(scope="module")
def payloads() -> dict[str, Any]:
    names = [f"bulkhead.docker.{module}" for module in LIMITS]
    command = [sys.executable, str(Path(__file__).with_name("payload.py")), *names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return {name.rpartition(".")[2]: payload for name, payload in json.loads(done.stdout).items()}


@pytest.mark.parametrize("module", LIMITS)
def test_a_module_is_small_and_imports_few_packages(module: str, payloads: dict[str, Any]) -> None:
    limit, packages = LIMITS[module]
    files, size = payloads[module]["files"], payloads[module]["size"] / 1024
    found = {match[1] for name in files if (match := re.match(r"module_utils/(\w+)/", name))}
    assert found <= set(packages.split()), "another package is sent with it"
    assert size <= limit, f"{size:.1f} KiB"
    allowed = ALLOWED.get(module, ())
    assert [name for name in files if CONTROL_NODE.search(name) and name.removeprefix("module_utils/") not in allowed] == []
    if module in READ_ONLY:
        assert [name for name in files if WRITERS.search(name) or JUDGES.search(name)] == []


def test_each_module_that_visits_a_host_has_a_limit() -> None:
    actions = {path.stem for path in (PLUGINS / "action").glob("*.py")} - {
        "attack_matrix",
        "verify_layers",
    }  # these run their modules on the host
    assert set(LIMITS) == {path.stem for path in (PLUGINS / "modules").glob("*.py")} - actions
