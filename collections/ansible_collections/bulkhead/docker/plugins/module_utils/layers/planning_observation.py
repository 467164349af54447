# SPDX-License-Identifier: GPL-3.0-or-later
"""The observation that planning needs: more of the host than judging does, and less of each container. Reads only."""

from __future__ import annotations

from typing import Any

from ..engine.api import Engine
from ..engine.contents import list_contents
from ..engine.instance import ROOTFUL, Instance
from ..engine.summaries import read_summaries
from ..engine_config.observe_managed import explain_fixed, observe_managed
from ..host.pending import observe_pending
from ..host.root import Host
from ..subid.accounts import find_named
from .observation import observe_host
from .rootless.observe_setup import observe_setup


def observe_for_planning(host: Host, engine: Engine, instance: Instance = ROOTFUL, remap_user: str = "") -> dict[str, Any]:
    """Return what planning calls `observed`, with one line per container. remap_user: the desired value of `userns-remap`.

    daemon_json.fixed: why not even root can change the file; None when it can.
    """
    observed = observe_host(host, engine, instance, read_summaries, list_contents)
    observed["layers"]["rootless"].update(observe_setup(host, instance, observed["layers"]["rootless"]))
    userns = observed["layers"]["userns"]
    for kind, rows in find_named(host, remap_user).items():
        userns["named"][kind] |= rows
    file = observed["daemon_json"]
    file["fixed"] = explain_fixed(instance.scope_host(host), file["path"]) if file["exists"] else None
    return {
        **observed,
        "pending": observe_pending(host, observed["engine"], observed["unit"]["data_root"]),
        **observe_managed(host, instance),
    }
