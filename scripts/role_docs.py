# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the table of variables in each role's README from its argument spec.

    role_docs.py            rewrite the READMEs
    role_docs.py --check    change nothing; print the READMEs that differ and exit with 1 if there are any

The table is the block between two ``<!-- variables -->`` lines. Its last column is the first paragraph of a variable's
description. Further paragraphs, and defaults that are too long for a table, are written below it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml
from generated_block import replace_block

ROLES = Path("collections/ansible_collections/bulkhead/docker/roles")
MARKER = "<!-- variables -->"
WIDTH = 100
LONGEST_DEFAULT = 40
# Ansible's markup of plugin documentation: C(code), O(ns.col.plugin#role:entry:option), …
MARKUP = re.compile(r"\b([CVOIBMP]|RV)\(([^()]*)\)")


def render_markup(text: str) -> str:
    """Return the text with Ansible's markup replaced by Markdown code."""
    return MARKUP.sub(lambda found: f"`{_shorten_reference(found[1], found[2])}`", " ".join(text.split()))


def _shorten_reference(kind: str, name: str) -> str:
    """Return an option without the role that it belongs to, and a module or plugin without its type."""
    if kind in ("O", "RV"):
        return name.rpartition(":")[2]
    return name.partition("#")[0] if kind in ("M", "P") else name


def render_type(option: dict[str, Any]) -> str:
    """Return the choices of a variable, or its type in words."""
    if "choices" in option:
        choices = [f"`{choice}`" for choice in option["choices"]]
        return f"{'list of ' if option['type'] == 'list' else ''}{', '.join(choices[:-1])} or {choices[-1]}"
    words = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "mapping", "path": "path"}
    if option["type"] == "list":
        return f"list of {words[option['elements']]}s"
    return words[option["type"]]


def render_default(option: dict[str, Any]) -> str:
    """Return the default as YAML in one line; an empty string if it is too long for a table."""
    if option.get("required"):
        return "required"
    if "default" not in option:
        return "none"
    value = option["default"]
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else ""


def render_variables(options: dict[str, dict[str, Any]]) -> str:
    """Return the table of all variables, and the details below it."""
    lines = ["| variable | type | default | description |", "|---|---|---|---|"]
    details: list[str] = []
    for name, option in options.items():
        found = option["description"]
        first, *rest = [render_markup(text) for text in ([found] if isinstance(found, str) else found)]
        rest += [_render_key(key, known) for key, known in (option.get("options") or {}).items()]
        default = render_default(option)
        lines.append(f"| `{name}` | {render_type(option)} | {default or 'see below'} | {first} |".replace("||", "| |"))
        if rest or not default:
            details += ["", f"`{name}`:", "", *_list_items(rest)]
            if not default:
                details += [*([""] if rest else []), "```yaml", *_dump(name, option["default"]), "```"]
    return "\n".join([*lines, *details])


def _render_key(name: str, option: dict[str, Any]) -> str:
    """Return one line about a key of a mapping: its type, its default unless that is an empty string, and what it is."""
    found, default = option["description"], render_default(option)
    about = [render_type(option), *([default if option.get("required") else f"default {default}"] if option.get("default") != "" else [])]
    return f"`{name}` ({', '.join(about)}): {' '.join(render_markup(text) for text in ([found] if isinstance(found, str) else found))}"


def _list_items(paragraphs: list[str]) -> list[str]:
    return [
        line
        for text in paragraphs
        for line in textwrap.wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    ]


def _dump(name: str, value: object) -> list[str]:
    return yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=False).splitlines()


def render_readme(role: Path) -> str:
    """Return the README of a role with a table that is up to date. Raises ValueError, OSError."""
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options = spec["argument_specs"]["main"].get("options") or {}
    return replace_block((role / "README.md").read_text(encoding="utf-8"), MARKER, render_variables(options))


def main(arguments: list[str] | None = None, roles: Path = ROLES) -> int:
    """Rewrite or check every README; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a README differs")
    check = parser.parse_args(arguments).check
    wrong = 0
    for role in sorted(path for path in roles.glob("*") if path.is_dir()):
        readme = role / "README.md"
        try:
            text = render_readme(role)
        except (OSError, ValueError) as error:
            print(f"{readme}: {error}")
            wrong += 1
            continue
        if text == readme.read_text(encoding="utf-8"):
            continue
        if check:
            print(f"{readme}: differs from meta/argument_specs.yml; run: python scripts/role_docs.py")
            wrong += 1
        else:
            readme.write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
