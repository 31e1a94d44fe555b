"""The floor of all that reads logs: unpack them and count the lines, on every core.

    python -m bench.baselines.unpack LOGS OUT.json

Nothing is parsed and nothing is kept, so that nothing which looks at every line can take less.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.baselines.mapper import open_log

_BLOCK = 1 << 20


def count_lines(path: Path) -> int:
    """Lines of a log."""
    lines = 0
    with open_log(path) as log:
        while block := log.read(_BLOCK):
            lines += block.count(b"\n")
    return lines


def main() -> None:
    """Large files first, so that the cores end together."""
    paths = sorted(Path(sys.argv[1]).iterdir(), key=lambda path: -path.stat().st_size)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        lines = sum(pool.map(count_lines, paths))
    Path(sys.argv[2]).write_text(json.dumps(lines), "utf-8")


if __name__ == "__main__":
    main()
