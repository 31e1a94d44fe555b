"""The measurements in the README, from ``bench/results.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from docs.generate.reference import ROOT

RESULTS = ROOT / "bench" / "results.json"


def bench_table() -> str:
    """What the latest ``make bench`` measured, and the ratios."""
    return _table(json.loads(RESULTS.read_text("utf-8")))


def _table(results: Mapping[str, Any]) -> str:
    given, costs, ratio = results["input"], results["costs"], results["ratios"]
    machine, load = results["machine"], results["load"]
    rows = [
        ("ingest: every line typed, identified, accounted for, committed", "ingest",
         f"{ratio['ingest_to_bare']:g} × bare DuckDB, JSON to Parquet, which checks nothing"),
        ("build the enrollment tables", "build", ""),
        ("publish them", "publish", ""),
        ("for comparison: one of these tables in plain Python (orjson), nothing kept", "mapper",
         f"{ratio['mapper_to_whole']:g} × all three above"),
        ("one new day on top", "new_day", f"1/{ratio['whole_to_new_day']:g} of all three"),
        ("one late event", "late_event", f"1/{ratio['whole_to_late_event']:g}"),
        ("nothing new", "no_op", f"1/{ratio['whole_to_no_op']:g}"),
    ]  # fmt: skip
    lines = [
        f"{given['lines']:,} log lines of {given['days']} days ({given['raw_mb']:,.0f} MB, "
        f"{given['packed_mb']:,.0f} MB packed) on {machine['cores']} cores of "
        f"{machine['processor']}, shared with other work (load average {load['before']:g} to "
        f"{load['after']:g}); every command a process of its own; fastest of {results['repeat']}:",
        "",
        "| | seconds | peak memory | |",
        "|---|--:|--:|---|",
        *(
            f"| {what} | {costs[key]['seconds']:.1f} | {costs[key]['peak_mb']:.0f} MB | {beside} |"
            for what, key, beside in rows
        ),
        "",
    ]
    return "\n".join(lines)
