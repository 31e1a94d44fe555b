"""What the measurements say: ratios, and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LABELS = {
    "bare": "bare: DuckDB to Parquet",
    "ingest": "studium ingest",
    "build": "studium build",
    "publish": "studium publish",
    "mapper": "mapper: one table in Python",
    "new_day": "one new day",
    "late_event": "one late event",
    "no_op": "nothing new",
}


def ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    """What the README may quote. ``whole`` is ingest, build and publish from nothing."""
    whole = seconds["ingest"] + seconds["build"] + seconds["publish"]
    return {
        "ingest_to_bare": round(seconds["ingest"] / seconds["bare"], 2),
        "mapper_to_whole": round(seconds["mapper"] / whole, 2),
        "whole_to_new_day": round(whole / seconds["new_day"], 1),
        "whole_to_late_event": round(whole / seconds["late_event"], 1),
        "whole_to_no_op": round(whole / seconds["no_op"], 1),
    }


def print_results(results: Mapping[str, Any]) -> None:
    """The figures and the ratios."""
    given, costs = results["input"], results["costs"]
    machine, load = results["machine"], results["load"]
    print(
        f"{given['lines']:,} lines, {given['raw_mb']:,} MB ({given['packed_mb']:,} MB packed) on "
        f"{machine['cores']} cores of {machine['processor']}; load average {load['before']} before "
        f"and {load['after']} after.\n"
    )
    print(f"{'':28}{'seconds':>9}{'cpu s':>9}{'peak MB':>9}{'lines/s':>11}")
    for name, cost in costs.items():
        rate = f"{given['lines'] / cost['seconds']:,.0f}" if name in _OVER_ALL else ""
        print(
            f"{LABELS[name]:28}{cost['seconds']:>9.2f}{cost['cpu_seconds']:>9.2f}"
            f"{cost['peak_mb']:>9.0f}{rate:>11}"
        )
    print()
    for name, ratio in results["ratios"].items():
        print(f"{name.replace('_', ' '):28}{ratio:>9.2f}")
    print()
    for name, count in results["checks"].items():
        print(f"{name.replace('_', ' '):28}{count:>9,}")


_OVER_ALL = ("bare", "ingest", "mapper")
