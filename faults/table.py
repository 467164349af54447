# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as a table for the docs: fault, attempts, survived attempts, losses. `python3 -m faults.table FILE…` prints it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faults.cases import CASES


def render_table(attempts: Iterable[Mapping[str, Any]]) -> str:
    """Return a table with one row per fault and suite, in the order of the cases."""
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for attempt in attempts:
        rows.setdefault((attempt["case"], attempt["suite"]), []).append(attempt)
    faults = {case.name: case.fault for case in CASES}
    order = list(faults)
    lines = ["| fault | suite | tried | survived | lost |", "|---|---|---|---|---|"]
    for (name, suite), found in sorted(rows.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        lost = "; ".join(dict.fromkeys(text for attempt in found for text in attempt["lost"]))
        survived = sum(not attempt["lost"] for attempt in found)
        lines.append(f"| {faults[name]} (`{name}`) | {suite} | {len(found)} | {survived} | {lost} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the table of all results in these files."""
    print(render_table(json.loads(line) for name in arguments for line in Path(name).read_text(encoding="utf-8").splitlines()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
