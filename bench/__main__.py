"""Measure, check, write ``bench/results.json`` and print the ratios.

    python -m bench [--events N] [--repeat N] [--keep DIR]

Everything is a process of its own, started from nothing. Of several runs the fastest counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson

from bench.checks import compare_enrollment, compare_events, enrolled
from bench.mapper import ACTIVATED, open_log, parse
from bench.measure import Cost, describe_machine, fastest, run
from bench.report import print_results, ratios
from studium.demo import Institution, write_institution
from studium.site import init_site

RESULTS = Path(__file__).with_name("results.json")
START = date(2025, 9, 1)
STUDIUM = (sys.executable, "-m", "studium")


@dataclass(frozen=True)
class Place:
    """Where the measurements happen: ``logs`` all but the newest, which is ``newest``."""

    root: Path
    institution: Institution
    logs: Path
    newest: Path

    @property
    def until(self) -> date:
        """End of the days in ``logs``."""
        return self.institution.until - timedelta(days=1)


def main() -> None:
    """The whole measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, the fastest counts")
    parser.add_argument("--keep", type=Path, help="work here and leave everything there")
    wanted = parser.parse_args()
    before = os.getloadavg()
    if wanted.keep:
        wanted.keep.mkdir(parents=True)
        results = measure(wanted.keep, wanted.events, wanted.repeat)
    else:
        with tempfile.TemporaryDirectory() as folder:
            results = measure(Path(folder), wanted.events, wanted.repeat)
    results["machine"] = describe_machine()
    results["load"] = {"before": round(before[0], 2), "after": round(os.getloadavg()[0], 2)}
    results["measured"] = f"{datetime.now(UTC):%Y-%m-%d}"
    results["repeat"] = wanted.repeat
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    print_results(results)


def measure(root: Path, events: int, repeat: int) -> dict[str, object]:
    """All figures; stops if a result is wrong."""
    print(f"writing {events:,} events …", file=sys.stderr)
    place = prepare(root, events)
    run([*STUDIUM, "demo", root / "warm", "--events", "2000"], root)  # compiles every module
    rounds = [_round(place, number) for number in range(repeat)]
    site = root / f"site-{repeat - 1}"
    checks: dict[str, object] = {
        **compare_events(site / "lake", root / "bare"),
        "enrollment_rows": compare_enrollment(site / "results.db", root / "mapped.json"),
    }
    costs = {name: fastest([one[name] for one in rounds]) for name in rounds[0]}
    costs |= _increments(place, site)
    return {
        "input": _input(place, site),
        "checks": checks,
        "costs": {
            name: {key: round(value, 2) for key, value in asdict(cost).items()}
            for name, cost in costs.items()
        },
        "ratios": ratios({name: cost.seconds for name, cost in costs.items()}),
    }


def prepare(root: Path, events: int) -> Place:
    """Write the institution and put its newest log aside."""
    institution = write_institution(root / "raw", events=events, start=START)
    logs = root / "raw" / "logs"
    last = max(logs.iterdir())
    newest = root / last.name
    shutil.move(last, newest)
    return Place(root, institution, logs, newest)


def _round(place: Place, number: int) -> dict[str, Cost]:
    """Everything from nothing once, in turns, so that load on the machine meets all alike."""
    print(f"round {number + 1} …", file=sys.stderr)
    root, site = place.root, place.root / f"site-{number}"
    values = {"site.start": START, "edx.source": [str(place.logs)]}
    init_site(site, {**values, "lms.source": str(root / "raw" / "lms")}).close()
    shutil.rmtree(root / "bare", ignore_errors=True)
    until = ("--until", str(place.until))
    return {
        "bare": run([sys.executable, "-m", "bench.bare", place.logs, root / "bare"], root),
        "ingest": run([*STUDIUM, "--site", site, "ingest", *until], root),
        "build": run([*STUDIUM, "--site", site, "build", *until], root),
        "publish": run([*STUDIUM, "--site", site, "publish"], root),
        "mapper": run(
            [sys.executable, "-m", "bench.mapper", place.logs, place.until, root / "mapped.json"],
            root,
        ),
    }


def _increments(place: Place, site: Path) -> dict[str, Cost]:
    """One more day, one late event, and nothing new, on top of all that."""
    until = ("--until", str(place.institution.until))
    nightly = [*STUDIUM, "--site", site, "run", *until]
    shutil.move(place.newest, place.logs / place.newest.name)
    new_day = run(nightly, place.root)
    course = _write_late_event(place)
    before = enrolled(site / "results.db", course)
    late = run(nightly, place.root)
    after = enrolled(site / "results.db", course)
    if after != before + 1:
        raise SystemExit(f"a late enrollment in {course} took it from {before} to {after}")
    return {"new_day": new_day, "late_event": late, "no_op": run(nightly, place.root)}


def _write_late_event(place: Place) -> str:
    """A learner nobody has seen enrolled in the middle of the term; returns the course."""
    middle = sorted(place.logs.glob("*.gz"))[len(list(place.logs.glob("*.gz"))) // 2]
    with open_log(middle) as lines:
        for line in lines:
            event = parse(line)
            if event is not None and event.get("event_type") == ACTIVATED:
                break
        else:
            raise SystemExit(f"nobody enrolls in {middle.name}: use more --events")
    payload = event["event"]
    payload = orjson.loads(payload) if isinstance(payload, str) else payload
    assert isinstance(payload, dict)
    event["event"] = {**payload, "user_id": 900_000_001}
    late = place.logs / f"tracking.log-{place.institution.until:%Y%m%d}-late.log"
    late.write_bytes(orjson.dumps(event) + b"\n")
    return str(payload["course_id"])


def _input(place: Place, site: Path) -> dict[str, object]:
    files = [path for path in place.logs.iterdir() if "-late" not in path.name]
    packed = sum(path.stat().st_size for path in files)
    raw = 0
    for path in files:
        with open_log(path) as log:
            while block := log.read(1 << 20):
                raw += len(block)
    lake = sum(path.stat().st_size for path in (site / "lake" / "events").rglob("*.parquet"))
    return {
        "lines": place.institution.lines,
        "days": (place.institution.until - place.institution.since).days,
        "learners": place.institution.learners,
        "raw_mb": round(raw / 1e6, 1),
        "packed_mb": round(packed / 1e6, 1),
        "events_table_mb": round(lake / 1e6, 1),
    }


if __name__ == "__main__":
    main()
