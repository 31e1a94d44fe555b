"""The measurements in the README, from ``bench/results.json`` and ``bench/memory.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from docs.generate.reference import ROOT

RESULTS = ROOT / "bench" / "results.json"
MEMORY = ROOT / "bench" / "memory.json"

_COSTS = {
    "unpack": "for comparison: unpack the logs and count their lines on all cores, nothing else",
    "bare": "for comparison: DuckDB, JSON to the same columns in Parquet by day, no identity, "
    "nothing checked",
    "ingest": "ingest: every line typed, identified, accounted for, committed",
    "dirty": "ingest of the same lines, each with a prefix, 1 % broken",
    "little_memory": "ingest with 500 MB for DuckDB",
    "build": "build the enrollment tables",
    "publish": "publish them",
    "geography": "geography, built and published",
    "engagement": "engagement, built and published",
    "video": "video, built and published",
    "answers": "answers, built and published",
    "learners": "learners, built and published",
    "mapper": "for comparison: one of these tables in plain Python (orjson), nothing kept",
    "new_day": "`run enrollment`: one new day on top",
    "late_event": "`run enrollment`: one late event",
    "no_op": "`run enrollment`: nothing new",
}
_RATIOS = {
    "ingest_to_bare": "ingest : bare DuckDB",
    "dirty_to_ingest": "dirty ingest : clean ingest",
    "mapper_to_whole": "Python for one table : Studium for all (ingest, build, publish)",
    "mapper_to_unpack": "Python for one table : unpacking alone, the most that could be reached",
    "build_and_publish_to_bare": "enrollment, built and published : bare DuckDB",
    "geography_to_bare": "geography : bare DuckDB",
    "engagement_to_bare": "engagement : bare DuckDB",
    "video_to_bare": "video : bare DuckDB",
    "answers_to_bare": "answers : bare DuckDB",
    "learners_to_bare": "learners : bare DuckDB",
    "ten_times_the_events": "ingest of all : of a tenth of the events",
    "new_day_to_limit": "one new day : a tenth of everything and a second",
    "late_event_to_limit": "one late event : the same",
    "plan_seconds": "plan over 10 tables × 3,000 days, seconds",
    "peak_gib": "most memory of any of them, GiB",
}


def bench_table() -> str:
    """What the latest ``make bench`` measured, and the ratios."""
    return _table(json.loads(RESULTS.read_text("utf-8"))) + _memory(
        json.loads(MEMORY.read_text("utf-8"))
    )


def _table(results: Mapping[str, Any]) -> str:
    given, costs, machine, load = (results[key] for key in ("input", "costs", "machine", "load"))
    rounds = (
        "once" if results["repeat"] == 1 else f"in turns, medians of {results['repeat']} rounds"
    )
    lines = [
        f"{given['lines']:,} log lines of {given['days'] - 1} days ({given['raw_mb']:,.0f} MB, "
        f"{given['packed_mb']:,.0f} MB packed) on {machine['cores']} cores of "
        f"{machine['processor']}, {machine['memory_gb']:.0f} GB, shared with other work (load "
        f"average {load['before']:g} to {load['after']:g}, so that the processor's seconds tell "
        f"more than the clock's); every command a process of its own; {rounds}:",
        "",
        "| | seconds | of the processor | memory, at most |",
        "|---|--:|--:|--:|",
    ]
    for name, label in _COSTS.items():
        if name not in costs:  # not measured by the bench of that day
            continue
        cost = costs[name]
        lines.append(
            f"| {label} | {cost['seconds']:.1f} | {cost['cpu_seconds']:.1f} "
            f"| {cost['peak_mb']:.0f} MB |"
        )
    lines += ["", "| ratio | clock | processor | target | |", "|---|--:|--:|--:|---|"]
    for name, label in _RATIOS.items():
        if name not in results["ratios"]:
            continue
        ratio = results["ratios"][name]
        target = f"≤ {ratio['at_most']:g}" if "at_most" in ratio else ""
        target = f"≥ {ratio['at_least']:g}" if "at_least" in ratio else target
        met = {True: "met", False: "missed", None: ""}[ratio.get("met")]
        clock = ratio.get("seconds", ratio.get("memory"))
        lines.append(f"| {label} | {clock:g} | {ratio.get('cpu_seconds', '')} | {target} | {met} |")
    return "\n".join([*lines, ""])


def _memory(measured: Mapping[str, Any]) -> str:
    """What ``python -m bench.memory`` measured: the most memory of any command."""
    sizes = [one for name, one in measured.items() if name.isdecimal()]
    lines = [
        "",
        f"The most memory of any command with more events (at most {measured['at_most_mb']:,} MB "
        "are asked for; `python -m bench.memory`):",
        "",
        "| events | learners | logs, packed | ingest | largest of all commands | which |",
        "|--:|--:|--:|--:|--:|---|",
    ]
    for one in sizes:
        costs = one["costs"]
        largest = max(costs, key=lambda name: costs[name]["peak_mb"])
        lines.append(
            f"| {one['events']:,} | {one['learners']:,} | {one['packed_mb']:,} MB "
            f"| {costs['ingest']['peak_mb']:,.0f} MB | {costs[largest]['peak_mb']:,.0f} MB "
            f"| `{largest}` |"
        )
    return "\n".join([*lines, ""])
