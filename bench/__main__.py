"""Measure, check, write ``bench/results.json`` and print the ratios.

    python -m bench [--events N] [--repeat N] [--keep DIR]

Everything is a process of its own, started from nothing. Commands that are compared run in turns,
and the median of their ratios counts, as the machine may have other work.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import orjson

from bench.baselines.mapper import ACTIVATED, open_log, parse
from bench.checks import compare_enrollment, compare_events, enrolled
from bench.launching import measure_launchers
from bench.logs import write_clean, write_dirty
from bench.measure import Cost, describe_machine, median, plus, run
from bench.report import print_results, ratios
from bench.sites import LENSES, START, STUDIUM, make_site
from studium.demo import Institution, write_institution
from studium.lake.store import Lake

RESULTS = Path(__file__).with_name("results.json")
LITTLE_MEMORY = "500MB"

Round = dict[str, Cost]


@dataclass(frozen=True)
class Place:
    """Where the measurements happen: ``logs`` all but the newest, which is ``newest``."""

    root: Path
    institution: Institution
    logs: Path
    newest: Path
    dirty: Path
    tenth: Path
    lines: int
    broken: int

    @property
    def until(self) -> date:
        """End of the days in ``logs``."""
        return self.institution.until - timedelta(days=1)


def main() -> None:
    """The whole measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the median counts")
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
    rounds: list[Round] = []
    checks: dict[str, int] = {}
    for number in range(repeat):
        print(f"round {number + 1} …", file=sys.stderr)
        costs = _round(place, number)
        checks = _check(place, number)
        rounds.append(costs | _increments(place, root / f"site-{number}"))
        if number + 1 < repeat:
            for name in ("site", "dirty-site"):
                shutil.rmtree(root / f"{name}-{number}")
    once = {"little_memory": _little_memory(place)}
    planned = _planning(place)
    costs = {name: median([one[name] for one in rounds]) for name in rounds[0]} | once
    return {
        "input": _input(place, root / f"site-{repeat - 1}"),
        "checks": checks,
        "costs": {
            name: {key: round(value, 2) for key, value in asdict(cost).items()}
            for name, cost in costs.items()
        },
        "plan": planned,
        "launchers": _launchers(root),
        "ratios": ratios(rounds, once, planned),
    }


def prepare(root: Path, events: int) -> Place:
    """Write the institution, make its logs clean and dirty, and put the newest aside."""
    institution = write_institution(root / "raw", events=events, start=START)
    first, last = (
        datetime.combine(day, time(), UTC) for day in (institution.since, institution.until)
    )
    logs = root / "clean"
    write_clean(root / "raw" / "logs", logs, first, last)
    newest = root / max(logs.iterdir()).name
    shutil.move(logs / newest.name, newest)
    lines, broken = write_dirty(logs, root / "dirty")
    write_institution(root / "raw-tenth", events=events // 10, start=START)
    write_clean(root / "raw-tenth" / "logs", root / "tenth", first, last)
    shutil.rmtree(root / "raw-tenth")
    return Place(root, institution, logs, newest, root / "dirty", root / "tenth", lines, broken)


def _ingest(place: Place, name: str, logs: Path, memory: str = "1GB") -> Cost:
    site = make_site(place.root / name, place.root / "raw", logs)
    command = [*STUDIUM, "--site", site, "ingest", "--until", str(place.until)]
    # One line in a hundred is broken on purpose.
    allowed = {"STUDIUM_RUN__MAX_REJECT_SHARE": "0.05", "STUDIUM_ENGINE__MEMORY": memory}
    return run(command, place.root, allowed)


def _round(place: Place, number: int) -> Round:
    """Everything from nothing once, what is compared one after the other."""
    root, site = place.root, place.root / f"site-{number}"
    shutil.rmtree(root / "bare", ignore_errors=True)
    unpack = [sys.executable, "-m", "bench.baselines.unpack", place.logs, root / "counted.json"]
    bare = [sys.executable, "-m", "bench.baselines.bare", place.logs, root / "bare"]
    costs = {
        "unpack": run(unpack, root),
        "bare": run(bare, root),
        "ingest": _ingest(place, site.name, place.logs),
        **_lens(place, site, "enrollment"),
        **{name: plus(*_lens(place, site, name).values()) for name in LENSES},
        "mapper": run(
            [
                *(sys.executable, "-m", "bench.baselines.mapper"),
                *(place.logs, place.until, root / "mapped.json"),
            ],
            root,
        ),
        "dirty": _ingest(place, f"dirty-site-{number}", place.dirty),
        "tenth": _ingest(place, f"tenth-site-{number}", place.tenth),
    }
    return {**costs, "whole": plus(*(costs[name] for name in ("ingest", "build", "publish")))}


def _lens(place: Place, site: Path, lens: str) -> Round:
    studium = (*STUDIUM, "--site", site)
    until = ("--until", str(place.until))
    return {
        "build": run([*studium, "build", lens, *until], place.root),
        "publish": run([*studium, "publish", lens], place.root),
    }


def _check(place: Place, number: int) -> dict[str, int]:
    site, dirty = (place.root / f"{name}-{number}" for name in ("site", "dirty-site"))
    lake = Lake(dirty / "lake")
    kept, refused = (lake.snapshot(name).rows for name in ("events", "rejects"))
    if (kept, refused) != (place.lines - place.broken, place.broken):
        raise SystemExit(f"of {place.lines} dirty lines {kept} are kept and {refused} refused")
    counted = json.loads((place.root / "counted.json").read_text("utf-8"))
    if counted != place.lines:
        raise SystemExit(f"of {place.lines} lines {counted} were unpacked")
    return {
        **compare_events(site / "lake", place.root / "bare"),
        "dirty_lines_refused": refused,
        "enrollment_rows": compare_enrollment(site / "results.db", place.root / "mapped.json"),
    }


def _little_memory(place: Place) -> Cost:
    return _ingest(place, "little-site", place.logs, LITTLE_MEMORY)


def _planning(place: Place) -> dict[str, float]:
    run([sys.executable, "-m", "bench.planning", place.root], place.root)
    said = (place.root / "output.txt").read_text("utf-8").splitlines()[-1]
    names = ("nothing_seconds", "nothing_cpu_seconds", "one_day_seconds", "one_day_cpu_seconds")
    return dict(zip(names, (round(float(text), 2) for text in said.split()), strict=True))


def _launchers(root: Path) -> dict[str, dict[str, float]]:
    folder = root / "launchers"
    folder.mkdir()
    return measure_launchers(folder)


def _increments(place: Place, site: Path) -> dict[str, Cost]:
    """One more day, one late event, and nothing new, on top of all that; the logs are as they
    were then."""
    until = ("--until", str(place.institution.until))
    nightly: Sequence[str | Path] = [*STUDIUM, "--site", site, "run", "enrollment", *until]
    newest = Path(shutil.copy(place.newest, place.logs))
    new_day = run(nightly, place.root)
    added, course = _write_late_event(place)
    before = enrolled(site / "results.db", course)
    late = run(nightly, place.root)
    after = enrolled(site / "results.db", course)
    if after != before + 1:
        raise SystemExit(f"a late enrollment in {course} took it from {before} to {after}")
    no_op = run(nightly, place.root)
    newest.unlink()
    added.unlink()
    return {"new_day": new_day, "late_event": late, "no_op": no_op}


def _write_late_event(place: Place) -> tuple[Path, str]:
    """A learner nobody has seen enrolled in the middle of the term; returns file and course."""
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
    return late, str(payload["course_id"])


def _input(place: Place, site: Path) -> dict[str, object]:
    packed = sum(path.stat().st_size for path in place.logs.iterdir() if path.suffix == ".gz")
    raw = 0
    for path in place.logs.glob("*.gz"):
        with open_log(path) as log:
            while block := log.read(1 << 20):
                raw += len(block)
    lake = sum(path.stat().st_size for path in (site / "lake" / "events").rglob("*.parquet"))
    return {
        "lines": place.lines,
        "days": (place.institution.until - place.institution.since).days,
        "learners": place.institution.learners,
        "raw_mb": round(raw / 1e6, 1),
        "packed_mb": round(packed / 1e6, 1),
        "events_table_mb": round(lake / 1e6, 1),
    }


if __name__ == "__main__":
    main()
