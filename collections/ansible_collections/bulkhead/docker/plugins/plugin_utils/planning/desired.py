# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolves the desired state: the variables of all roles, checked against the roles' argument specs. Control node only.

`meta/argument_specs.yml` of each role is the only source of names, types, choices and defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load

from ..suggestion import suggest

Specs = dict[str, dict[str, dict[str, Any]]]  # role -> variable -> its spec


@dataclass
class DesiredState:
    """values: every public variable with its value or default. problems: one message each; any of them stops the run."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def load_specs(roles: Path) -> Specs:
    """Return the `main` options of each role below `roles`."""
    specs = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        content = yaml_load(path.read_text())
        specs[path.parent.parent.name] = content["argument_specs"]["main"].get("options") or {}
    return specs


def resolve_desired(
    specs: Specs,
    variables: Mapping[str, Any],
    template: Callable[[Any], Any],
    locate: Callable[[Any], str] = lambda _: "",
    written: Callable[[Any], str] = lambda _: "",
) -> DesiredState:
    """Return every role variable, templated and checked.

    variables: all variables of the host. template: resolves one value; raises ValueError with a message.
    locate: returns where a value was written (`file:line`), written: how a number was written; both empty if that is unknown.
    """
    desired = DesiredState()
    for options in specs.values():
        given = {}
        for name, spec in options.items():
            if name in variables:
                try:
                    given[name] = template(variables[name])
                except ValueError as error:
                    desired.problems.append(_format_place(locate, variables[name]) + f"{name}: cannot be templated: {error}")
                    given[name] = spec.get("default")
            else:
                given[name] = spec.get("default")
        converted = _convert_values(options, given)
        for name in options:
            desired.values[name] = converted[name] if name in converted else given[name]
            problem = _describe_problem(name, options[name], given[name]) or _describe_misread(name, options[name], given[name], written)
            if problem:
                desired.problems.append(_format_place(locate, variables.get(name)) + problem)
    for name, known in find_misspelt(variables, specs):
        advice = f"{suggest(name, sorted(known), cutoff=0.5)}, or rename it if it is your own"
        desired.problems.append(_format_place(locate, variables[name]) + f"{name}: is not a variable of any role; {advice}")
    return desired


def find_misspelt(variables: Iterable[str], specs: Specs) -> list[tuple[str, list[str]]]:
    """Return the variables that have a role's prefix and that the role does not define, each with the names that it defines."""
    found = []
    for name in sorted(variables):
        role = max((role for role in specs if name.startswith(f"{role}_")), key=len, default=None)
        if role and name not in specs[role]:
            found.append((name, list(specs[role])))
    return found


def _convert_values(options: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as the argument spec converts them. Invalid ones are reported by `_describe_problem`, one by one."""
    validator = ArgumentSpecValidator({name: _translate_spec(spec) for name, spec in options.items()})
    return dict(validator.validate(dict(values)).validated_parameters)


def _describe_problem(name: str, spec: Mapping[str, Any], value: Any) -> str | None:
    if value is None:
        if spec.get("default") is not None:
            return f"{name}: has no value; leave it out for its default, {spec['default']!r}, or write {_describe_type(spec)}"
        return f"{name}: is required and has no value" if spec.get("required") else None
    messages = ArgumentSpecValidator({name: _translate_spec(spec)}).validate({name: value}).error_messages
    if not messages:
        return None
    if spec.get("choices"):
        return f"{name}: {value!r} is not valid; write {', '.join(map(str, spec['choices'][:-1]))} or {spec['choices'][-1]}"
    if isinstance(value, Mapping | list) and spec.get("type") in ("dict", "list") and _has_type(spec["type"], value):
        return f"{name}: {messages[0]}"
    is_number = spec.get("type") in ("int", "float") and spec.get("default") is not None
    advice = f"; the default is {spec['default']}" if is_number else ""
    return f"{name}: {value!r} is not {_describe_type(spec)}{advice}"


def _describe_misread(name: str, spec: Mapping[str, Any], value: Any, written: Callable[[Any], str]) -> str | None:
    """Return a message if a text was written without quotes and YAML reads it as another number: 33:33 as 2013."""
    source = written(value) if spec.get("type", "str") == "str" and isinstance(value, int | float) and not isinstance(value, bool) else ""
    return f"{name}: {value!r} is what YAML reads for {source}; put it in quotes" if source and source != str(value) else None


def _describe_type(spec: Mapping[str, Any]) -> str:
    names = {
        "int": "an integer",
        "float": "a number",
        "bool": "true or false",
        "str": "a text",
        "dict": "a mapping",
        "list": "a list",
        "path": "a path",
    }
    kind = spec.get("type", "str")
    return names.get(kind, str(kind))


def _has_type(kind: str, value: Any) -> bool:
    return isinstance(value, Mapping) == (kind == "dict")


def _translate_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return an option of argument_specs.yml as ArgumentSpecValidator takes it."""
    known = {key: spec[key] for key in ("type", "choices", "required", "elements", "default") if key in spec}
    if "options" in spec:
        known["options"] = {name: _translate_spec(sub) for name, sub in spec["options"].items()}
    return known


def _format_place(locate: Callable[[Any], str], value: Any) -> str:
    place = locate(value)
    return f"{place}: " if place else ""
