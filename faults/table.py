# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as a table for the docs: fault, how often tried, how often survived, what was lost. `python3 -m faults.table FILE…`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faults.cases import CASES


def markdown(tries: Iterable[Mapping[str, Any]]) -> str:
    """One row a fault and suite, in the order of the cases."""
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in tries:
        rows.setdefault((one["case"], one["suite"]), []).append(one)
    words = {case.name: case.fault for case in CASES}
    order = list(words)
    lines = ["| fault | suite | tried | survived | lost |", "|---|---|---|---|---|"]
    for (name, suite), found in sorted(rows.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        lost = "; ".join(dict.fromkeys(text for one in found for text in one["lost"]))
        lines.append(f"| {words[name]} (`{name}`) | {suite} | {len(found)} | {sum(not one['lost'] for one in found)} | {lost} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the table of all results in these files."""
    print(markdown(json.loads(line) for name in arguments for line in Path(name).read_text(encoding="utf-8").splitlines()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
