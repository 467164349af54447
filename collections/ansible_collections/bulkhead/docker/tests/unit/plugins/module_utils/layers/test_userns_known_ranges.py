# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that assign IDs from ranges of their configuration: a new range avoids these, or the plan warns by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns.observe import observe
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns.plan import plan

from ...builders import write_files
from .userns_host import DESIRED, observed, seen

SAMBA, SSSD, NSLCD, LOGIN = "/etc/samba/smb.conf", "/etc/sssd/sssd.conf", "/etc/nslcd.conf", "/etc/login.defs"
WINBIND = "[global]\n  idmap config * : range = 200000-499999\n  idmap config CORP:backend = rid\n"
MAPPED = "[domain/corp]\nid_provider = ad\nldap_default_authtok = secret\n"


def make_host(tmp_path: Path, path: str, text: str) -> dict[str, Any]:
    found = observe(write_files(tmp_path, {path: text}))
    assert "secret" not in str(found)
    return seen(id_files=found["id_files"])


@pytest.mark.parametrize(
    ("path", "text", "start"),
    [
        (SAMBA, WINBIND, 1879048192),
        (SAMBA, "idmap config CORP : range = 300000 - 400000\n", 231072),
        (SAMBA, "; idmap config * : range = 200000-499999\n", 231072),
        (SSSD, MAPPED, 2000224256),
        (SSSD, MAPPED + "ldap_idmap_range_min = 300000\n", 231072),
        (SSSD, "[domain/a]\nid_provider = ldap\n", 231072),
        (SSSD, "[domain/a]\nid_provider = ldap\nldap_id_mapping = True\nldap_idmap_range_max=400000\n", 427680),
        (LOGIN, "UID_MIN 1000\nUID_MAX 300000\nGID_MAX 60000\n", 362144),
    ],
)
def test_a_new_range_avoids_known_ranges(tmp_path: Path, path: str, text: str, start: int) -> None:
    here = make_host(tmp_path, path, text)
    here["subuid"]["text"] = here["subgid"]["text"] = "alice:100000:65536\n"
    found = plan(observed(here), DESIRED)
    assert (found.blockers, found.warnings) == ([], [])
    assert f"dockremap:{start}:65536" in found.changes[1].summary
    assert found.apply["ranges"][0]["start"] == start
    assert start == 231072 or any(path in note and "assigns the IDs" in note for note in found.notices)


@pytest.mark.parametrize(
    ("files", "start", "place"),
    [
        (
            {SSSD: "[domain/a]\nid_provider = ad\n", "/etc/sssd/conf.d/x.conf": "[domain/a]\nldap_idmap_range_max=400000\n"},
            427680,
            "conf.d/x.conf",
        ),
        ({"/etc/sssd/conf.d/x.conf": MAPPED}, 2000224256, "conf.d/x.conf"),
        ({"/etc/sssd/conf.d/.x.conf": MAPPED, "/etc/sssd/conf.d/x": MAPPED}, 231072, ""),
        # The later file decides (man 5 sssd.conf).
        ({SSSD: MAPPED, "/etc/sssd/conf.d/x.conf": "[domain/corp]\nldap_id_mapping = false\n"}, 231072, ""),
        ({SAMBA: "include = /etc/samba/ids.conf\n", "/etc/samba/ids.conf": WINBIND}, 1879048192, "/etc/samba/ids.conf"),
        ({SAMBA: "include=/a\n", "/a": "Include = /b\ninclude = /a\n", "/b": WINBIND}, 1879048192, "/b"),
        ({"/etc/samba/ids.conf": WINBIND}, 231072, ""),  # nothing includes it
    ],
)
def test_ranges_in_further_files(tmp_path: Path, files: dict[str, str], start: int, place: str) -> None:
    for path, text in files.items():
        here = make_host(tmp_path, path, text)
    here["subuid"]["text"] = here["subgid"]["text"] = "alice:100000:65536\n"
    found = plan(observed(here), DESIRED)
    assert (found.blockers, found.warnings, found.apply["ranges"][0]["start"]) == ([], [], start)
    assert not place or any(f"{place} (" in note and "assigns the IDs" in note for note in found.notices)


@pytest.mark.parametrize("line", ["include = /etc/samba/smb.conf.%m", "include = registry", "config backend = registry"])
def test_what_samba_reads_elsewhere_is_a_warning(tmp_path: Path, line: str) -> None:
    found = plan(observed(make_host(tmp_path, SAMBA, f"[global]\n  {line}\n")), DESIRED)
    assert [text.partition(" is not followed")[0] for text in found.warnings] == [f"{SAMBA}: {line}"]


@pytest.mark.parametrize(
    ("path", "text", "desired"),
    [
        (SAMBA, WINBIND, {"userns_remap_range_start": 300000}),
        (SAMBA, WINBIND, {"userns_remap_range_exact": True}),
        (NSLCD, "nss_uid_offset 100000\nbindpw secret\n", {}),
    ],
)
def test_what_is_not_avoided_is_warned_of(tmp_path: Path, path: str, text: str, desired: dict[str, Any]) -> None:
    (warning,) = plan(observed(make_host(tmp_path, path, text)), {**DESIRED, **desired}).warnings
    assert warning.startswith(path)
    assert "write another userns_remap_range_start" in warning


def test_a_kept_range_is_not_moved(tmp_path: Path) -> None:
    here = make_host(tmp_path, SAMBA, WINBIND)
    here["subuid"]["text"] = here["subgid"]["text"] = "dockremap:231072:65536\n"
    here["uids"]["dockremap"] = here["gids"]["dockremap"] = 105
    found = plan(observed(here, remapped="231072.231072"), DESIRED)
    assert (found.changes, found.warnings) == ([], [])
