# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a profile."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.presets import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.render import expand_path, render_profile

WHOLE = """\
# shop: the shop's web server
# Written by Ansible from apparmor_profiles_list; verification reports what is changed here by hand.
# To use it: docker run --security-opt apparmor=shop IMAGE

abi <abi/3.0>,

include <tunables/global>

profile shop flags=(attach_disconnected, mediate_deleted) {
  # What any program needs: the C library, terminals, the /proc entries of a process.
  include <abstractions/base>
  include <abstractions/consoles>
  @{PROC}/@{pid}/{,**} r,

  # `docker stop` and `docker kill`: the runtime's label, which differs between releases.
  signal (receive) peer={unconfined,runc,crun,rootlesskit,bulkhead-rootlesskit,/**/{runc,crun,rootlesskit}},

  # Processes of this profile among themselves.
  ptrace (read, readby, trace, tracedby) peer=shop,
  signal (send, receive) peer=shop,

  # Networks
  network inet stream,
  network unix,

  # Capabilities
  capability net_bind_service,
  capability setuid,

  # To read
  /etc/shop{,/,/**} r,
  /srv/*.html r,

  # To read, write, lock and link
  /var/lib/shop/{,**} rwkl,

  # To execute, under this same profile, and to map as code
  /usr/bin/shop{,/,/**} mrix,

  # Denied and logged, whatever is allowed above (a plain `deny` would be silent)
  audit deny /etc/shadow{,/,/**} rwklmx,
  audit deny /proc/sys/** wl,

  # From the inventory, as written there
  include <abstractions/ssl_certs>
  mount fstype=tmpfs -> /scratch/,
  umount /scratch/,
}
"""


def parameters(**more: Any) -> dict[str, Any]:
    return {
        "description": "the shop's web server",
        "readable": ["/srv/*.html", "/etc/shop"],
        "writable": ["/var/lib/shop/"],
        "executable": ["/usr/bin/shop"],
        "networks": ["unix", "inet  stream", "inet stream"],
        "capabilities": ["CAP_SETUID", "net_bind_service", "setuid"],
        "audited_denies": [{"path": "/proc/sys/**", "access": "lw"}, "/etc/shadow"],
        "rules": ["include <abstractions/ssl_certs>", "mount fstype=tmpfs -> /scratch/,", " umount /scratch/"],
        **more,
    }


def test_the_whole_text() -> None:
    assert render_profile("shop", parameters()) == WHOLE


def test_order_of_the_inventory_does_not_matter() -> None:
    turned = {key: value[::-1] if isinstance(value, list) and key != "rules" else value for key, value in parameters().items()}
    assert render_profile("shop", turned) == WHOLE


def test_empty_profile_allows_stop_signals() -> None:
    text = render_profile("bare", {"readable": None})
    assert "signal (receive) peer={unconfined,runc,crun,rootlesskit,bulkhead-rootlesskit,/**/{runc,crun,rootlesskit}}," in text
    assert "signal (send, receive) peer=bare," in text
    assert "# To read" not in text


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/app", "/app{,/,/**}"),
        ("/app/", "/app/{,**}"),
        ("/", "/{,**}"),
        ("/app/*", "/app/*"),
        ("/a{b,c}", "/a{b,c}"),
        ("/[ab]", "/[ab]"),
        ("/a?c", "/a?c"),
        ("@{PROC}/sys", "@{PROC}/sys{,/,/**}"),
    ],
)
def test_expand_path(path: str, shown: str) -> None:
    assert expand_path(path) == shown


def test_preset_any_has_no_abi() -> None:
    assert "abi <" not in render_profile("any", PRESETS["any"])
    assert "userns" not in render_profile("any", PRESETS["any"])


def test_presets_separate_writable_and_executable() -> None:
    for preset in PRESETS.values():
        assert not set(preset.get("writable", [])) & set(preset.get("executable", []))
