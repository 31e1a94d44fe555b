"""Lines of a tracking log for the specs, and the events that the real ingest makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from studium.engines import Relation
from tests import sites

START, UNTIL = date(2021, 2, 22), date(2021, 3, 22)
#: A Wednesday.
NOON = datetime(2021, 3, 3, 12)

Event = dict[str, Any]
"""An event as logged, before it is a line."""


def event(kind: str, user: object, course: str | None, **changes: Any) -> Event:
    """An event of a learner in a course at noon; ``changes`` to its fields, None to leave out."""
    context = {"user_id": user, "course_id": course, "path": "/event"}
    made: Event = {
        "username": f"u{user}",
        "event_type": kind,
        "event_source": "server",
        "time": NOON.isoformat() + "+00:00",
        "ip": "203.0.113.5",
        "context": {key: value for key, value in context.items() if value is not None},
        "event": {},
    }
    made |= changes
    return {key: value for key, value in made.items() if value is not None}


def video_event(
    action: str, at: float, course: str, user: object = 1, video: object = "v", **payload: Any
) -> Event:
    """``play_video`` and the like, ``at`` seconds after noon; the browser sends JSON in a text."""
    time = (NOON + timedelta(seconds=at)).isoformat() + "+00:00"
    fields = {"id": video, **payload}
    return event(
        f"{action}_video", user, course,
        event_source="browser", time=time, event=json.dumps(fields),
    )  # fmt: skip


def ingest(
    folder: Path, lines: Iterable[Event | str], start: date = START, until: date = UNTIL
) -> Relation:
    """The ``events`` table after the real ingest of ``lines``."""
    return ingest_both(folder, lines, start, until)[0]


def ingest_both(
    folder: Path, lines: Iterable[Event | str], start: date = START, until: date = UNTIL
) -> tuple[Relation, Relation]:
    """The tables ``events`` and ``event_answers`` after the real ingest of ``lines``."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    logs = folder / "logs"
    logs.mkdir(parents=True)
    (logs / "tracking.log").write_text("".join(f"{text}\n" for text in texts), "utf-8")
    root = sites.make_site(folder / "site", logs, site__start=start)
    sites.run_job(root, since=start, until=until, only=("ingest",))
    lake = sites.open_lake(root)
    return lake.snapshot("events").relation(), lake.snapshot("event_answers").relation()


def rows_by(rows: Iterable[Mapping[str, Any]], course: str, *columns: str) -> list[tuple[Any, ...]]:
    """Some columns of the rows of a course, sorted."""
    found = [tuple(row[name] for name in columns) for row in rows if row["course_id"] == course]
    return sorted(found, key=repr)
