# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from faults.disruption import find_longest_gap


@pytest.mark.parametrize(("beats", "gap"), [([], 0.0), ([1.0], 0.0), ([1.0, 1.5, 5.0, 5.5], 3.5)])
def test_the_longest_gap(beats: list[float], gap: float) -> None:
    assert find_longest_gap(beats) == gap
