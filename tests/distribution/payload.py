# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends a host for a module, as JSON: `python tests/distribution/payload.py MODULE …` prints module -> size and files.

size: bytes of the compressed script. files: those of the collection in it, below plugins/, without package markers.
A process of its own, because Ansible's loader replaces the import of collections.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar

COLLECTIONS = Path(__file__).resolve().parents[2] / "collections"
PLUGINS = "ansible_collections/bulkhead/docker/plugins/"
# The zip archive inside the script that Ansible sends.
ARCHIVE = re.compile(r"[A-Za-z0-9+/=]{1000,}")


def build_payload(module: str) -> dict[str, Any]:
    """Return size and files of one module."""
    context = module_loader.find_plugin_with_context(module)
    options: dict[str, Any] = {
        "module_name": context.resolved_fqcn or module,
        "module_path": str(Path(context.plugin_resolved_path).absolute()),
        "module_args": {},
        "templar": Templar(DataLoader()),
        "task_vars": {},
        "module_compression": "ZIP_DEFLATED",
    }
    script = modify_module(**options).b_module_data
    archive = max(ARCHIVE.findall(script.decode()), key=len)
    names = zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))).namelist()
    files = sorted(name.removeprefix(PLUGINS) for name in names if name.startswith(PLUGINS) and not name.endswith("/__init__.py"))
    return {"size": len(script), "files": files}


if __name__ == "__main__":
    init_plugin_loader([str(COLLECTIONS)])
    print(json.dumps({module: build_payload(module) for module in sys.argv[1:]}, indent=1))
