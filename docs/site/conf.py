# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx configuration of the documentation site. `scripts/docs` copies the sources and calls Sphinx with this file."""

from __future__ import annotations

from typing import Any

from docutils import nodes

project = "Bulkhead"
author = "The Bulkhead authors"
copyright = f"{author}, GPL-3.0-or-later"

# antsibull-docs writes for its own extension; everything else is Markdown.
extensions = ["myst_parser", "sphinx_antsibull_ext"]
myst_heading_anchors = 4  # links such as report.md#metrics-and-alerts work as on a forge
root_doc = "docs/site/index"
# README.md there is for Galaxy; CHANGELOG.md is included from the top folder.
exclude_patterns = ["collections/ansible_collections/bulkhead/docker/*.md"]
default_role = "any"
highlight_language = "text"
pygments_style = "ansible"

html_theme = "furo"
html_title = "Bulkhead"
html_show_sphinx = False
html_copy_source = False
html_use_index = False

# Links to Ansible's own pages are made without asking its site, so the build needs no network.
_SITE = "https://docs.ansible.com/ansible/latest"
_COLLECTIONS, _OWN_COLLECTION = "ansible_collections.", "ansible_collections.bulkhead."
_ANSIBLE_PAGES = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "callback_plugins": "plugins/callback.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}


def _resolve_reference(_app: Any, _env: Any, node: Any, content: nodes.Node) -> nodes.reference | None:
    """Return a link to Ansible's site, or None for any other missing target, which stays an error."""
    target = str(node.get("reftarget", ""))
    page = _ANSIBLE_PAGES.get(target)
    if target.startswith(_COLLECTIONS) and not target.startswith(_OWN_COLLECTION) and "__" not in target:
        namespace, collection, plugin = target.removeprefix(_COLLECTIONS).split(".", 2)
        page = f"collections/{namespace}/{collection}/{plugin}.html"
    return nodes.reference("", "", content, internal=False, refuri=f"{_SITE}/{page}") if page else None


def setup(app: Any) -> None:
    """Register the resolver of references; Sphinx calls this."""
    app.connect("missing-reference", _resolve_reference)
