# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory wants: every role's variables, checked against the roles' argument specs. Control node only.

Names, types, choices and defaults stand in `meta/argument_specs.yml` of each role and nowhere else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load

Specs = dict[str, dict[str, dict[str, Any]]]  # role → variable → its spec


@dataclass
class Wanted:
    """values: every public variable with its value or default. problems: one sentence each; any of them stops the run."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def load_specs(roles: Path) -> Specs:
    """The `main` options of each role below `roles`."""
    specs = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        content = yaml_load(path.read_text())
        specs[path.parent.parent.name] = content["argument_specs"]["main"].get("options") or {}
    return specs


def collect(
    specs: Specs, variables: Mapping[str, Any], template: Callable[[Any], Any], origin: Callable[[Any], str] = lambda _: ""
) -> Wanted:
    """Every role variable, templated and checked.

    variables: all that Ansible knows for the host. template: resolves one value, raising ValueError with a sentence.
    origin: where a value was written (`file:line`), empty when that is not known.
    """
    desired = Wanted()
    for options in specs.values():
        given = {}
        for name, spec in options.items():
            if name in variables:
                try:
                    given[name] = template(variables[name])
                except ValueError as error:
                    desired.problems.append(_place(origin, variables[name]) + f"{name}: cannot be templated: {error}")
                    given[name] = spec.get("default")
            else:
                given[name] = spec.get("default")
        checked = _validate(options, given)
        for name in options:
            desired.values[name] = checked[name] if name in checked else given[name]
            problem = _problem(name, options[name], given[name])
            if problem:
                desired.problems.append(_place(origin, variables.get(name)) + problem)
    for name, known in misspelt(variables, specs):
        close = difflib.get_close_matches(name, known, 1, 0.5)
        advice = f"write {close[0]}" if close else f"known are {', '.join(sorted(known))}"
        desired.problems.append(
            _place(origin, variables[name]) + f"{name}: no role has such a variable; {advice}, or rename it if it is your own"
        )
    return desired


def misspelt(variables: Iterable[str], specs: Specs) -> list[tuple[str, list[str]]]:
    """Variables that begin with a role's name and are none of its own, each with the names that the role knows."""
    found = []
    for name in sorted(variables):
        role = max((role for role in specs if name.startswith(f"{role}_")), key=len, default=None)
        if role and name not in specs[role]:
            found.append((name, list(specs[role])))
    return found


def _validate(options: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the argument spec converts them; those that it refuses are named by `_problem`, one by one."""
    validator = ArgumentSpecValidator({name: _ansible(spec) for name, spec in options.items()})
    return dict(validator.validate(dict(values)).validated_parameters)


def _problem(name: str, spec: Mapping[str, Any], value: Any) -> str | None:
    if value is None:
        if spec.get("default") is not None:
            return f"{name}: has no value; leave it out for its default, {spec['default']!r}, or write {_kind(spec)}"
        return f"{name}: is required and has no value" if spec.get("required") else None
    messages = ArgumentSpecValidator({name: _ansible(spec)}).validate({name: value}).error_messages
    if not messages:
        return None
    if spec.get("choices"):
        return f"{name}: {value!r} is none of its choices; write {', '.join(map(str, spec['choices'][:-1]))} or {spec['choices'][-1]}"
    if (
        isinstance(value, Mapping | list)
        and isinstance(spec.get("type"), str)
        and spec["type"] in ("dict", "list")
        and not _wrong_kind(spec["type"], value)
    ):
        return f"{name}: {messages[0]}"
    return f"{name}: {value!r} is not {_kind(spec)}"


def _kind(spec: Mapping[str, Any]) -> str:
    kinds = {"int": "a whole number", "bool": "true or false", "str": "a text", "dict": "a mapping", "list": "a list", "path": "a path"}
    kind = spec.get("type", "str")
    return kinds.get(kind, str(kind))


def _wrong_kind(kind: str, value: Any) -> bool:
    return isinstance(value, Mapping) != (kind == "dict")


def _ansible(spec: Mapping[str, Any]) -> dict[str, Any]:
    """An option of argument_specs.yml in the words that the validator knows."""
    known = {key: spec[key] for key in ("type", "choices", "required", "elements", "default") if key in spec}
    if "options" in spec:
        known["options"] = {name: _ansible(sub) for name, sub in spec["options"].items()}
    return known


def _place(origin: Callable[[Any], str], value: Any) -> str:
    place = origin(value)
    return f"{place}: " if place else ""
