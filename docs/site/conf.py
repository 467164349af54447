# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation as a site: scripts/docs lays the sources out and calls Sphinx with this."""

from __future__ import annotations

from typing import Any

from docutils import nodes

project = "Bulkhead"
author = "The Bulkhead authors"
copyright = f"{author}, GPL-3.0-or-later"

# What antsibull-docs writes is made for its own extension; everything else is Markdown.
extensions = ["myst_parser", "sphinx_antsibull_ext"]
myst_heading_anchors = 4  # links such as report.md#metrics-and-alerts work as on a forge
root_doc = "docs/site/index"
exclude_patterns = ["collections/ansible_collections/bulkhead/docker/*.md"]  # the one is for Galaxy, the other stands at the top
default_role = "any"
highlight_language = "text"
pygments_style = "ansible"

html_theme = "furo"
html_title = "Bulkhead"
html_show_sphinx = False
html_copy_source = False
html_use_index = False

# What is Ansible's own: linked without asking its site, so that the build needs no network.
_SITE = "https://docs.ansible.com/ansible/latest"
_COLLECTIONS, _OURS = "ansible_collections.", "ansible_collections.bulkhead."
_THEIRS = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "callback_plugins": "plugins/callback.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}


def _reference(_app: Any, _env: Any, node: Any, content: nodes.Node) -> nodes.reference | None:
    """A link to Ansible's site; any other target that is missing stays the error that it is."""
    target = str(node.get("reftarget", ""))
    page = _THEIRS.get(target)
    if target.startswith(_COLLECTIONS) and not target.startswith(_OURS) and "__" not in target:
        namespace, collection, plugin = target.removeprefix(_COLLECTIONS).split(".", 2)
        page = f"collections/{namespace}/{collection}/{plugin}.html"
    return nodes.reference("", "", content, internal=False, refuri=f"{_SITE}/{page}") if page else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", _reference)
