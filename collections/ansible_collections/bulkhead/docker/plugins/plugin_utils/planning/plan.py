# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans one host: every selected layer, and the one change of the engine's configuration. Pure; no host is visited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...module_utils.engine.instance import SCOPE_DROP_IN
from ...module_utils.engine_config.content import read_content
from ...module_utils.exposures.kinds import KINDS
from ...module_utils.hardened import settings as hardened
from ...module_utils.host.root import STATE_DIR
from ...module_utils.layers.egress import settings as egress
from ...module_utils.layers.registry import SWITCHES
from ...module_utils.layers.rootless import plan as rootless
from ...module_utils.layers.verdict import DISABLED, REQUIRED, Change, Effect, LayerPlan
from ...module_utils.rootless import rendering
from ...module_utils.seccomp.desired import read_seccomp_profiles
from ..hardened.entries import ContainerEntryError, resolve_containers
from ..hardened.values import Written
from ..recording import breakage
from ..report import attack_requirements
from . import conditions, engine_config, engines
from .planners import PLANNERS

ENGINE_CONFIG = "engine_config"
# In the repository and in the documentation's site.
PAGE = "docs/what-stops-working.md"


@dataclass
class HostPlan:
    """What one host needs. layers: one plan per selected layer, and `engine_config` for the change of the engine's configuration.

    problems: blockers of the host as a whole. conditions: warnings about the host as a whole.
    """

    layers: dict[str, LayerPlan] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)

    def collect(self, kind: str) -> list[str]:
        """Return all `blockers`, `warnings`, `notices` or `effects`, each once, in the order of the layers."""
        own = self.conditions if kind == "warnings" else []
        if kind == "notices" and (self.collect("effects") or any(plan.warnings for plan in self.layers.values())):
            own = [f"what stops working under each layer and setting, and what to do: {PAGE}"]
        return list(dict.fromkeys([*(text for plan in self.layers.values() for text in getattr(plan, kind)), *own]))

    @property
    def blockers(self) -> list[str]:
        return list(dict.fromkeys([*self.problems, *self.collect("blockers")]))

    @property
    def effects(self) -> list[Effect]:
        return list(dict.fromkeys(effect for plan in self.layers.values() for effect in plan.effects))

    @property
    def questions(self) -> dict[str, dict[str, Any]]:
        """Module -> arguments, for each module on whose answer a layer depends."""
        return {plan.asks: plan.question for plan in self.layers.values() if plan.question}

    @property
    def changed(self) -> bool:
        return any(plan.changes for plan in self.layers.values())


def add_file_contents(desired: dict[str, Any], read_file: Callable[[str], str], written: Written = lambda _: "") -> list[str]:
    """Add to `desired` the text of files on the control node, the profile that a rootless engine needs, and complete containers.

    read_file: returns the text of a file; raises OSError. written: returns how a number was written. Returns one message per problem.
    """
    problems = []
    if isinstance(desired.get("apparmor_profiles_list"), list):
        desired["apparmor_profiles_list"] = rootless.add_default_profile(desired)
    if rootless.find_default_profile(desired):
        source = (Path(rendering.__file__).parent / "oci_wrapper.py").read_text(encoding="utf-8")
        desired[rootless.WRAPPER] = rendering.render_wrapper(source, rootless.find_default_profile(desired))
    for variable, layer in (("seccomp_profiles_list", "seccomp"), ("apparmor_profiles_list", "apparmor")):
        try:
            desired[variable] = PLANNERS[layer].resolve_sources(desired.get(variable) or [], read_file)
        except (OSError, ValueError) as error:
            problems.append(str(error))
    try:
        desired[hardened.VARIABLE] = resolve_containers(desired, KINDS, written)
    except ContainerEntryError as error:
        problems += error.problems
    problems += egress.find_egress_problems(desired)
    return problems + attack_requirements.find_requirement_problems("attack_matrix_required", desired.get("attack_matrix_required") or {})


def build_expectations(desired: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what verification expects of each configured layer, and of the containers of hardened_container_list."""
    layers = {name: {"requirement": get_requirement(name, desired), **planner.expectation(desired)} for name, planner in PLANNERS.items()}
    containers = hardened.build_container_expectations(desired.get(hardened.VARIABLE) or [], str(desired.get("seccomp_profiles_directory")))
    return {**layers, **({"containers": containers} if containers else {})}


def plan_host(observed: Mapping[str, Any], desired: Mapping[str, Any], selected: set[str], of_run: set[str] | None = None) -> HostPlan:
    """Return the plan for the selected layers. of_run: the layers of the whole run, if `selected` is a part of them."""
    plan = HostPlan()
    engine = observed["engine"]
    plan.problems += engines.find_blockers(observed)
    if plan.problems:
        return plan
    if not engine["installed"]:
        return _plan_engine(plan, desired)
    if observed.get("interrupted"):
        return _plan_recovery(plan, observed["interrupted"])
    for name, planner in PLANNERS.items():
        if name in selected:
            plan.layers[name] = planner.plan(observed, desired)
    if rootless.LAYER in selected and "apparmor" not in (selected if of_run is None else of_run):
        plan.problems += filter(None, [rootless.explain_missing_profile(observed, desired)])
    if selected:
        plan.layers[ENGINE_CONFIG] = config = engine_config.plan(
            observed, desired, plan.layers, selected, of_run is None or selected >= of_run
        )
        for layer in plan.layers.values():
            layer.with_engine = _describe_engine_change(layer, config)
    plan.conditions = [
        *engines.find_warnings(observed),
        *conditions.find_warnings(observed, plan.layers),
        *_find_breakage(observed, desired, plan),
    ]
    return plan


def _find_breakage(observed: Mapping[str, Any], desired: Mapping[str, Any], plan: HostPlan) -> list[str]:
    """Return warnings about recorded calls of running containers that desired seccomp profiles would deny; installed profiles are left out."""
    recorded, layer = observed.get("recorded"), plan.layers.get("seccomp")
    if not recorded or not layer or layer.requirement == DISABLED or plan.blockers:
        return []
    listed = read_seccomp_profiles(desired)
    default, own, containers = breakage.list_desired_profiles(listed, desired.get(hardened.VARIABLE) or [])
    # What runs under a profile that does not change cannot break by it.
    paths, changed = {profile.name: profile.path for profile in listed.profiles}, {change.path for change in layer.changes}
    changing = {name for name, path in paths.items() if path in changed}
    running = {each["name"]: each["seccomp"] for each in recorded["instances"] if each["running"]}
    own = {name: profile for name, profile in own.items() if name in changing}
    containers = {name: profile for name, profile in containers.items() if profile.name in changing or running.get(name) != profile.name}
    loaded = _find_loaded_default(observed["engine"].get("security_options") or [])
    if default and loaded != paths[default.name]:
        own[Path(loaded).stem] = default  # containers without an option have the former default
    elif default and default.name not in changing:
        default = None
    return breakage.describe_breakage(breakage.find_breakage(recorded, default, own, containers))


def _find_loaded_default(options: Iterable[str]) -> str:
    """Return the path of the default profile that the engine has now, or `builtin`. options: its SecurityOptions."""
    fields = [dict(part.partition("=")[::2] for part in option.split(",")) for option in options]
    return next((each.get("profile", breakage.BUILTIN) for each in fields if each.get("name") == "seccomp"), breakage.BUILTIN)


def _describe_engine_change(layer: LayerPlan, config: LayerPlan) -> str:
    """Return the part of this layer that the change of the engine's configuration makes; empty if nothing changes."""
    if not config.changes or config.blockers or layer is config:
        return ""
    contents = [(read_content(c.before), read_content(c.after)) for c in config.changes if c.path == config.apply.get("path")]
    keys = [key for before, after in contents for key in layer.daemon_keys if before.get(key) != after.get(key)]
    limits = [c.summary for c in config.changes if "pids_limit" in layer.apply and c.path.endswith(SCOPE_DROP_IN)]
    return "; ".join([*(f"set {key}" for key in keys), *limits])


def _plan_recovery(plan: HostPlan, transactions: Iterable[str]) -> HostPlan:
    """Plan only the recovery from an interrupted run: the state afterwards is not known yet."""
    changes = [Change(f"{STATE_DIR}/transactions/{name}", "undo or finish the change of an interrupted run") for name in transactions]
    plan.layers[ENGINE_CONFIG] = LayerPlan(ENGINE_CONFIG, changes=changes, notices=["the layers are planned after that"])
    return plan


def _plan_engine(plan: HostPlan, desired: Mapping[str, Any]) -> HostPlan:
    package = desired["docker_engine_package"]
    if desired["docker_engine_install"]:
        notices = ["the layers are planned after the engine is installed"]
        plan.layers["engine"] = LayerPlan("engine", changes=[Change(f"package {package}", f"install {package}")], notices=notices)
    else:
        plan.problems.append(
            f"no Docker engine is installed on this host; install one, or set docker_engine_install: true to install {package}"
        )
    return plan


def get_requirement(layer: str, desired: Mapping[str, Any]) -> str:
    """Return `required`, `optional` or `disabled`, by the layer's switch."""
    switch = SWITCHES.get(layer)
    return str(desired.get(switch) or REQUIRED) if switch else DISABLED


def select_layers(
    given: Iterable[str] | None, run_tags: Iterable[str], skip_tags: Iterable[str], desired: Mapping[str, Any] | None = None
) -> set[str]:
    """Return the layers of this run: the given ones (None: all), narrowed by the tags that name layers.

    The tag `rootless` also selects `apparmor` if the engine's runtime names a profile, because no container would start without it.
    """
    layers = set(SWITCHES) if given is None else set(given) & set(SWITCHES)
    named = set(run_tags) & set(SWITCHES)
    if rootless.LAYER in named and rootless.find_default_profile(desired or {}):
        named.add("apparmor")
    if named:
        layers &= named
    return layers - set(skip_tags)


def narrow_selection(selected: Iterable[str]) -> set[str] | None:
    """Return the selected layers; None if all are selected, which includes single containers."""
    layers = set(selected)
    return None if layers >= set(SWITCHES) else layers
