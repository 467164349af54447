# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to repeat the registry of layers agrees with it: imports, playbooks, roles, the example inventory, and the docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.layers import expectation, gatherers, judges, registry
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import planners

REPOSITORY = Path(__file__).parents[2]
COLLECTION = REPOSITORY / "collections/ansible_collections/bulkhead/docker"
LAYERS = COLLECTION / "plugins/module_utils/layers"
CONFIGURED = [layer for layer in registry.LAYERS if layer.switch]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def list_packages(file: str) -> set[str]:
    """Return the layers whose package has this file."""
    return {path.parent.name for path in LAYERS.glob(f"*/{file}")}


def collect_imports(tasks: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return role -> tags, of every role that the tasks import."""
    found: dict[str, set[str]] = {}
    for task in tasks:
        for key in ("block", "rescue", "always"):
            found.update(collect_imports(task.get(key, [])))
        if "ansible.builtin.import_role" in task:
            role = task["ansible.builtin.import_role"]["name"].rpartition(".")[2]
            found.setdefault(role, set()).update(task.get("tags", []))
    return found


def test_each_judged_layer_is_a_package_with_a_judge() -> None:
    assert list(judges.JUDGES) == list(registry.JUDGED)
    assert list_packages("judge.py") == set(registry.JUDGED)
    assert {name: module.__name__.split(".")[-2] for name, module in judges.JUDGES.items()} == {name: name for name in registry.JUDGED}


def test_engines_are_judged_by_the_defaults_of_the_registry() -> None:
    assert expectation.ENGINE_DEFAULTS == registry.ENGINE_DEFAULTS


def test_each_configured_layer_has_a_planner() -> None:
    assert list(planners.PLANNERS) == [layer.name for layer in CONFIGURED]
    assert list_packages("plan.py") == set(registry.SWITCHES)


def test_each_observer_and_gatherer_is_imported() -> None:
    text = (LAYERS / "observation.py").read_text(encoding="utf-8")
    for name in list_packages("observe.py"):
        assert f"from .{name} import observe as {name}\n" in text
        assert f'"{name}": {name}.observe(' in text
    assert set(gatherers.GATHERERS) == list_packages("gather.py")


def test_names_titles_and_short_names_are_unique() -> None:
    for key in ("name", "title", "short"):
        values = [getattr(layer, key) for layer in registry.LAYERS]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("layer", CONFIGURED, ids=lambda layer: layer.name)
def test_the_role_of_a_layer_has_its_switch(layer: registry.Layer) -> None:
    options = load(COLLECTION / f"roles/{layer.role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert options[layer.switch]["default"] in ("required", "optional", "disabled")
    assert {"required", "disabled"} <= set(options[layer.switch]["choices"])


def test_docker_daemon_configures_what_has_keys() -> None:
    options = load(COLLECTION / "roles/docker_daemon/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert options["docker_daemon_layers"]["default"] == [layer.name for layer in CONFIGURED if layer.daemon_keys or layer.rootless_keys]


@pytest.mark.parametrize("name", ["tasks/roles", "rollback"])
def test_playbooks_import_each_role_by_its_tags(name: str) -> None:
    entries = load(COLLECTION / f"playbooks/{name}.yml")  # tasks or plays
    tags = collect_imports([*entries, *(task for play in entries for task in play.get("tasks", []))])
    for layer in CONFIGURED:
        assert layer.name in tags[layer.role], layer.name
        if layer.daemon_keys or layer.rootless_keys:
            assert layer.name in tags["docker_daemon"], layer.name
    known = {*registry.SWITCHES, "engine_config", "always"}
    assert {tag for found in tags.values() for tag in found} <= known


def test_an_interrupted_run_is_undone_whatever_the_tags_select() -> None:
    (recover,) = [task for task in load(COLLECTION / "roles/docker_daemon/tasks/main.yml") if "ansible.builtin.include_role" in task]
    name = recover["ansible.builtin.include_role"]["tasks_from"]
    tasks = [
        recover,
        *(task for file in (name, "recover_interrupted") for task in load(COLLECTION / f"roles/docker_engine/tasks/{file}.yml")),
    ]
    assert [task["name"] for task in tasks if "always" not in task.get("tags", [])] == []


def test_rollback_disables_each_layer() -> None:
    switches = {
        name: value
        for play in load(COLLECTION / "playbooks/rollback.yml")
        for name, value in play.get("vars", {}).items()
        if name.endswith("_layer")
    }
    assert switches == dict.fromkeys(registry.SWITCHES.values(), "disabled")


def test_the_example_inventory_shows_each_switch() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "inventory/group_vars").glob("*.yml"))
    assert all(f"{layer.switch}: " in text for layer in CONFIGURED)


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md"])
def test_docs_name_each_judged_layer(document: str) -> None:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in registry.JUDGED)


def test_docs_say_what_each_layer_leaves_behind() -> None:
    text = (REPOSITORY / "docs/watch.md").read_text(encoding="utf-8")
    section = text.partition("### What each layer leaves behind\n")[2].partition("\n### ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == [layer.name for layer in registry.LAYERS]
    assert all(len(row) == 4 and all(row) for row in rows)
    # What a denial of these layers logs is never all, so the matrix has a reason for its silence.
    assert all(layer.silent for layer in registry.LAYERS if layer.attacked)


def test_harden_names_each_tag() -> None:
    text = (COLLECTION / "playbooks/harden.yml").read_text(encoding="utf-8")
    assert all(name in text for name in registry.SWITCHES)
