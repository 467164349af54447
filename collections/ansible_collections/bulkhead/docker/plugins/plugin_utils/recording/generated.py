# SPDX-License-Identifier: GPL-3.0-or-later
"""The file recordings/SERVICE.generated.yml: its text with a reason per line, how it changes, and how it is read. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from .call_descriptions import describe_argument
from .generation import STAGES, Generated
from .yaml_text import format_comment, format_value

SECCOMP, APPARMOR, CONTAINERS = LISTS = ("seccomp_profiles_list", "apparmor_profiles_list", "hardened_container_list")
SUFFIX = ".generated.yml"
_KEYS = ("service", "stage", *LISTS)
# More names than these are written one per line, so that a diff shows each.
_MOST_NAMES = 6
_HEAD = """\
---
# Generated from the recording of {service}; a later run of playbooks/record.yml replaces it. To use the entries, add them to your own in the inventory:
#   {list}: "{{{{ [OWN ENTRIES] + lookup('bulkhead.docker.recorded', '{list}') }}}}"
"""
_COMMENT = re.compile(r"\s+# .*$")


class GeneratedFileError(ValueError):
    """A generated file cannot be read. One message: the file, what is wrong, and what to do."""


def format_generated(service: str, stage: str, entries: Mapping[str, Generated | None], reason: str = "") -> str:
    """Return the text of the file. entries: one per name of LISTS, or None. reason: why the stage is enforced although the gate is not passed."""
    head = _HEAD.format(service=service, list=SECCOMP)
    if reason:
        head += f"{format_comment(f'Enforced although the gate is not passed: {reason}').lstrip()}\n"
    lines = [f"{head}service: {format_value(service)}", f"stage: {format_value(stage)}"]
    for name in LISTS:
        generated = entries.get(name)
        lines += [f"{name}:", *_format_entry(generated)] if generated else [f"{name}: []"]
        lines += [format_comment(f"not in it: {note}") for note in (generated.notes if generated else ())]
    return "\n".join([*lines, ""])


def _format_entry(generated: Generated) -> Iterator[str]:
    reasons = dict(generated.reasons)
    lead = "  - "
    for key, value in generated.entry.items():
        if isinstance(value, list) and value:
            yield f"{lead}{key}:{format_comment(reasons.get(key, ''))}"
            for item in value:
                yield from _format_item(item, reasons)
        else:
            yield f"{lead}{key}: {format_value(value)}{format_comment(reasons.get(key, ''))}"
        lead = "    "


def _format_item(item: Any, reasons: Mapping[str, str]) -> Iterator[str]:
    if isinstance(item, Mapping) and len(item.get("names", ())) > _MOST_NAMES:
        lead = "      - "
        for key, value in item.items():
            if key != "names":
                yield f"{lead}{key}: {format_value(value)}"
                lead = "        "
        yield f"{lead}names:"
        for name in item["names"]:
            yield f"          - {format_value(name)}{format_comment(reasons.get(name, ''))}"
    else:
        found = dict.fromkeys(reasons[what] for what in _list_subjects(item) if what in reasons)
        yield f"      - {format_value(item)}{format_comment('; '.join(found))}"


def _list_subjects(item: Any) -> Sequence[str]:
    """Return by which names the reasons of an item are found."""
    if not isinstance(item, Mapping):
        return [str(item), f"block {item}"]
    values = [
        each["valueTwo"] if each["op"] == "SCMP_CMP_MASKED_EQ" else each["value"] for each in item.get("args", ()) if each["index"] == 0
    ]
    return [
        *(f"{name} {describe_argument(name, value)}" for name in item.get("names", ()) for value in values),
        *item.get("names", ()),
        str(item.get("path")),
    ]


def describe_changes(former: str | None, text: str) -> list[str]:
    """Return the lines that a new text adds to the former one (`+ …`) and removes from it (`- …`), each with its reason.

    A line whose reason alone changed is not one of them.
    """
    before, after = (_list_lines(each) for each in (former or "", text))
    matcher = difflib.SequenceMatcher(None, [_strip(line) for line in before], [_strip(line) for line in after], autojunk=False)
    found = []
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        if kind != "equal":
            found += [f"- {line}" for line in before[start:end]] + [f"+ {line}" for line in after[new_start:new_end]]
    return found


def _list_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line != "---" and not line.startswith("#")]


def _strip(line: str) -> str:
    return line if line.lstrip().startswith("#") else _COMMENT.sub("", line)


def read_generated(text: str, place: str) -> dict[str, list[dict[str, Any]]]:
    """Return the entries of a generated file: name of LISTS -> entries. place: its path, for messages. Raises GeneratedFileError."""
    return read_stage(text, place)[1]


def read_stage(text: str, place: str) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """Return the stage and the entries of a generated file. place: its path, for messages. Raises GeneratedFileError."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise GeneratedFileError(f"{place}: is not valid YAML ({reason}); generate it again with playbooks/record.yml") from error
    problem = _find_problem(data)
    if problem:
        raise GeneratedFileError(f"{place}: {problem}; correct it, or generate it again with playbooks/record.yml")
    return data["stage"], {name: data[name] for name in LISTS}


def _find_problem(data: Any) -> str:
    """Return what is wrong with the content of a file; empty if nothing is."""
    if not isinstance(data, dict):
        return f"contains {type(data).__name__ if data is not None else 'nothing'}, not a mapping with {', '.join(_KEYS)}"
    unknown, missing = [key for key in data if key not in _KEYS], [key for key in _KEYS if key not in data]
    if unknown:
        return f"{unknown[0]}: is not a key of this file; known are {', '.join(_KEYS)}"
    if missing:
        return f"{missing[0]}: is missing"
    if not isinstance(data["service"], str) or not data["service"]:
        return f"service: {data['service']!r} is not the name of a service"
    if data["stage"] not in STAGES:
        return f"stage: {data['stage']!r} is not a stage; known are {', '.join(STAGES)}"
    for name in LISTS:
        if not isinstance(data[name], list):
            return f"{name}: {data[name]!r} is not a list"
        for index, entry in enumerate(data[name]):
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                return f"{name}[{index}]: {entry!r} is not an entry with a name"
    return ""
