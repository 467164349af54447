# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: recorded
short_description: Entries that were generated from recordings
version_added: 0.1.0
description:
  - Returns the entries of one list from all files C(SERVICE.generated.yml) of a folder, in the order of the files' names.
  - C(playbooks/record.yml) writes these files. A service in stage C(record) has no entries.
  - A missing folder is an error, because roles remove profiles that are no longer listed.
author: Bulkhead maintainers (@bulkhead)
options:
  _terms:
    description: Name of one list, C(seccomp_profiles_list), C(apparmor_profiles_list) or C(hardened_container_list).
    type: list
    elements: str
    required: true
  folder:
    description: Folder of the recordings. A relative path is looked up in the working directory, then in the folder of the playbook.
    type: str
    default: recordings
"""

EXAMPLES = r"""
# In group_vars of the hosts
seccomp_profiles_list: "{{ [{'name': 'bulkhead-default', 'extends': 'general'}] + lookup('bulkhead.docker.recorded', 'seccomp_profiles_list') }}"
apparmor_profiles_list: "{{ lookup('bulkhead.docker.recorded', 'apparmor_profiles_list', folder='files/recordings') }}"
"""

RETURN = r"""
_raw:
  description: One element, the list of entries.
  type: list
  elements: list
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.generated import (
    LISTS,
    SUFFIX,
    GeneratedFileError,
    read_generated,
)


class LookupModule(LookupBase):
    """Returns the entries of one list."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[list[dict[str, Any]]]:
        """Return the list of entries, as the only element. Raises AnsibleError."""
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 1 or terms[0] not in LISTS:
            written = ", ".join(map(repr, terms)) or "nothing"
            raise AnsibleError(f"lookup bulkhead.docker.recorded: {written} is not the name of a list; write one of {', '.join(LISTS)}")
        try:
            return [self._read(terms[0], self._find_folder(str(self.get_option("folder"))))]
        except GeneratedFileError as error:
            raise AnsibleError(f"lookup bulkhead.docker.recorded: {error}") from error

    def _find_folder(self, folder: str) -> Path:
        """Return the folder: below the working directory, as playbooks/record.yml writes it, or below that of the playbook."""
        candidates = list(dict.fromkeys([Path(folder).expanduser().absolute(), Path(self._loader.path_dwim(folder))]))
        found = next((path for path in candidates if path.is_dir()), None)
        if found is None:
            looked = " and ".join(map(str, candidates))
            raise GeneratedFileError(
                f"folder {folder!r} does not exist ({looked}); run playbooks/record.yml, create it, or write its absolute path as folder"
            )
        return found

    @staticmethod
    def _read(name: str, folder: Path) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        places: dict[str, Path] = {}
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read ({error.strerror})"
                raise GeneratedFileError(f"{path}: {reason}; generate it again with playbooks/record.yml") from error
            for entry in read_generated(text, str(path))[name]:
                if entry["name"] in places:
                    raise GeneratedFileError(
                        f"{path}: {name} has an entry {entry['name']!r}, which {places[entry['name']]} has too; remove one of the files"
                    )
                places[entry["name"]] = path
                entries.append(entry)
        return entries
