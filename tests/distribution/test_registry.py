# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to repeat the registry of layers agrees with it: imports, playbooks, roles, the example inventory, and the docs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.attack import catalog, configurations
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters import layout
from ansible_collections.bulkhead.docker.plugins.module_utils.layers import expectation, gatherers, judges, registry
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import plan, planners

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


def load_defaults() -> dict[str, Any]:
    """Return the default of each role variable."""
    specs = [load(path)["argument_specs"]["main"].get("options") or {} for path in COLLECTION.glob("roles/*/meta/argument_specs.yml")]
    return {name: option.get("default") for options in specs for name, option in options.items()}


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
    expected = [layer.name for layer in CONFIGURED if layer.daemon_keys or layer.rootless_keys]
    assert options["docker_daemon_layers"]["default"] == options["docker_daemon_layers"]["choices"] == expected


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
    text = (REPOSITORY / "docs/denials.md").read_text(encoding="utf-8")
    section = text.partition("## What each layer leaves behind\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == [layer.name for layer in registry.LAYERS]
    assert all(len(row) == 4 and all(row) for row in rows)
    # What a denial of these layers logs is never all, so the matrix has a reason for its silence.
    assert all(layer.silent for layer in registry.LAYERS if layer.attacked)


@pytest.mark.parametrize("name", ["harden", "rollback"])
def test_playbooks_list_the_tags_in_order(name: str) -> None:
    comments = "".join(re.findall(r"(?m)^#(.*)$", (COLLECTION / f"playbooks/{name}.yml").read_text(encoding="utf-8")))
    listed = re.search(r"--tags LAYER +only this layer: ((?:\w+,\s+)+\w+)", comments)
    assert listed and re.split(r",\s+", listed[1]) == list(registry.SWITCHES)


def test_the_operators_loop_has_each_layer_but_rootless() -> None:
    """It rolls out layers of a rootful engine, one at a time."""
    loop = re.search(r"for layer in (.+); do", (REPOSITORY / "docs/operator.md").read_text(encoding="utf-8"))
    assert loop and loop[1].split() == [name for name in registry.SWITCHES if name != "rootless"]


def test_architecture_lists_switch_and_role_of_each_layer() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(\w+)` \| `(\w+_layer)`[^|]* \| `(\w+)` \|$", text)
    assert rows == [(layer.name, layer.switch, layer.role) for layer in CONFIGURED]


def test_a_layer_is_named_by_its_package_alone() -> None:
    found = {path: re.findall(r"(?m)^LAYER = (.+)$", path.read_text(encoding="utf-8")) for path in LAYERS.glob("*/*.py")}
    assert {path.parent.name for path, values in found.items() if values} == set(registry.JUDGED)
    assert {value for values in found.values() for value in values} == {'__package__.rpartition(".")[2]'}


def test_the_switch_of_a_layer_decides_its_expectation() -> None:
    for layer in CONFIGURED:
        for requirement in ("required", "disabled"):
            desired = {**load_defaults(), layer.switch: requirement}
            assert plan.build_expectations(desired)[layer.name]["requirement"] == requirement, layer.name


def test_attacks_have_settings_for_each_layer() -> None:
    assert set(configurations.get_container_settings({"HostConfig": {}})) == set(catalog.LAYER_NAMES)
    assert set(configurations.get_role_settings({}, "")) == set(catalog.LAYER_NAMES)


def test_each_counted_cause_is_an_attacked_layer() -> None:
    assert set(layout.CAUSES) - {"unknown"} == set(catalog.LAYER_NAMES)
