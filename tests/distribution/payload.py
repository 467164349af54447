# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends a host for one module: the size, and the collection's files in it. Run it to print both: python tests/distribution/payload.py NAME"""

from __future__ import annotations

import base64
import io
import re
import sys
import zipfile
from functools import cache
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


@cache
def _set_up_loader() -> None:
    init_plugin_loader([str(COLLECTIONS)])


class Payload:
    """One module as it is sent. size: bytes. files: those of the collection, below plugins/, without package markers."""

    def __init__(self, module: str) -> None:
        _set_up_loader()
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
        self.size = len(script)
        archive = max(ARCHIVE.findall(script.decode()), key=len)
        names = zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))).namelist()
        self.files = sorted(name.removeprefix(PLUGINS) for name in names if name.startswith(PLUGINS) and not name.endswith("/__init__.py"))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        payload = Payload(argument)
        print(f"{argument}: {payload.size / 1024:.0f} KiB", *payload.files, sep="\n    ")
