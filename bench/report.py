"""What the measurements say: ratios beside their targets, and a table for people."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.measure import Cost

LABELS = {
    "unpack": "unpack, count lines, all cores",
    "bare": "bare: DuckDB to Parquet",
    "ingest": "studium ingest",
    "build": "studium build enrollment",
    "publish": "studium publish enrollment",
    "whole": "the three together",
    "geography": "geography, built and published",
    "engagement": "engagement, likewise",
    "video": "video, likewise",
    "answers": "answers, likewise",
    "learners": "learners, likewise",
    "mapper": "mapper: one table in Python",
    "dirty": "ingest, all prefixed, 1 % broken",
    "tenth": "ingest of a tenth",
    "little_memory": "ingest with 500 MB for DuckDB",
    "new_day": "one new day",
    "late_event": "one late event",
    "no_op": "nothing new",
}
_OVER_ALL = ("unpack", "bare", "ingest", "mapper", "dirty", "little_memory")

# Ratio → what it is at most (or, negative, at least; None: nothing is asked).
TARGETS: dict[str, float | None] = {
    "ingest_to_bare": 1.6,
    "dirty_to_ingest": 3.0,
    "mapper_to_whole": -5.0,
    "mapper_to_unpack": None,
    "build_and_publish_to_bare": 1.0,
    "geography_to_bare": 1.0,
    "engagement_to_bare": 1.0,
    "video_to_bare": 1.0,
    "answers_to_bare": 1.0,
    "learners_to_bare": 1.0,
    "ten_times_the_events": 11.0,
    "new_day_to_limit": 1.0,
    "late_event_to_limit": 1.0,
    "plan_seconds": 1.0,
    "peak_gib": 2.0,
}


def ratios(
    rounds: Sequence[Mapping[str, Cost]], once: Mapping[str, Cost], planned: Mapping[str, float]
) -> dict[str, dict[str, float | bool]]:
    """Each ratio by the clock (``seconds``) and by the processor (``cpu_seconds``), its target
    and whether both meet it. The limit of an increment is a tenth of the whole and a second."""
    found: dict[str, dict[str, float | bool]] = {}

    def note(name: str, of: Callable[[Mapping[str, Cost], str], float]) -> None:
        values = {
            kind: statistics.median(of(one, kind) for one in rounds)
            for kind in ("seconds", "cpu_seconds")
        }
        found[name] = _judge(name, values)

    def over(above: tuple[str, ...], below: str) -> Callable[[Mapping[str, Cost], str], float]:
        return lambda one, kind: (
            sum(float(getattr(one[name], kind)) for name in above)
            / float(getattr(one[below], kind))
        )

    note("ingest_to_bare", over(("ingest",), "bare"))
    note("dirty_to_ingest", over(("dirty",), "ingest"))
    note("mapper_to_whole", over(("mapper",), "whole"))
    note("mapper_to_unpack", over(("mapper",), "unpack"))
    note("build_and_publish_to_bare", over(("build", "publish"), "bare"))
    for lens in ("geography", "engagement", "video", "answers", "learners"):
        note(f"{lens}_to_bare", over((lens,), "bare"))
    note("ten_times_the_events", over(("ingest",), "tenth"))
    for name in ("new_day", "late_event"):
        note(
            f"{name}_to_limit",
            lambda one, kind, name=name: (  # type: ignore[misc]
                getattr(one[name], kind) / (0.1 * getattr(one["whole"], kind) + 1)
            ),
        )
    found["plan_seconds"] = _judge(
        "plan_seconds",
        {
            "seconds": max(planned["nothing_seconds"], planned["one_day_seconds"]),
            "cpu_seconds": max(planned["nothing_cpu_seconds"], planned["one_day_cpu_seconds"]),
        },
    )
    ingests = [one[name] for one in rounds for name in ("ingest", "dirty", "tenth", "new_day")]
    ingests += once.values()
    peak = max(cost.peak_mb for cost in ingests) * 1e6 / 2**30
    found["peak_gib"] = _judge("peak_gib", {"memory": peak})
    return found


def _judge(name: str, values: Mapping[str, float]) -> dict[str, float | bool]:
    target = TARGETS[name]
    rounded: dict[str, float | bool] = {kind: round(value, 2) for kind, value in values.items()}
    if target is None:
        return rounded
    met = [value <= target if target > 0 else value >= -target for value in values.values()]
    return {**rounded, "at_most" if target > 0 else "at_least": abs(target), "met": all(met)}


def print_results(results: Mapping[str, Any]) -> None:
    """The figures and the ratios."""
    given, costs = results["input"], results["costs"]
    machine, load = results["machine"], results["load"]
    print(
        f"{given['lines']:,} lines, {given['raw_mb']:,} MB ({given['packed_mb']:,} MB packed) on "
        f"{machine['cores']} cores of {machine['processor']}; load average {load['before']} before "
        f"and {load['after']} after.\n"
    )
    print(f"{'':34}{'seconds':>9}{'cpu s':>9}{'peak MB':>9}{'lines/s':>11}")
    for name, cost in costs.items():
        rate = f"{given['lines'] / cost['seconds']:,.0f}" if name in _OVER_ALL else ""
        print(
            f"{LABELS.get(name, name):34}{cost['seconds']:>9.2f}{cost['cpu_seconds']:>9.2f}"
            f"{cost['peak_mb']:>9.0f}{rate:>11}"
        )
    print(f"\n{'':34}{'clock':>9}{'cpu':>9}{'target':>12}")
    for name, ratio in results["ratios"].items():
        clock = ratio.get("seconds", ratio.get("memory"))
        told = ""
        if "met" in ratio:
            limit = f"≤ {ratio['at_most']:g}" if "at_most" in ratio else f"≥ {ratio['at_least']:g}"
            told = f"{limit:>12}  {'met' if ratio['met'] else 'missed'}"
        print(
            f"{name.replace('_', ' '):34}{clock:>9.2f}{ratio.get('cpu_seconds', clock):>9.2f}{told}"
        )
    print(f"\n{'from submission to start':34}{'seconds':>9}{'to bare':>9}")
    for name, start in results["launchers"].items():
        print(f"{name:34}{start['seconds']:>9.3f}{start['ratio']:>9.1f}")
    print()
    for name, count in results["checks"].items():
        print(f"{name.replace('_', ' '):34}{count:>9,}")
