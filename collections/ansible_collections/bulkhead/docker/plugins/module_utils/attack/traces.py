# SPDX-License-Identifier: GPL-3.0-or-later
"""Assigns the denials that the kernel counted to attacks: each attack is a process with a name of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..denial_counters.counts import CountedDenial, read_last_denials
from ..denial_counters.describe import describe_result, find_layer, name_denied_call
from ..denial_counters.pins import find_counter_pins

NOT_COUNTED = "the denial counters are not loaded; run playbooks/count_denials.yml to see the trace of each denial"
Traces = Mapping[tuple[str, str], CountedDenial]


def read_traces() -> tuple[Traces | None, str]:
    """Return the last denial by container and process, and why there is none; the reason is empty if they were read."""
    if find_counter_pins() is None:
        return None, NOT_COUNTED
    try:
        return read_last_denials(), ""
    except OSError as error:
        return None, f"the denials that the kernel counted cannot be read: {error.strerror or error}"


def describe_trace(traces: Traces, container: str, comm: str) -> dict[str, Any] | None:
    """Return the last denial of an attack, with `container`, `layer`, `operation` and `detail`; None if nothing was denied to it."""
    denial = traces.get((container, comm))
    if denial is None:
        return None
    return {
        "container": container[:12],
        "layer": find_layer(denial),
        "operation": name_denied_call(denial),
        "detail": describe_result(denial),
    }
