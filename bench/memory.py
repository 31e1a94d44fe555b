"""Peak memory with many events.

    python -m bench.memory [--events N ...] [--keep DIR]

Writes synthetic institutions of 10 and 50 million events, ingests each and builds and publishes
every lens, with the settings of a new site; every command is a process of its own. Needs about
25 GB of disk and the better part of two hours. Figures go to ``bench/memory.json``; exit code 1 if
a command takes 2 GiB or more.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measure import describe_machine, run
from bench.sites import LENSES, START, STUDIUM, make_site
from studium.demo import write_institution
from studium.lake.store import Lake

RESULTS = Path(__file__).with_name("memory.json")
EVENTS = (10_000_000, 50_000_000)
_AT_MOST_MB = 2 * 2**30 / 1e6


def measure(root: Path, events: int) -> dict[str, Any]:
    """Figures of each command over an institution of so many events, in ``root``."""
    print(f"writing {events:,} events …", file=sys.stderr)
    started = time.monotonic()
    institution = write_institution(root / "raw", events=events, start=START)
    wrote = round(time.monotonic() - started)
    raw = root / "raw"
    site = make_site(root / "site", raw, raw / "logs")
    studium = (*STUDIUM, "--site", site)
    until = ("--until", str(institution.until))
    commands = {"ingest": ("ingest", *until)}
    for lens in ("enrollment", *LENSES):
        commands |= {f"build {lens}": ("build", lens, *until), f"publish {lens}": ("publish", lens)}
    costs: dict[str, dict[str, float]] = {}
    for name, words in commands.items():
        cost = run([*studium, *words], root)
        costs[name] = {key: round(value, 1) for key, value in asdict(cost).items()}
        print(f"{name:24}{cost.seconds:9.1f} s{cost.peak_mb:9.0f} MB", file=sys.stderr)
    return {
        "events": Lake(site / "lake").snapshot("events").rows,
        "learners": institution.learners,
        "days": (institution.until - institution.since).days,
        "packed_mb": round(sum(path.stat().st_size for path in (raw / "logs").iterdir()) / 1e6),
        "seconds_to_write": wrote,
        "peak_mb": max(cost["peak_mb"] for cost in costs.values()),
        "costs": costs,
    }


def main() -> None:
    """Measure, print and write; exit code 1 if the target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory")
    parser.add_argument("--events", type=int, nargs="+", default=list(EVENTS))
    parser.add_argument("--keep", type=Path, help="work here and leave everything there")
    wanted = parser.parse_args()
    found: dict[str, Any] = {}
    for events in wanted.events:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (wanted.keep or Path(temporary)) / str(events)
            folder.mkdir(parents=True)
            found[str(events)] = measure(folder, events)
            if not wanted.keep:
                shutil.rmtree(folder)
        told = {
            "measured": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": describe_machine(),
            "at_most_mb": round(_AT_MOST_MB),
            **found,
        }
        RESULTS.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    if any(one["peak_mb"] > _AT_MOST_MB for one in found.values()):
        sys.exit("A command took more than 2 GiB.")


if __name__ == "__main__":
    main()
