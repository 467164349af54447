# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimates how much of a service's calls was not recorded yet, after Good and Turing. Pure.

Each pair of a container and a call that it made is one observation. The share of observations that are of calls which only one container ever made
estimates how likely the next observation is of a call that was not recorded (I. J. Good, Biometrika 40, 1953). It assumes that containers are alike, so it
tells nothing of what no container did yet, such as a yearly job.
"""

from __future__ import annotations

from dataclasses import dataclass

from .coverage import measure_coverage
from .model import Recording

# With fewer containers, an estimate is too coarse to rely on.
FEW = 5


@dataclass(frozen=True)
class Estimate:
    """unseen: how likely the next observation is new, from 0 to 1; None without two containers. single: calls of one container only.

    per_instance: how many new calls the next container is expected to make. text: what it means.
    """

    unseen: float | None
    per_instance: float | None
    single: tuple[str, ...]
    instances: int
    text: str


def estimate_unseen(recording: Recording) -> Estimate:
    """Return the estimate for the system calls of a service."""
    instances = measure_coverage(recording).instances
    single = tuple(sorted(name for name, call in recording.calls.items() if call.is_of_one_instance))
    observations = sum(call.instances for call in recording.calls.values())
    if instances < 2 or not observations:
        text = f"No estimate of calls that are not recorded yet: {instances} of 2 containers recorded."
        return Estimate(None, None, single, instances, text)
    unseen, per_instance = len(single) / observations, len(single) / instances
    caution = f" This is coarse, because only {instances} containers were recorded." if instances < FEW else ""
    text = (
        f"{len(single)} of {len(recording.calls)} calls were made by one container only, so the next container is expected to make "
        f"{per_instance:.1f} calls that are not recorded yet ({unseen:.1%} of what it does).{caution}"
    )
    return Estimate(unseen, per_instance, single, instances, text)
