"""The bare baseline of a table: one Python process over the raw lines, as a mapper has it.

    python -m bench.baselines.mapper LOGS UNTIL OUT.json

Computes ``course_enrollment_daily`` and nothing else; parses every line, as a job that asks more
than one question has to.
"""

from __future__ import annotations

import io
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO

import orjson
import zstandard
from isal import igzip

ACTIVATED = "edx.course.enrollment.activated"
DEACTIVATED = "edx.course.enrollment.deactivated"
KINDS = frozenset((ACTIVATED, DEACTIVATED, "edx.course.enrollment.mode_changed"))

# (course, learner) → (time, type, mode) of the enrollment events.
Histories = dict[tuple[str, int], set[tuple[datetime, str, str]]]


def open_log(path: Path) -> IO[bytes]:
    """The lines of a log, however it is packed."""
    if path.suffix == ".gz":
        return igzip.open(path, "rb")
    if path.suffix == ".zst":
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb")))
    return path.open("rb")


def read_histories(logs: Path) -> Histories:
    """The accepted enrollment events of all logs."""
    histories: Histories = defaultdict(set)
    for path in sorted(logs.iterdir()):
        with open_log(path) as lines:
            for line in lines:
                event = parse(line)
                if event is not None and event.get("event_type") in KINDS:
                    _take(event, histories)
    return histories


def parse(line: bytes) -> dict[str, object] | None:
    """The object of a line, which may have a prefix; None if there is none."""
    try:
        value = orjson.loads(line[line.find(b"{") :])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _take(event: dict[str, object], histories: Histories) -> None:
    payload = event.get("event")
    if isinstance(payload, str):
        payload = orjson.loads(payload)
    assert isinstance(payload, dict)
    course, learner, mode = (payload.get(name) for name in ("course_id", "user_id", "mode"))
    when = event.get("time")
    if course and learner and mode is not None and isinstance(when, str):
        time = datetime.fromisoformat(when)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        histories[str(course), int(learner)].add((time, str(event["event_type"]), str(mode)))


def count_daily(histories: Histories, until: date) -> list[tuple[str, str, int, int]]:
    """Rows (course, day, enrolled at its end, ever seen), every day from a course's first."""
    changes: dict[str, dict[date, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for (course, _), events in histories.items():
        enrolled = before = 0
        days = list(_days(sorted(events)))
        for number, (day, kinds) in enumerate(days):
            for kind in kinds:
                enrolled = 1 if kind == ACTIVATED else 0 if kind == DEACTIVATED else enrolled
            if day < until:
                change = changes[course][day]
                change[0] += enrolled - before
                change[1] += number == 0
            before = enrolled
    rows = []
    for course, by_day in changes.items():
        count = ever = 0
        day = min(by_day)
        while day < until:
            count += by_day[day][0] if day in by_day else 0
            ever += by_day[day][1] if day in by_day else 0
            rows.append((course, day.isoformat(), count, ever))
            day += timedelta(days=1)
    return sorted(rows)


def _days(events: list[tuple[datetime, str, str]]) -> Iterator[tuple[date, list[str]]]:
    by_day: dict[date, list[str]] = {}
    for time, kind, _ in events:
        by_day.setdefault(time.date(), []).append(kind)
    yield from by_day.items()


if __name__ == "__main__":
    counted = count_daily(read_histories(Path(sys.argv[1])), date.fromisoformat(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(counted), "utf-8")
